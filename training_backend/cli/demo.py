"""``kdseg demo``: the main job from scribbles to a checked segmentation, unattended, on a real chest CT."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slicer_kdseg.protocol.errors import BadRequest, OutOfSpace
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.settings import parse_assignment, resolve
from slicer_kdseg.scene.state import SessionState
from training_backend.cli.interrupt import on_first_interrupt
from training_backend.cli.progress import ProgressBar
from training_backend.cli.results_folder import writable
from training_backend.data.cases import read_labels
from training_backend.data.segments import contract_of, segment_classes

if TYPE_CHECKING:
    from training_backend.cli.live_loop import LiveLoop, Recording
    from training_backend.report.story import Story

SECONDS = 115.0
AFTERWARDS_SECONDS = 25.0
AFTERWARDS_SHARE = 0.85
TITLE = "KDSeg demo: a chest CT, from scribbles to a segmentation"
OURS = ("scene.mrb", "segmentation.seg.nrrd", "model", "report.html", "report.json", "pictures")


@dataclass(frozen=True)
class Sample:
    """The chest CT inside the slicerio package, and its own segmentation as the reference."""

    image: Path
    reference: np.ndarray
    contract: LabelContract


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("demo", help="the whole loop on a chest CT, unattended")
    parser.add_argument("--seconds", type=float, help=f"time budget of training, {SECONDS:g} unless told")
    parser.add_argument("--out", type=Path, default=Path("demo_output"), metavar="DIR")
    parser.add_argument("--seed", type=int, help="of the simulated annotator and the training")
    parser.add_argument("--watch", action="store_true", help="watch it in a web browser")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", dest="assignments")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    settings = _settings(options)
    how = resolve("scribble", options.preset, settings)
    sample = the_sample()
    out: Path = options.out
    _refuse_what_is_not_ours(out)
    writable(out)
    begun = time.monotonic()
    print("Starting a backend and loading the chest CT into a scene ...", flush=True)
    from training_backend.cli.demo_story import write_everything
    from training_backend.cli.live_loop import LiveLoop
    from training_backend.cli.stages import Stage, UnseenStage, WatchedStage

    with (
        tempfile.TemporaryDirectory(prefix="kdseg-demo-") as root,
        tempfile.TemporaryDirectory(prefix=".kdseg-demo-", dir=out) as draft,
    ):
        stage: Stage = WatchedStage(Path(root)) if options.watch else UnseenStage(Path(root))
        begun = time.monotonic() if options.watch else begun  # until somebody watches nothing has begun
        with LiveLoop(sample.image, sample.reference, sample.contract, stage, how.seed) as loop:
            bar = ProgressBar()
            record = _play(loop, settings, options.preset, bar)
            story = write_everything(Path(draft), loop, record, sample, begun, how.consult)
            put_in_place(Path(draft), out)
            bar.update(1.0, 0, "done")
            bar.close()
            _tell(story, out, begun)
            if isinstance(stage, WatchedStage):
                print("The page stays open for you until Ctrl-C.", flush=True)
                stage.stay()
    return 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The demo's own, then ``--set``, then the options of the same name."""
    said = {name: getattr(options, name) for name in ("seconds", "seed") if getattr(options, name) is not None}
    return {"seconds": SECONDS, **dict(parse_assignment(text) for text in options.assignments), **said}


def _play(loop: LiveLoop, settings: dict[str, Any], preset: str, bar: ProgressBar) -> Recording:
    """From the first stroke to the last preview."""
    with on_first_interrupt(loop.stop):
        record = loop.run(settings, lambda state: _advance(bar, state, settings["seconds"]), preset=preset)
    bar.update(AFTERWARDS_SHARE, AFTERWARDS_SECONDS, "saving the scene, measuring, writing the report")
    return record


def _tell(story: Story, out: Path, begun: float) -> None:
    dice = {
        name: row.scores.mean_dice
        for name, row in (
            ("first preview", story.first_preview),
            ("grow-cut, final strokes", story.growcut),
            ("at the end", story.student),
            ("saved model alone", story.model),
        )
        if row is not None
    }
    print("Mean Dice: " + ", ".join(f"{name} {value:.3f}" for name, value in dice.items()))
    if story.correction is not None:
        fixed = story.correction
        print(f"Corrected once: {fixed.class_name}, Dice {fixed.before:.3f} before, {fixed.after:.3f} at the end.")
    print(f"It took {time.monotonic() - begun:.0f} s. Look at {out / 'report.html'} first (any web browser).")
    print(f"Next: open {out / 'scene.mrb'} in 3D Slicer and correct a slice that the report calls unsure; or run")
    print(f"      kdseg predict --model {out / 'model'} --images YOUR.nii.gz --out predictions")
    print("      kdseg train scribble --cases YOUR_CASES   (the folder layout is in README.md)")


def the_sample() -> Sample:
    import slicerio

    folder = Path(slicerio.__file__).parent / "data"
    labels = read_labels(folder / "Segmentation.seg.nrrd")
    return Sample(folder / "CTChest4.nrrd", labels.array, contract_of(segment_classes(labels.header)))


def _advance(bar: ProgressBar, state: SessionState, seconds: float) -> None:
    left = (seconds * (1 - state.fraction) if state.seconds_left is None else state.seconds_left) + AFTERWARDS_SECONDS
    bar.update(AFTERWARDS_SHARE * state.fraction, left, _now(state))


def _now(state: SessionState) -> str:
    """What a person sees in the scene at this moment, in a few words."""
    if not state.preview_source or state.phase != "training":
        return state.sentence
    if state.joined_revision < state.revision:
        return "the running job takes the correction in"
    shown = "showing grow-cut, the student learns" if state.preview_source == "growcut" else "showing the student"
    held = state.held_out
    return (
        f"{shown} ({held.student_mean:.2f} on strokes kept aside, grow-cut {held.growcut_mean:.2f})" if held else shown
    )


def _refuse_what_is_not_ours(out: Path) -> None:
    """Only results of an earlier demo, which are known by its report, may be replaced."""
    there = [name for name in OURS if (out / name).exists()]
    if there and not _holds_a_demo(out):
        raise BadRequest(f"'{out}' holds '{there[0]}', which no demo has written; choose another --out folder.")


def _holds_a_demo(out: Path) -> bool:
    try:
        return json.loads((out / "report.json").read_text(encoding="utf-8"))["title"] == TITLE
    except (OSError, ValueError, KeyError, TypeError):
        return False


def put_in_place(draft: Path, out: Path) -> None:
    """Move every file of ``draft`` to its place in ``out``; nothing else there is touched."""
    for path in [path for path in draft.rglob("*") if path.is_file()]:
        target = out / path.relative_to(draft)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        except OSError as problem:
            raise OutOfSpace(
                f"'{target}' could not be replaced ({problem.strerror}); close what has it open, or choose another"
                " --out folder."
            ) from None

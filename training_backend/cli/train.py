"""``kdseg train METHOD --cases DIR``: train on a case folder, in this process, until done or Ctrl-C."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slicer_kdseg.protocol import checks, settings
from slicer_kdseg.protocol.digests import case_id
from slicer_kdseg.protocol.errors import BadAnnotation, BadSettings
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED
from slicer_kdseg.protocol.messages import AnnotationKind, CaseInUse, JobRequest
from slicer_kdseg.scene.background import with_automatic_background
from training_backend.cli.interrupt import on_first_interrupt
from training_backend.cli.results_folder import writable
from training_backend.data.cases import Case, write_labels
from training_backend.data.folder import CaseFolder, read_case_folder
from training_backend.report.metrics import dice_by_class

if TYPE_CHECKING:
    from training_backend.cli.terminal_desk import TerminalDesk
    from training_backend.export.model import Model
    from training_backend.jobs.material import TrainingCase


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("train", help="train a student on a case folder")
    parser.add_argument("method", help=f"one of {', '.join(sorted(settings.SETTINGS))}")
    parser.add_argument("--cases", type=Path, required=True, metavar="DIR", help="images/ with scribbles/ or labels/")
    parser.add_argument("--assistant", type=Path, metavar="DIR", help="cases of a second image kind")
    parser.add_argument("--seconds", type=float, help="time budget of training")
    parser.add_argument("--out", type=Path, default=Path("kdseg_training"), metavar="DIR")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--automatic-background", action="store_true", help="add background strokes where it is safe")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", dest="assignments")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    differences = dict(settings.parse_assignment(text) for text in options.assignments)
    if options.seconds is not None:
        differences["seconds"] = options.seconds
    resolved = settings.resolve(options.method, options.preset, differences)
    if options.assistant is not None:
        raise BadSettings(f"Method '{options.method}' learns from one kind of image; leave out --assistant.")
    folder = read_case_folder(options.cases)
    for note in folder.notes:
        print(note)
    chosen = annotated_cases(folder, options.method, options.automatic_background)
    used = tuple(CaseInUse(case.id, case.revision, case.kind, case.name) for case in chosen)
    request = JobRequest(options.method, folder.contract, used, options.preset, differences)
    writable(options.out)
    waiting = len(folder.cases) - len(chosen)
    print(f"Training '{options.method}' on {len(chosen)} annotated cases, {waiting} more will be segmented.")
    return _train(options.out, request, resolved, chosen, folder)


def annotated_cases(folder: CaseFolder, method: str, automatic_background: bool = False) -> list[TrainingCase]:
    """Cases as a run needs them; ``scribble`` prefers scribbles and takes dense labels too, ``supervised`` only those.

    ``automatic_background`` adds background strokes to scribbles that have none.

    Raises :class:`BadAnnotation` when nothing is annotated or a class or the background is missing everywhere.
    """
    from training_backend.jobs.material import TrainingCase

    chosen = []
    for case in folder.cases:
        kind: AnnotationKind = "scribble" if case.scribbles is not None and method != "supervised" else "dense"
        annotation = case.scribbles if kind == "scribble" else case.labels
        if annotation is None:
            continue
        checks.check_annotation(annotation, folder.contract, kind, complete=False)
        if automatic_background and kind == "scribble" and not (annotation == BACKGROUND).any():
            annotation = with_automatic_background(case.image, annotation, case.spacing_mm)
        identity = case_id(case.image, case.affine)
        chosen.append(TrainingCase(identity, case.name, case.image, case.affine, kind, 1, annotation))
    if not chosen:
        wanted = "labels/" if method == "supervised" else "scribbles/ or labels/"
        raise BadAnnotation(f"No case has a file in {wanted}; annotate at least one case.")
    found = sorted({int(id_) for case in chosen for id_ in np.unique(case.annotation)})
    checks.check_classes_present(found, folder.contract, chosen[0].kind)
    return chosen


def _train(
    out: Path, request: JobRequest, resolved: settings.TrainSettings, chosen: list[TrainingCase], folder: CaseFolder
) -> int:
    from training_backend.cli.terminal_desk import TerminalDesk
    from training_backend.jobs.training import Training

    desk = TerminalDesk(out / "model")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kdseg-train-") as work, on_first_interrupt(desk.stop):
        Training(Path(work), request, resolved, chosen, desk).run()
    desk.bar.close()
    if not (out / "model").is_dir():
        print("Stopped before there was a model to keep.")
        return 1
    print(f"Trained for {time.monotonic() - begun:.0f} s. The model is in {out / 'model'}.")
    _segment(out, desk, chosen, folder, resolved.device)
    if desk.suggestion:
        print(desk.suggestion)
    print(f"Next: look at {out / 'segmentations'} in 3D Slicer, correct what is wrong, and train again;")
    print(f"      or run 'kdseg predict --model {out / 'model'} --images … --out …' on other images.")
    return 0


def shown_labels(desk: TerminalDesk, case: TrainingCase, model: Model) -> np.ndarray:
    """What a user is shown of an annotated case: its last preview, else the better one of student and grow-cut."""
    if case.id in desk.previews:
        return desk.previews[case.id][0]
    if case.growcut is not None and not desk.student_leads:
        return np.where(case.growcut == UNLABELLED, BACKGROUND, case.growcut).astype(np.uint8)
    return model.predict(case.image, case.affine)


def _segment(out: Path, desk: TerminalDesk, chosen: list[TrainingCase], folder: CaseFolder, device: str) -> None:
    """Label maps of every case, annotated or not."""
    from training_backend.export.model import load_model

    model = load_model(out / "model", device)
    annotated = {case.name: case for case in chosen}
    for case in folder.cases:
        assert case.path is not None
        if case.name in annotated:
            labels = shown_labels(desk, annotated[case.name], model)
        else:
            labels = model.predict(case.image, case.affine)
        write_labels(out / "segmentations" / case.path.name, labels, case.path)
        _compare(case, labels, folder)


def _compare(case: Case, labels: np.ndarray, folder: CaseFolder) -> None:
    if case.labels is None:
        return
    found = dice_by_class(labels, case.labels, tuple(label.id for label in folder.contract.foreground))
    told = ", ".join(f"{folder.contract.by_id(id_).name} {value:.3f}" for id_, value in found.items())
    print(f"  {case.name}: Dice against labels/: {told}")

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
from slicer_kdseg.protocol.errors import BadAnnotation, BadRequest, BadSettings
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED
from slicer_kdseg.protocol.messages import AnnotationKind, CaseInUse, JobRequest
from slicer_kdseg.scene.background import with_automatic_background
from training_backend.cli.assistant_cases import read_assistants
from training_backend.cli.interrupt import on_first_interrupt
from training_backend.cli.results_folder import for_training, writable
from training_backend.cli.settings_list import settings_list
from training_backend.data.cases import Case, write_labels
from training_backend.data.folder import CaseFolder, read_case_folder
from training_backend.report.metrics import dice_by_class

if TYPE_CHECKING:
    from training_backend.cli.terminal_desk import TerminalDesk
    from training_backend.jobs.training_case import TrainingCase


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("train", help="train a student on a case folder")
    parser.add_argument("method", help=f"one of {', '.join(sorted(settings.SETTINGS))}")
    parser.add_argument("--cases", type=Path, metavar="DIR", help="images/ with scribbles/ or labels/")
    parser.add_argument("--assistant", type=Path, metavar="DIR", help="cases of a second image kind")
    parser.add_argument("--seconds", type=float, help="time budget of training")
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder; kdseg_training, else the next number")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--automatic-background", action="store_true", help="add background strokes where it is safe")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", dest="assignments")
    parser.add_argument("--settings", action="store_true", help="list what --set takes, and train nothing")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.settings:
        print(settings_list(options.method, options.preset))
        return 0
    if options.cases is None:
        raise BadRequest("There is nothing to train on; give a case folder with --cases DIR.")
    differences = dict(settings.parse_assignment(text) for text in options.assignments)
    if options.seconds is not None:
        differences["seconds"] = options.seconds
    resolved = settings.resolve(options.method, options.preset, differences)
    if options.assistant is not None and not resolved.takes_assistants:
        raise BadSettings(f"Method '{options.method}' learns from one kind of image; leave out --assistant.")
    out = for_training(options.out)
    folder = read_case_folder(options.cases)
    for note in folder.notes:
        print(note)
    cases = training_cases(folder, resolved, options.automatic_background)
    if options.assistant is not None:
        cases += read_assistants(options.assistant, folder.contract)
    request = JobRequest(options.method, folder.contract, in_use(cases), options.preset, differences)
    writable(out)
    annotated = sum(case.part == "annotated" for case in cases)
    waiting = len(folder.cases) - annotated
    print(f"Training '{options.method}' on {annotated} annotated cases, {waiting} more will be segmented.")
    done = _train(out, request, resolved, cases, folder)
    if done == 0:
        print(_next_steps(out, options.cases, resolved))
    return done


def in_use(cases: list[TrainingCase]) -> tuple[CaseInUse, ...]:
    """The cases as a job request names them."""
    return tuple(
        CaseInUse(case.id, None if case.part == "unlabelled" else case.revision, case.kind, case.name, case.role)
        for case in cases
    )


def training_cases(
    folder: CaseFolder, how: settings.TrainSettings, automatic_background: bool = False
) -> list[TrainingCase]:
    """The cases that the method of ``how`` can use, unlabelled ones too if it learns from them.

    A method that learns from scribbles prefers them and takes complete labels where there are none.
    ``automatic_background`` adds background strokes to scribbles that have none.

    Raises :class:`BadAnnotation` when nothing is annotated or a class or the background is missing everywhere.
    """
    from training_backend.jobs.training import chosen
    from training_backend.jobs.training_case import TrainingCase

    cases = []
    for case in folder.cases:
        scribbled = case.scribbles is not None and how.learns_from == "scribble"
        kind: AnnotationKind = "scribble" if scribbled else "dense"
        annotation = case.scribbles if scribbled else case.labels
        if annotation is None:
            annotation = np.full(case.image.shape, UNLABELLED, np.uint8)
        else:
            checks.check_annotation(annotation, folder.contract, kind, complete=False)
        if automatic_background and scribbled and not (annotation == BACKGROUND).any():
            annotation = with_automatic_background(case.image, annotation, case.spacing_mm)
        identity = case_id(case.image, case.affine)
        cases.append(TrainingCase(identity, case.name, case.image, case.affine, kind, 1, annotation))
    annotated = [case for case in cases if case.part == "annotated"]
    if not annotated:
        wanted = "labels/" if how.learns_from == "dense" else "scribbles/ or labels/"
        raise BadAnnotation(f"No case has a file in {wanted}; annotate at least one case.")
    found = sorted({int(id_) for case in annotated for id_ in np.unique(case.annotation)} - {UNLABELLED})
    checks.check_classes_present(found, folder.contract, annotated[0].kind)
    return chosen(cases, how)


def _train(
    out: Path, request: JobRequest, resolved: settings.TrainSettings, cases: list[TrainingCase], folder: CaseFolder
) -> int:
    from training_backend.cli.terminal_desk import TerminalDesk
    from training_backend.jobs.training import Training

    desk = TerminalDesk(out / "model")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kdseg-train-") as work, on_first_interrupt(desk.stop):
        Training(Path(work), request, resolved, cases, desk).run()
    desk.bar.close()
    if not (out / "model").is_dir():
        print("Stopped before there was a model to keep.")
        return 1
    print(f"Trained for {time.monotonic() - begun:.0f} s. The model is in {out / 'model'}.")
    _segment(out, desk, cases, folder, resolved)
    if desk.suggestion:
        print(desk.suggestion)
    return 0


def _next_steps(out: Path, cases: Path, how: settings.TrainSettings) -> str:
    """Where a correction must be saved to be learnt from: nothing in ``out`` is ever read."""
    corrected = f"save what you correct under {cases / 'labels'}"
    if how.learns_from == "scribble":
        corrected = f"draw strokes into {cases / 'scribbles'}, or {corrected} where a case has no strokes,"
    return (
        f"Next: look at {out / 'segmentations'} in 3D Slicer, {corrected} and train again;\n"
        f"      or run 'kdseg predict --model {out / 'model'} --images … --out …' on other images."
    )


def _segment(
    out: Path, desk: TerminalDesk, cases: list[TrainingCase], folder: CaseFolder, how: settings.TrainSettings
) -> None:
    """Label maps of every case: what was shown last, else what the model predicts.

    They are held against ``labels/``, but for a method of scribbles that was taught these labels: it shows them.
    """
    from training_backend.export.model import load_model

    model = load_model(out / "model", how.device)
    identity = {case.name: case.id for case in cases}
    for case in folder.cases:
        assert case.path is not None
        shown = desk.previews.get(identity.get(case.name, ""))
        labels = model.predict(case.image, case.affine) if shown is None else shown[0]
        write_labels(out / "segmentations" / case.path.name, labels, case.path)
        repeats_its_labels = how.learns_from == "scribble" and case.scribbles is None
        if case.labels is not None and not repeats_its_labels:
            _compare(case, case.labels, labels, folder)


def _compare(case: Case, reference: np.ndarray, labels: np.ndarray, folder: CaseFolder) -> None:
    found = dice_by_class(labels, reference, tuple(label.id for label in folder.contract.foreground))
    told = ", ".join(f"{folder.contract.by_id(id_).name} {value:.3f}" for id_, value in found.items())
    print(f"  {case.name}: Dice against labels/: {told}")

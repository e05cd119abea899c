"""What the demo writes: scene, segmentation, model and the story that becomes the report."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slicer_kdseg.headless.files import save_node, save_scene
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume
from slicer_kdseg.scene.growcut import GrowCut
from training_backend.cli.demo import TITLE
from training_backend.cli.live_loop import LiveLoop, Recording, Shown
from training_backend.data.cases import as_read, as_read_spacing_mm
from training_backend.data.strokes import stroke_numbers
from training_backend.report.html import write_report
from training_backend.report.metrics import Scores, dice, score
from training_backend.report.story import CorrectionMade, HeldOutPoint, Looks, LossPoint, Row, Story

if TYPE_CHECKING:
    from training_backend.cli.demo import Sample

PACKAGES = ("slicer-kdseg", "slicer-core", "torch", "monai", "numpy")


TAUGHT = "the student together with its first teachers, with the strokes kept as drawn"
BY_ITSELF = "the student, with the strokes kept as drawn"
FIRST = "Grown from the first strokes by grow-cut, before anything was learnt."
STAYED = "Grow-cut's labels stayed: the student had not begun, or was not as good on strokes kept aside."
UNTAUGHT = "Grow-cut from all strokes, the correction's included: what there would be without any training."
TAKEN_AWAY = (
    "What the saved model makes of this image by itself, without strokes or first teachers. It has learnt from this"
    " image; expect less on another."
)


def write_everything(
    out: Path, loop: LiveLoop, record: Recording, sample: Sample, begun: float, consult: float
) -> Story:
    """Scene, segmentation, model and report into ``out``; ``begun`` is on the monotonic clock, ``consult`` the
    first teachers' share of what was shown."""
    state = loop.session.state
    if state.current_model is None and state.job_state == "stopped":
        raise KDSegError("Stopped before there was a model; nothing was written.")
    if state.current_model is None or loop.session.preview is None:
        raise KDSegError("The training ended without a model that could be verified; run 'kdseg doctor'.")
    loop.client.download_model(state.current_model, out / "model")
    save_node(loop.host, loop.session.preview.node, out / "segmentation.seg.nrrd")
    save_scene(loop.host, out / "scene.mrb")
    story = tell(loop, record, sample, begun, out / "model", TAUGHT if consult > 0 else BY_ITSELF)
    write_report(out, story)
    return story


def tell(loop: LiveLoop, record: Recording, sample: Sample, begun: float, model: Path, student: str) -> Story:
    """Score every state that was shown against the reference; ``student`` says whose labels the student's are."""
    grid = grid_of_volume(loop.volume)
    image = np.array(array_of_volume(loop.volume))
    ids = tuple(label.id for label in sample.contract.foreground)

    def scored(labels: np.ndarray) -> Scores:
        return score(labels, sample.reference, grid.spacing_mm, ids)

    def seen(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(as_read(array, grid.affine))

    first, last = record.shown[0], record.shown[-1]
    growcut = GrowCut(image, grid.spacing_mm).grow(record.strokes)
    whose = STAYED if last.about.source == "growcut" else f"What the scene shows now: {student}."
    final = Row("at the end", scored(last.labels), last.seconds, whose)
    before = first.labels if record.corrected_preview is None else record.corrected_preview
    looks = Looks(
        seen(image),
        as_read_spacing_mm(grid.affine),
        seen(before),
        seen(last.labels),
        seen(sample.reference),
        seen(record.strokes_before),
        seen(record.strokes),
        None if record.uncertainty is None else seen(record.uncertainty),
    )
    return Story(
        title=TITLE,
        subject=f"a chest CT ({' x '.join(map(str, image.shape[::-1]))} voxels, from the slicerio package)",
        contract=sample.contract,
        looks=looks,
        first_preview=Row("first preview: grow-cut", scored(first.labels), first.seconds, FIRST),
        growcut=Row("grow-cut from the final strokes", scored(growcut), meaning=UNTAUGHT),
        previews=tuple(
            _preview(number, shown, scored(shown.labels), student) for number, shown in enumerate(record.shown[1:-1], 2)
        ),
        student=final,
        model=Row("the saved model alone", scored(_predicted(model, image, grid.affine)), meaning=TAKEN_AWAY),
        correction=_correction(record, sample, looks, final),
        first_preview_seconds=first.seconds,
        total_seconds=time.monotonic() - begun,
        losses=tuple(LossPoint(at, losses) for at, losses in record.losses),
        held_out=tuple(HeldOutPoint(at, held.student_mean, held.growcut_mean) for at, held in record.held_out),
        next_step=record.suggestion,
        remarks=_remarks(last.about.source, record),
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
    )


def _preview(number: int, shown: Shown, scores: Scores, student: str) -> Row:
    if shown.about.source == "growcut":
        return Row(f"preview {number}: grow-cut", scores, shown.seconds, STAYED)
    return Row(
        f"preview {number}: student", scores, shown.seconds, f"What the scene showed while it trained: {student}."
    )


def _predicted(model: Path, image: np.ndarray, affine: np.ndarray) -> np.ndarray:
    from training_backend.export.model import load_model

    return load_model(model, "cpu").predict(image.astype(np.float32), affine)


def _correction(record: Recording, sample: Sample, looks: Looks, final: Row) -> CorrectionMade | None:
    if record.corrected is None or record.corrected_preview is None:
        return None
    id_ = record.corrected.class_id
    new = looks.strokes_after != looks.strokes_before
    numbers, _ = stroke_numbers(np.where(new, looks.strokes_after, 255).astype(np.uint8))
    return CorrectionMade(
        class_name=sample.contract.by_id(id_).name,
        slices=tuple(int(z) for z in np.flatnonzero(new.any((1, 2)))),
        strokes=int(numbers.max()),
        seconds=record.corrected_seconds,
        before=dice(record.corrected_preview == id_, sample.reference == id_) or 0.0,
        after=final.scores.by_class[id_].dice,
    )


def _remarks(source: str, record: Recording) -> tuple[str, ...]:
    remarks = []
    if source == "growcut":
        remarks.append(
            "The student was not better than grow-cut on the strokes kept aside, so grow-cut is what is shown;"
            " the saved model is the student."
        )
    if record.corrected is not None and record.joined_seconds is None:
        remarks.append("The correction was sent but the job ended before it was taken in.")
    return (*remarks, *record.warnings)

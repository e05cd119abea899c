"""One training run: cases in; previews, held-out scores and verified models out.

    prepare ─► grow-cut shown ─► steps ─┬─ orders: stop, cancel, corrections join at a step boundary
                                        ├─ preview and examination on a growing interval
                                        └─ checkpoint; a life after a crash goes on from it
    finish  ─► saved, loaded back, predicted: only then a candidate model

The student is shown once it is at least as good as grow-cut on strokes that neither has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slicer_kdseg.protocol.errors import BadAnnotation, OutOfSpace
from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.messages import (
    AnnotationKind,
    JobRequest,
    PreviewSource,
    Progress,
    RevisionJoined,
    StateChanged,
    Suggestion,
    Warned,
)
from slicer_kdseg.protocol.settings import TrainSettings, view_for
from training_backend.data import preprocess
from training_backend.data.cases import spacing_mm
from training_backend.data.growcut import growcut
from training_backend.data.items import Items, PreparedCase, hot
from training_backend.data.strokes import hold_out
from training_backend.engine import checkpoint
from training_backend.engine.budget import Budget
from training_backend.engine.desk import Desk, Revision
from training_backend.engine.device import choose_device
from training_backend.engine.loop import Report, train
from training_backend.engine.predict import predict
from training_backend.export.model import load_model, save_model
from training_backend.jobs.cases import StoredCase, read_annotation, read_image
from training_backend.jobs.doubt import doubt, next_slice
from training_backend.jobs.examiner import Examiner
from training_backend.methods import METHODS
from training_backend.methods.first_teachers import Stacking, beliefs
from training_backend.methods.votes import Seen

CHECKPOINT_SECONDS = 15.0
PROGRESS_SECONDS = 0.5
FIRST_PREVIEW_SECONDS = 4.0
PREVIEW_GROWTH = 1.4
PREVIEW_SHARE = 0.15
LAST_SHARE = 0.4
BELIEF_SHARE = 0.1


@dataclass
class TrainingCase:
    """A case as a run needs it: ``image`` (D, H, W), ``affine`` index to RAS mm, ``annotation`` uint8 class
    ids with ``UNLABELLED``, ``growcut`` of all its strokes if somebody has computed it already."""

    id: str
    name: str
    image: np.ndarray
    affine: np.ndarray
    kind: AnnotationKind
    revision: int
    annotation: np.ndarray
    growcut: np.ndarray | None = None


class Training:
    """The state of one run. The first case is the one that previews show."""

    def __init__(
        self,
        folder: Path,
        request: JobRequest,
        settings: TrainSettings,
        cases: Sequence[TrainingCase],
        desk: Desk,
        previous: Path | None = None,
    ) -> None:
        if not cases:
            raise BadAnnotation("No case of this job carries an annotation; draw on at least one.")
        self.folder, self.request, self.desk = folder, request, desk
        self.settings, self.view = settings, view_for(settings, len(cases))
        self.cases = list(cases)
        self.examiner = Examiner(request.labels, self.cases[0].kind)
        self.ids = np.array(request.labels.ids, np.uint8)
        self.channel_of = np.full(256, -1)
        self.channel_of[self.ids] = np.arange(len(self.ids))
        self.released = False
        self.step = 0
        self.belief_seconds = 0.0
        self._older = self._predict_with(previous) if previous else None

    def run(self) -> None:
        """Everything; returns early, without a candidate, when the user cancels."""
        self.desk.emit(StateChanged("preparing", "Preparing the images and growing the first labels."))
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        self.budget = Budget(self.settings.seconds, self.settings.clock, self.settings.steps)
        self._prepare()
        facts = checkpoint.load(
            self.folder / "checkpoint", self.method.learner.modules(), self.method.learner.optimizer
        )
        self._resume(facts or {})
        self.desk.emit(StateChanged("training", ""))
        for report in train(self.method.stages(), self.budget, self.step):
            self.step = report.step
            if not self._between_steps(report):
                break
        if self.desk.orders().end != "cancel":
            self._finish()

    def _prepare(self) -> None:
        shapes, spacings = [c.image.shape for c in self.cases], [spacing_mm(c.affine) for c in self.cases]
        self.preprocess = preprocess.fit(shapes, spacings, self.settings, self.view)
        device = choose_device(self.settings.device)
        for place, case in enumerate(self.cases):
            kept = self._kept_aside(case)
            self.examiner.held[case.id] = kept
            if place == 0 and case.kind == "scribble":
                if case.growcut is None:
                    case.growcut = growcut(case.image, case.annotation)
                self._show(case, case.growcut, "growcut", "Grow-cut of your strokes; the student is learning.")
        prepared = self._prepared(self.cases)
        self.items = Items(prepared, self.preprocess.dims, device)
        self.method = METHODS[self.request.method](self.settings, self.items, self.preprocess, self.view)
        self.next_progress = self.next_checkpoint = 0.0
        self.next_preview = FIRST_PREVIEW_SECONDS

    def _kept_aside(self, case: TrainingCase) -> np.ndarray:
        if case.kind == "scribble":
            return hold_out(case.annotation, self.settings.held_out, self.settings.seed)[1]
        return _every_nth_slice(case.annotation, self.preprocess.slice_axis, self.settings.held_out)

    def _prepared(self, cases: Sequence[TrainingCase]) -> list[PreparedCase]:
        """Working tensors of some cases; without their held-out strokes until these are released."""
        start = self.budget.spent()
        images = [self.preprocess.image(case.image, spacing_mm(case.affine)) for case in cases]
        taught = [self._taught(case) for case in cases]
        if self.cases[0].kind == "dense":
            believed = [hot(part, len(self.ids)) for part in taught]
        else:
            seen = [self._seen(image, part) for image, part in zip(images, taught, strict=True)]
            believed = beliefs(seen, len(self.ids), Stacking(), self.settings.seed)
            for case, part in zip(cases, seen, strict=True) if not self.released else ():
                grown = torch.from_numpy(growcut(part.image, part.strokes).astype(np.int8))
                self.examiner.growcut[case.id] = self._ids(hot(grown, len(self.ids)), case)
        self.belief_seconds = self.budget.spent() - start
        return [PreparedCase(*parts) for parts in zip((c.id for c in cases), images, taught, believed, strict=True)]

    def _taught(self, case: TrainingCase) -> Tensor:
        """(D', H', W') int8 channels of the strokes that may teach."""
        held = self.examiner.held[case.id]
        strokes = case.annotation if self.released else np.where(held == UNLABELLED, case.annotation, UNLABELLED)
        return self.preprocess.labels(strokes, spacing_mm(case.affine), self.channel_of)

    def _seen(self, image: Tensor, strokes: Tensor) -> Seen:
        drawn = np.where(strokes.numpy() < 0, UNLABELLED, strokes.numpy()).astype(np.uint8)
        return Seen(image[0].numpy(), drawn, self.preprocess.spacing_mm)

    def _resume(self, facts: dict[str, Any]) -> None:
        self.step = facts.get("step", 0)
        self.budget.seconds_spent_before = facts.get("seconds", 0.0)
        self.examiner.best = facts.get("best", 0.0)
        if facts.get("released"):
            self._release()

    def _between_steps(self, report: Report) -> bool:
        """What happens between two steps; False ends training."""
        orders = self.desk.orders()
        for revision in orders.revisions:
            self._join(revision)
        if orders.end:
            return False
        spent = self.budget.spent()
        if report.fraction >= self.settings.release and not self.released:
            self._look(range(len(self.cases)))
            self._release()
        if spent >= self.next_progress:
            self.next_progress = spent + PROGRESS_SECONDS
            left = self.budget.seconds_left(report.step)
            self.desk.emit(Progress(report.step, min(report.fraction, 0.99), left, report.stage, report.losses))
        if spent >= self.next_preview:
            self._look()
            now = self.budget.spent()
            self.next_preview = max(now * PREVIEW_GROWTH, now + (now - spent) / PREVIEW_SHARE)
        if spent >= self.next_checkpoint:
            self.next_checkpoint = spent + CHECKPOINT_SECONDS
            self._checkpoint()
        return True

    def _join(self, revision: Revision) -> None:
        """Take a correction in: from the next step on it teaches like every other stroke."""
        place = next(place for place, case in enumerate(self.cases) if case.id == revision.case)
        case = self.cases[place]
        case.annotation, case.growcut, case.revision = revision.labels, revision.growcut, revision.number
        held = self.examiner.held[case.id]
        self.examiner.held[case.id] = np.where(held == revision.labels, held, UNLABELLED).astype(np.uint8)
        if place == 0 and case.growcut is None and case.kind == "scribble":
            case.growcut = growcut(case.image, case.annotation)
        self.items.replace(place, self._prepared([case])[0])
        self.method.annotation_changed()
        self.desk.emit(RevisionJoined(case.id, revision.number, self.step))

    def _release(self) -> None:
        """The held-out strokes have done their work as judges and become teachers.

        What the first teachers believe is made anew only if that is cheap: the strokes speak for themselves.
        """
        self.released = True
        if self.belief_seconds < BELIEF_SHARE * self.budget.seconds:
            for place, prepared in enumerate(self._prepared(self.cases)):
                self.items.replace(place, prepared)
        else:
            for place, case in enumerate(self.cases):
                self.items.replace_strokes(place, self._taught(case))
        self.method.annotation_changed()

    def _look(self, places: Sequence[int] = (0,)) -> None:
        """Save the model, load it back, and let what was loaded predict: every preview is also a proof.

        Shows and examines the cases at ``places``; the first case is always among them.
        """
        learner = self.method.learner
        draft = self.folder / "candidate"
        save_model(draft, learner.teacher, self.preprocess, self.request.labels, self._card())
        loaded = load_model(draft, self.items.device.type, learner.dtype).network
        probability = {place: self._probability(loaded, place) for place in places}
        alone = {self.cases[at].id: self._ids(p, self.cases[at]) for at, p in probability.items()}
        heard = {self.cases[at].id: self._consensus(p, at) for at, p in probability.items()}
        if not self.released:
            self.desk.emit(self.examiner.examine(self.step, heard, alone))
        for place in places:
            self._show_better(place, heard[self.cases[place].id], probability[place])
        if self.settings.until_good and not self.released and self.examiner.has_settled(heard[self.cases[0].id]):
            self.budget.end_within(LAST_SHARE * self.budget.spent())
        not_worse, sentence = self.examiner.against(self.cases[0].id, self._older)
        self.desk.candidate(draft, self.examiner.alone, not_worse, sentence)

    def _show_better(self, place: int, labels: np.ndarray, probability: Tensor) -> None:
        """The student's labels, or grow-cut's where the student is not as good yet, and where it is unsure."""
        case = self.cases[place]
        student = self._probability(self.method.learner.student, place)
        unsure = doubt(probability, student, self.preprocess, case.image.shape)
        if case.kind == "dense" or self.examiner.student_leads:
            self._show(case, with_strokes(labels, case), "student", self.examiner.verdict(), unsure)
        else:
            if case.growcut is None:
                case.growcut = growcut(case.image, case.annotation)
            self._show(case, case.growcut, "growcut", self.examiner.verdict(), unsure)
        if place == 0:
            self._suggest(case, unsure)

    def _finish(self) -> None:
        """The last look is the model: saved, loaded back, and what it predicted is what is shown."""
        self.desk.emit(StateChanged("validating", "Saving the model, loading it back and predicting once."))
        self._look(range(len(self.cases)))

    def _checkpoint(self) -> None:
        learner = self.method.learner
        facts = {
            "step": self.step,
            "seconds": self.budget.spent(),
            "released": self.released,
            "best": self.examiner.best,
        }
        try:
            checkpoint.save(self.folder / "checkpoint", learner.modules(), learner.optimizer, facts)
        except OutOfSpace as error:
            self.desk.emit(Warned(error.sentence))

    def _predict_with(self, older: Path) -> Callable[[], np.ndarray]:
        """What the current model makes of the first case, when it is asked."""
        case = self.cases[0]
        return lambda: load_model(older, self.settings.device).predict(case.image, case.affine)

    def _card(self) -> dict[str, object]:
        return {
            "method": self.request.method,
            "preset": self.request.preset,
            "settings": asdict(self.settings),
            "cases": [{"name": c.name, "sha256": c.id, "revision": c.revision} for c in self.cases],
            "steps": self.step,
            "held_out": asdict(self.examiner.latest) if self.examiner.latest else None,
        }

    def _probability(self, network: torch.nn.Module, place: int) -> Tensor:
        learner = self.method.learner
        image, divisor = self.items.whole_image(place), learner.shape.divisor()
        return predict(network, image, divisor, learner.dtype, scales=self.preprocess.scales)

    def _consensus(self, probability: Tensor, place: int) -> np.ndarray:
        """What student and first teachers together make of an annotated case, (D, H, W) ids."""
        case, share = self.cases[place], self.settings.consult
        return self._ids((1.0 - share) * probability + share * self.items.belief_of(place), case)

    def _ids(self, probability: Tensor, case: TrainingCase) -> np.ndarray:
        return self.ids[self.preprocess.restore_labels(probability, case.image.shape).cpu().numpy()]

    def _show(
        self,
        case: TrainingCase,
        labels: np.ndarray,
        source: PreviewSource,
        sentence: str,
        doubt: np.ndarray | None = None,
    ) -> None:
        self.desk.preview(case.id, labels, source, self.step, case.revision, doubt, sentence)

    def _suggest(self, case: TrainingCase, unsure: np.ndarray) -> None:
        axis = self.preprocess.slice_axis
        index = next_slice(unsure, case.annotation, axis)
        if index is not None:
            sentence = f"Slice {index + 1} has no stroke and is the least certain."
            self.desk.emit(Suggestion(case.id, axis, index, sentence))


def run(
    folder: Path,
    request: JobRequest,
    settings: TrainSettings,
    cases: Sequence[StoredCase],
    desk: Desk,
    previous: Path | None = None,
) -> None:
    """Train in ``folder`` from stored cases; what a worker process runs."""
    loaded = [_load(case) for case in cases if case.annotation is not None]
    Training(folder, request, settings, loaded, desk, previous).run()


def _load(stored: StoredCase) -> TrainingCase:
    if stored.annotation is None or stored.revision is None:
        raise BadAnnotation(f"The case '{stored.name}' carries no annotation.")
    frame = read_image(stored.image)
    if frame.affine is None:
        raise BadAnnotation(f"The case '{stored.name}' has no geometry; upload it again.")
    labels, growcut = read_annotation(stored.annotation)
    return TrainingCase(
        stored.case, stored.name, frame.array, frame.affine, stored.kind, stored.revision, labels, growcut
    )


def with_strokes(labels: np.ndarray, case: TrainingCase) -> np.ndarray:
    """What the user drew is not in doubt: strokes overrule what is shown."""
    if case.kind == "dense":
        return labels
    return np.where(case.annotation == UNLABELLED, labels, case.annotation)


def _every_nth_slice(labels: np.ndarray, axis: int, share: float) -> np.ndarray:
    """Dense labels of about ``share`` of the slices that show a class; ``UNLABELLED`` elsewhere."""
    turned = np.moveaxis(labels, axis, 0)
    kept = np.full(turned.shape, UNLABELLED, np.uint8)
    shown = np.flatnonzero(((turned > 0) & (turned != UNLABELLED)).any(axis=(1, 2)))
    if share > 0 and len(shown) > 2:
        chosen = shown[1 :: max(2, round(1 / share))]
        kept[chosen] = turned[chosen]
    return np.moveaxis(kept, 0, axis)

"""One training run: cases in; previews, held-out scores and verified models out.

    prepare ─► grow-cut shown ─► steps ─┬─ orders: stop, cancel, corrections join at a step boundary
                                        ├─ preview and examination on a growing interval
                                        └─ checkpoint; a life after a crash goes on from it
    finish  ─► saved, loaded back, predicted: only then a candidate model

The student is shown once it is at least as good as grow-cut on strokes that neither has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from slicer_kdseg.protocol.errors import BadAnnotation, OutOfSpace
from slicer_kdseg.protocol.messages import JobRequest, Progress, RevisionJoined, StateChanged, Warned
from slicer_kdseg.protocol.settings import TrainSettings, view_for
from training_backend.engine import checkpoint
from training_backend.engine.budget import Budget
from training_backend.engine.desk import Desk, Orders, Revision
from training_backend.engine.device import choose_device
from training_backend.engine.loop import Report, train
from training_backend.jobs.cases import StoredCase, read_annotation, read_image
from training_backend.jobs.examiner import Examiner
from training_backend.jobs.material import Material, TrainingCase
from training_backend.jobs.showing import Showing
from training_backend.methods import METHODS

CHECKPOINT_SECONDS = 15.0
PROGRESS_SECONDS = 0.5
FIRST_PREVIEW_SECONDS = 4.0
PREVIEW_GROWTH = 1.4
PREVIEW_SHARE = 0.15
LAST_SHARE = 0.4
TRAINING_SHARE = 0.6


class Training:
    """The state of one run in ``folder``. The first case is the one that previews show."""

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
        self.folder, self.request, self.settings, self.desk = folder, request, settings, desk
        self.cases, self.previous = cases, previous
        self.examiner = Examiner(request.labels, request.method == "supervised")
        self.step = 0
        self.next_progress = self.next_checkpoint = 0.0
        self.next_preview = FIRST_PREVIEW_SECONDS

    def run(self) -> None:
        """Everything; returns early, without a candidate, when the user cancels or stops before the first step."""
        self.desk.emit(StateChanged("preparing", "Preparing the images and asking the first teachers."))
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        self.budget = Budget(self.settings.seconds, self.settings.clock, self.settings.steps)
        self._prepare()
        self._resume()
        if not self.step:
            self.budget.leave_at_least(TRAINING_SHARE)
        orders = self.desk.orders()
        self._join(orders.revisions)
        if orders.end is None:
            self.desk.emit(StateChanged("training", ""))
            orders = self._train()
        if orders.end == "cancel" or not self.step:
            return
        self.desk.emit(StateChanged("validating", "Saving the model, loading it back and predicting once."))
        self.showing.look(self.method.learner, self.step, range(len(self.cases)))

    def _prepare(self) -> None:
        view, device = view_for(self.settings, len(self.cases)), choose_device(self.settings.device)
        self.material = Material(self.cases, self.request.labels, self.settings, view, self.examiner)
        self.showing = Showing(
            self.folder, self.request, self.settings, self.material, self.examiner, self.desk, self.previous
        )
        if not self.material.dense:
            self.showing.growcut(self.cases[0], 0, "Grow-cut of your strokes; the student is learning.")
        self.material.open(device)
        self.method = METHODS[self.request.method](self.settings, self.material.items, self.material.preprocess, view)

    def _resume(self) -> None:
        """Go on from the checkpoint of an earlier life, if there is one."""
        learner = self.method.learner
        facts: dict[str, Any] = checkpoint.load(self.folder / "checkpoint", learner.modules(), learner.optimizer) or {}
        self.step = facts.get("step", 0)
        self.budget.seconds_spent_before = facts.get("seconds", 0.0)
        self.examiner.best = facts.get("best", 0.0)
        if facts.get("released"):
            self._release()

    def _train(self) -> Orders:
        """Step until the budget is gone or the user ends it; returns the last orders."""
        for report in train(self.method.stages(), self.budget, self.step):
            self.step = report.step
            orders = self.desk.orders()
            self._join(orders.revisions)
            if orders.end:
                return orders
            self._between_steps(report)
        return Orders()

    def _join(self, revisions: Sequence[Revision]) -> None:
        """Take corrections in: from the next step on they teach like every other stroke."""
        for revision in revisions:
            case = self.material.join(revision)
            self.method.annotation_changed()
            self.desk.emit(RevisionJoined(case.id, revision.number, self.step))

    def _between_steps(self, report: Report) -> None:
        spent, released = self.budget.spent(), self.material.released
        if report.fraction >= self.settings.release and not released:
            self.showing.look(self.method.learner, self.step, range(len(self.cases)))
            self._release()
        if spent >= self.next_progress:
            self.next_progress = spent + PROGRESS_SECONDS
            left = self.budget.seconds_left(report.step)
            self.desk.emit(Progress(report.step, min(report.fraction, 0.99), left, report.stage, report.losses))
        if spent >= self.next_preview:
            labels = self.showing.look(self.method.learner, self.step, [0])
            if self.settings.until_good and not released and self.examiner.has_settled(labels):
                self.budget.end_within(LAST_SHARE * self.budget.spent())
            now = self.budget.spent()
            self.next_preview = max(now * PREVIEW_GROWTH, now + (now - spent) / PREVIEW_SHARE)
        if spent >= self.next_checkpoint:
            self.next_checkpoint = spent + CHECKPOINT_SECONDS
            self._checkpoint()

    def _release(self) -> None:
        if self.material.release():
            self.method.annotation_changed()
        else:
            self.method.strokes_added()

    def _checkpoint(self) -> None:
        learner, released = self.method.learner, self.material.released
        facts = {"step": self.step, "seconds": self.budget.spent(), "released": released, "best": self.examiner.best}
        try:
            checkpoint.save(self.folder / "checkpoint", learner.modules(), learner.optimizer, facts)
        except OutOfSpace as error:
            self.desk.emit(Warned(error.sentence))


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

"""One training run: cases in; previews, held-out scores and verified models out.

    prepare ─► grow-cut shown ─► steps ─┬─ orders: stop, cancel, corrections join at a step boundary
                                        ├─ preview and examination on a growing interval
                                        └─ checkpoint; a life after a crash goes on from it
    finish  ─► saved, loaded back, predicted: only then a candidate model

The student is shown once it is at least as good as grow-cut on strokes that neither has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from slicer_kdseg.protocol.errors import BadAnnotation, OutOfSpace
from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.messages import JobRequest, Progress, RevisionJoined, StateChanged, Warned
from slicer_kdseg.protocol.method_settings import TrainSettings
from training_backend.engine import checkpoint
from training_backend.engine.budget import Budget
from training_backend.engine.checkpoint import Memory
from training_backend.engine.desk import Desk, Orders, Revision
from training_backend.engine.device import choose_device
from training_backend.engine.loop import Report, train
from training_backend.jobs.cases import StoredCase, read_annotation, read_image
from training_backend.jobs.examiner import Examiner
from training_backend.jobs.material import Material
from training_backend.jobs.showing import Showing
from training_backend.jobs.training_case import TrainingCase
from training_backend.methods import METHODS
from training_backend.methods.method import Messenger

CHECKPOINT_SECONDS = 15.0
PROGRESS_SECONDS = 0.5
FIRST_PREVIEW_SECONDS = 4.0
PREVIEW_GROWTH = 1.4
PREVIEW_SHARE = 0.15
LAST_SHARE = 0.4
TRAINING_SHARE = 0.6
CORRECTION_SHARE = 0.25
ASKING_SHARE = 0.5
GROWCUT_SHARE = 0.4


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
        if not any(case.part == "annotated" for case in cases):
            raise BadAnnotation("No case of this job carries an annotation; draw on at least one.")
        self.folder, self.request, self.settings, self.desk = folder, request, settings, desk
        self.cases, self.previous = sorted(cases, key=lambda case: case.part != "annotated"), previous
        self.examiner = Examiner(request.labels, settings.learns_from == "dense")
        self.step = 0
        self.next_progress = self.next_checkpoint = 0.0
        self.next_preview = FIRST_PREVIEW_SECONDS
        self._waiting: list[Revision] = []
        self._ending: Literal["stop", "cancel"] | None = None

    def run(self) -> None:
        """Everything; returns early, without a candidate, when the user cancels or stops before the first step."""
        teachers = " and asking the first teachers" if self.settings.learns_from == "scribble" else ""
        self.desk.emit(StateChanged("preparing", f"Preparing the images{teachers}."))
        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        self.budget = Budget(self.settings.seconds, self.settings.clock, self.settings.steps)
        self._prepare()
        self._resume()
        if not self.step:
            self.budget.leave_at_least(TRAINING_SHARE)
        orders = self._orders()
        while True:
            if orders.end is None:
                self.desk.emit(StateChanged("training", ""))
                orders = self._train()
            if orders.end == "cancel" or not self.step:
                return
            self.desk.emit(StateChanged("validating", "Saving the model, loading it back and predicting once."))
            self._look(self.material.annotated)
            if orders.end or not self._late():
                return

    def _prepare(self) -> None:
        device = choose_device(self.settings.device)
        self.material = Material(self.cases, self.request.labels, self.settings, self.examiner)
        self.showing = Showing(
            self.folder, self.request, self.settings, self.material, self.examiner, self.desk, self.previous
        )
        if not self.material.dense:
            self.showing.growcut(self.cases[0], 0, "Grow-cut of your strokes; the student is learning.")
        begun = self.budget.spent()
        self.material.open(device)
        self._asking = self.budget.spent() - begun
        messenger = Messenger(
            lambda sentence: self.desk.emit(Warned(sentence)),
            self.showing.propagated,
            self._ended,
            self.showing.handed_over,
            lambda: self.budget.fraction(self.step),
        )
        self.method = METHODS[self.request.method](
            self.settings, self.material.items, self.material.preprocess, self.material.view, messenger
        )

    def _resume(self) -> None:
        """Go on from the checkpoint of an earlier life, if there is one."""
        recalled = checkpoint.load(self.folder / "checkpoint", self.method.memory())
        if recalled is None:
            return
        self.step = recalled.facts["step"]
        self.examiner.best = recalled.facts["best"]
        if recalled.facts["released"]:
            self.material.release(recalled.facts["asked_again"])
        self.method.remember(recalled)
        self.budget.go_on(recalled.facts["budget"], recalled.facts["spent"])

    def _train(self) -> Orders:
        """Step until the budget is gone or the user ends it; returns the last orders."""
        for report in train(self.method.stages(), self.budget, self.step):
            self.step = report.step
            orders = self._orders()
            if orders.end:
                return orders
            self._between_steps(report)
        return Orders(self._ending)

    def _late(self) -> bool:
        """Whether a correction came while the model was looked at for the last time; it has its time to teach too."""
        self._ended()
        came = bool(self._waiting) and self._ending is None
        if came:
            self._orders()
        return came

    def _ended(self) -> bool:
        """Whether the user wants the job to end, asked in the middle of long work; corrections wait their turn."""
        orders = self.desk.orders()
        self._waiting += orders.revisions
        self._ending = self._ending or orders.end
        return self._ending is not None

    def _orders(self) -> Orders:
        """What the user wants; corrections have joined by now."""
        self._ended()
        self._join(self._waiting)
        self._waiting = []
        return Orders(self._ending)

    def _join(self, revisions: Sequence[Revision]) -> None:
        """Take corrections in: from the next step on they teach like every other stroke, and have the time to do so."""
        for revision in revisions:
            case = self.material.join(revision)
            self.desk.emit(RevisionJoined(case.id, revision.number, self.step))
        if revisions:
            self.budget.leave_at_least(CORRECTION_SHARE)

    def _between_steps(self, report: Report) -> None:
        spent, released = self.budget.spent(), self.material.released
        if report.fraction >= self.settings.release and not released:
            self._look(self.material.annotated)
            self.material.release(self._may_ask_again())
        if spent >= self.next_progress:
            self.next_progress = spent + PROGRESS_SECONDS
            left = self.budget.seconds_left(report.step)
            self.desk.emit(Progress(report.step, min(report.fraction, 0.99), left, report.stage, report.losses))
        if spent >= self.next_preview:
            labels = self._look([0])
            if labels is not None and self.settings.until_good and not released and self.examiner.has_settled(labels):
                self.budget.end_within(LAST_SHARE * self.budget.spent())
            now = self.budget.spent()
            self.next_preview = max(now * PREVIEW_GROWTH, now + (now - spent) / PREVIEW_SHARE)
        if spent >= self.next_checkpoint:
            self.next_checkpoint = spent + CHECKPOINT_SECONDS
            self._checkpoint()

    def _may_ask_again(self) -> bool:
        """Whether the first teachers leave the student time to learn from what they say: they took 33 of 60 CPU seconds
        for three abdomens, and asked again all that was left. Without stacking they need ``GROWCUT_SHARE``."""
        left = self.budget.seconds - self.budget.spent()
        again = self._asking * (1.0 if self.material.stacked else GROWCUT_SHARE)
        return self.settings.steps is not None or again <= ASKING_SHARE * left

    def _look(self, places: Sequence[int]) -> np.ndarray | None:
        """Show the cases at ``places``, the first among them, if the method has begun to learn."""
        if not self.method.ready:
            return None
        return self.showing.look(self.method.learner, self.step, places, self.method.notes)

    def _checkpoint(self) -> None:
        facts = {
            "step": self.step,
            "spent": self.budget.spent(),
            "budget": self.budget.seconds,
            "released": self.material.released,
            "asked_again": self.material.asked_again,
            "best": self.examiner.best,
        }
        try:
            checkpoint.save(self.folder / "checkpoint", self.method.memory() | Memory(facts=facts))
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
    Training(folder, request, settings, chosen(map(_load, cases), settings), desk, previous).run()


def chosen(cases: Iterable[TrainingCase], settings: TrainSettings) -> list[TrainingCase]:
    """The cases that the method of ``settings`` can use; a scribbled one is unlabelled to those that need complete
    labels."""
    usable = []
    for case in cases:
        if settings.learns_from == "dense" and case.kind == "scribble" and case.part == "annotated":
            case = replace(case, annotation=np.full_like(case.annotation, UNLABELLED), growcut=None)
        if (case.part != "unlabelled" or settings.takes_unlabelled) and (
            case.part != "assistant" or settings.takes_assistants
        ):
            usable.append(case)
    return usable


def _load(stored: StoredCase) -> TrainingCase:
    frame = read_image(stored.image)
    if frame.affine is None:
        raise BadAnnotation(f"The case '{stored.name}' has no geometry; upload it again.")
    if stored.annotation is None:
        labels, growcut = np.full(frame.array.shape, UNLABELLED, np.uint8), None
    else:
        labels, growcut = read_annotation(stored.annotation)
    return TrainingCase(
        stored.case,
        stored.name,
        frame.array,
        frame.affine,
        stored.kind,
        stored.revision or 0,
        labels,
        growcut,
        stored.role,
    )

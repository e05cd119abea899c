"""How a training went, as numbers: what a plot and a report show."""

from __future__ import annotations

from dataclasses import dataclass, field

from slicer_kdseg.protocol.messages import HeldOut, Progress
from slicer_kdseg.scene.signals import SessionSignals
from slicer_kdseg.scene.state import SessionState

MOST_POINTS = 2000  # then every second one goes: a plot needs no more, and a job may run for a day


@dataclass
class TrainingHistory:
    """``losses``: (step, sum of the loss terms); ``student`` and ``growcut``: (step, held-out mean in 0..1)."""

    job_id: str = ""
    losses: list[tuple[int, float]] = field(default_factory=list)
    student: list[tuple[int, float]] = field(default_factory=list)
    growcut: list[tuple[int, float]] = field(default_factory=list)
    version: int = 0

    def follow(self, signals: SessionSignals) -> None:
        signals.state_changed.connect(self._state_changed)
        signals.progressed.connect(self._progressed)
        signals.held_out_measured.connect(self._measured)

    def _state_changed(self, state: SessionState) -> None:
        if state.job_id and state.job_id != self.job_id:
            self.job_id = state.job_id
            self.losses, self.student, self.growcut = [], [], []
            self.version += 1

    def _progressed(self, progress: Progress) -> None:
        if progress.losses:
            self.losses = _appended(self.losses, (progress.step, sum(progress.losses.values())))
            self.version += 1

    def _measured(self, held: HeldOut) -> None:
        if not held.student:  # a method that learns from finished segmentations keeps no strokes aside
            return
        self.student = _appended(self.student, (held.step, held.student_mean))
        self.growcut = _appended(self.growcut, (held.step, held.growcut_mean))
        self.version += 1


def _appended(points: list[tuple[int, float]], point: tuple[int, float]) -> list[tuple[int, float]]:
    """A training that is found again tells its steps anew: a step that goes back replaces what came after it."""
    if points and point[0] <= points[-1][0]:
        points = [known for known in points if known[0] < point[0]]
    points = [*points, point]
    return points[::2] if len(points) > MOST_POINTS else points

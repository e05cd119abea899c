"""How much of a job's time is gone: by the wall, by the CPU, or by a number of steps."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Budget:
    """A time budget that survives restarts.

    ``seconds_spent_before`` is what earlier lives of the job used. With ``steps`` the fraction counts
    steps instead, so that a run can be repeated exactly.
    """

    seconds: float
    clock: Literal["wall", "cpu"] = "wall"
    steps: int | None = None
    seconds_spent_before: float = 0.0
    _start: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._start = self._now()

    def spent(self) -> float:
        return self.seconds_spent_before + self._now() - self._start

    def go_on(self, seconds: float, spent: float) -> None:
        """Become the budget of an earlier life: ``seconds``, of which ``spent`` are gone.

        What this life has taken until now does not count: the earlier one has paid for its preparation already.
        """
        self.seconds, self.seconds_spent_before = seconds, spent
        self._start = self._now()

    def fraction(self, step: int) -> float:
        """Share of the budget that is gone before ``step`` (counted from 0), in 0..1."""
        gone = step / self.steps if self.steps else self.spent() / self.seconds
        return min(gone, 1.0)

    def seconds_left(self, step: int) -> float | None:
        """Expected seconds to the end; None before the first step of a budget in steps."""
        if not self.steps:
            return max(self.seconds - self.spent(), 0.0)
        return self.spent() / step * max(self.steps - step, 0) if step else None

    def end_within(self, seconds: float) -> None:
        """Shorten the budget so that it ends ``seconds`` from now; schedules decay over what is left."""
        if not self.steps:
            self.seconds = min(self.seconds, self.spent() + seconds)

    def leave_at_least(self, share: float) -> None:
        """Lengthen the budget if less than ``share`` of it is left: long preparation must not eat the training."""
        self.seconds = max(self.seconds, self.spent() + share * self.seconds)

    def _now(self) -> float:
        return time.process_time() if self.clock == "cpu" else time.monotonic()

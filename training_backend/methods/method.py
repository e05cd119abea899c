"""What a training run and a method expect of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from training_backend.engine.checkpoint import Memory, Recalled
from training_backend.engine.loop import Stage
from training_backend.methods.learner import Learner


@dataclass(frozen=True)
class Messenger:
    """What a method may tell the user while it works.

    ``say`` puts a sentence into the job's history; ``show`` shows class probabilities (K+1, D', H', W') at
    working spacing of the case at a place as propagated labels, with a sentence; ``hand_over`` shows them as the
    student's; ``ended`` tells whether the user wants the job to end, for work that takes long between two steps, and
    ``gone`` which share of the budget is gone.
    """

    say: Callable[[str], None] = lambda sentence: None
    show: Callable[[int, Tensor, str], None] = lambda place, probability, sentence: None
    ended: Callable[[], bool] = lambda: False
    hand_over: Callable[[int, Tensor, str], None] = lambda place, probability, sentence: None
    gone: Callable[[], float] = lambda: 0.0


class Method(Protocol):
    """A method over its items.

    ``learner``: whose teacher is saved as the model. ``ready``: whether it has begun to learn, so that it can be
    shown. ``notes``: what the model card should say about how it has learnt.
    """

    learner: Learner
    ready: bool
    notes: dict[str, Any]

    def stages(self) -> Iterator[Stage]:
        """The whole training; what stands between two yields must be repeatable after a restart."""

    def memory(self) -> Memory:
        """What a checkpoint must hold so that a restarted run ends as an uninterrupted one."""

    def remember(self, recalled: Recalled) -> None:
        """Take back what has no place of its own, after modules and optimisers have been restored."""

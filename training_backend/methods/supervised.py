"""Dense labels to a student by cross-entropy and Dice: the reference, and the upper bound of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slicer_kdseg.protocol.method_settings import SupervisedSettings
from slicer_kdseg.protocol.settings import View
from training_backend.data.items import Items
from training_backend.data.preprocess import Preprocess
from training_backend.engine.checkpoint import Memory, Recalled
from training_backend.engine.loop import Moment, Stage, Terms
from training_backend.engine.schedules import warm_then_linear
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.learner import Learner
from training_backend.methods.method import Messenger


class Supervised:
    """The method over its items, whose belief is the dense label map itself."""

    def __init__(
        self,
        settings: SupervisedSettings,
        items: Items,
        preprocess: Preprocess,
        view: View,
        messenger: Messenger,
    ) -> None:
        self.settings = settings
        self.learner = Learner(settings, items, preprocess, view)
        self.ready = True
        self.notes: dict[str, Any] = {}

    def stages(self) -> Iterator[Stage]:
        """One stage from the first step to the end of the budget."""
        learner = self.learner
        yield Stage(
            "supervised", 1.0, learner.student, learner.optimizer, warm_then_linear, self.imitate, learner.follow
        )

    def imitate(self, moment: Moment) -> Terms:
        batch = self.learner.draw(moment)
        with self.learner.autocast():
            logits = self.learner.student(batch.image)
        logits = logits.float()
        return {
            "target_ce": self.settings.target_ce * soft_cross_entropy(logits, batch.target),
            "target_dice": self.settings.target_dice * soft_dice(logits, batch.target),
        }

    def memory(self) -> Memory:
        return self.learner.memory()

    def remember(self, recalled: Recalled) -> None:
        """Nothing beside the learner: the target is the labels."""
        self.learner.remember(recalled)

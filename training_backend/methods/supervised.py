"""Dense labels to a student by cross-entropy and Dice: the reference, and the upper bound of the others."""

from __future__ import annotations

from collections.abc import Iterator

from slicer_kdseg.protocol.settings import SupervisedSettings, View
from training_backend.data.items import Items
from training_backend.data.preprocess import Preprocess
from training_backend.engine.loop import Moment, Stage, Terms
from training_backend.engine.schedules import warm_then_linear
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.learner import Learner


class Supervised:
    """The method over its items, whose belief is the dense label map itself."""

    def __init__(self, settings: SupervisedSettings, items: Items, preprocess: Preprocess, view: View) -> None:
        self.settings = settings
        self.learner = Learner(settings, items, preprocess, view, heads=0)
        self.items = items

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

    def strokes_added(self) -> None:
        """The items hold more strokes and the same first belief: the target keeps what it has become."""
        self.items.speak()

    def annotation_changed(self) -> None:
        """The items hold new labels: the target is rebuilt before the next step."""
        self.items.begin_anew()

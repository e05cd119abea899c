"""Dense labels to a student that keeps the shape when the intensities change: SIKD-style.

    labels ──► picture, one intensity a class ──► teacher of shape ──► its decoder maps
       │                                              │ gate                │
       │                                              ▼                     ▼ feature distillation
       └──► CE + Dice ──► student ◄── image, or image with every class in a contrast of its own

The ``fast`` preset has those contrasts and no teacher, which takes more from a student than it gives (BENCHMARKS.md).

Shape-intensity knowledge distillation (Frontiers of Computer Science 19:199705, arXiv 2409.17503) is known to us by
abstract, figures and the public code of its cardiac task; nothing is taken from that code. The ``paper`` preset has
its terms: teacher without skip connections on class means, raw maps of the last decoder level, weight 2, CE alone.
It differs in this: optimiser schedule and batch norm are ours, one convolution a level stands for two, the late map
is at half resolution; views are turned by up to 180 degrees always, not every other time, shifted by up to 10 % of an
image, not 12.5 %, and scaled, which theirs are not; and a teacher has to pass our gate. What is our own beside the
gate: drawn intensities, maps of all levels, standardised maps, and painted views of the student.
Stages: ``teacher``, then, if it has converged, ``student`` with its hints; else ``student`` by labels alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from slicer_kdseg.protocol.method_settings import ShapeIntensitySettings
from slicer_kdseg.protocol.settings import View
from training_backend.data.items import Items
from training_backend.data.preprocess import Preprocess
from training_backend.data.recontrast import draw_contrasts, recontrasted
from training_backend.engine.checkpoint import Memory, Recalled
from training_backend.engine.loop import Moment, Stage, Terms, generator_for
from training_backend.engine.schedules import share_gone, sigmoid_ramp, warm_then_linear
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.learner import Batch, Learner
from training_backend.methods.method import Messenger
from training_backend.methods.shape_teacher import ShapeTeacher, ShapeTeaching

CONTRAST_SALT = 822_517


class ShapeIntensity:
    """The method over its items, whose belief is the dense label map itself."""

    def __init__(
        self, settings: ShapeIntensitySettings, items: Items, preprocess: Preprocess, view: View, messenger: Messenger
    ) -> None:
        self.settings, self.items, self.preprocess = settings, items, preprocess
        self.learner = Learner(settings, items, preprocess, view)
        how = ShapeTeaching(
            settings.paint, settings.teacher_skips, settings.all_maps, settings.standardised, gate=settings.gate
        )
        wanted = settings.feature > 0 or settings.inherit
        self.shape = ShapeTeacher(self.learner, how, messenger) if wanted else None
        self.begins = settings.teacher_share if self.shape else 0.0
        self.ready = self.shape is None
        self.notes: dict[str, Any] = {}

    def stages(self) -> Iterator[Stage]:
        """``teacher`` where there is to be one, its gate, then ``student`` to the end of the budget."""
        if self.shape is not None:
            yield self.shape.stage(self.begins)
            self._hand_over(self.shape)
        self.ready = True
        learner = self.learner
        yield Stage("student", 1.0, learner.student, learner.optimizer, self.rate, self.teach, learner.follow)

    def rate(self, fraction: float) -> float:
        return warm_then_linear(share_gone(fraction, self.begins))

    def teach(self, moment: Moment) -> Terms:
        """The student looks at images, never at pictures: those it has only the teacher's word of."""
        s, batch = self.settings, self._seen(self.learner.draw(moment), moment)
        with self.learner.autocast():
            seen = self.learner.student.scales(batch.image)
        logits = seen.logits[0].float()
        terms = {"target_ce": s.target_ce * soft_cross_entropy(logits, batch.target)}
        if s.target_dice > 0:
            terms["target_dice"] = s.target_dice * soft_dice(logits, batch.target)
        if self.shape is not None:
            weight = s.feature * self._loudness(share_gone(moment.fraction, self.begins))
            terms |= self.shape.pull(weight, seen.maps, batch, moment.step)
        return terms

    def memory(self) -> Memory:
        own = self.learner.memory()
        return own | self.shape.memory() if self.shape is not None else own

    def remember(self, recalled: Recalled) -> None:
        """The teacher is examined, and bequeathes, only once."""
        self.learner.remember(recalled)
        if self.shape is not None:
            self.shape.remember(recalled)

    def _hand_over(self, shape: ShapeTeacher) -> None:
        if shape.examine() and shape.trusted and self.settings.inherit:
            shape.bequeath(self.learner.student)
            shape.bequeath(self.learner.teacher)
        self.notes = shape.notes

    def _seen(self, batch: Batch, moment: Moment) -> Batch:
        """The batch with a share of its images in other contrasts, class by class."""
        share = self.settings.painted_views * self._fading(share_gone(moment.fraction, self.begins))
        if not share:
            return batch
        rng = generator_for(self.learner.seed + CONTRAST_SALT, moment.step)
        shown = batch.image.shape[1] - 3 * self.preprocess.position
        image = batch.image.clone()
        contrasts = draw_contrasts(len(image), batch.target.shape[1], self.items.dims, share, rng)
        image[:, :shown] = recontrasted(image[:, :shown], batch.target, contrasts)
        return replace(batch, image=image)

    def _loudness(self, gone: float) -> float:
        """0..1: hints rise over ``ramp``, and fade."""
        rise = sigmoid_ramp(gone, 0.0, self.settings.ramp) if self.settings.ramp else 1.0
        return rise * self._fading(gone)

    def _fading(self, gone: float) -> float:
        """1..0: from ``fade`` on hints and other contrasts give way, so that the last word is the images' and labels'.

        Faded hints cost nothing at home and keep what they give elsewhere: ACDC 0.826 as without them, 0.818 when
        they stay; LGE 0.756 and 0.761, without 0.718 (four tuning patients, 1550 steps).
        """
        fade = self.settings.fade
        return min(1.0, (1.0 - gone) / (1.0 - fade)) if fade < 1 else 1.0

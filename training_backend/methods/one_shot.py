"""One labelled case and many unlabelled ones: after OS-MedSeg, with propagated labels first.

    atlas ──► register ──► labels carried over ──► shown, case by case, in seconds
                │                 │ corrected in rounds by the averaged student
                ▼                 ▼
      atlas in other shapes     unlabelled images      ◄── atlas, strongly changed
                └───────► CE + Dice ◄────┘
                             │             hint: a frozen teacher of reconstruction (off in the fast preset)
                             ▼
                          student ──► shown on a case once it agrees with what was carried over surely

OS-MedSeg (arXiv 2408.03616) trains on warped atlases, one a case, with a reconstruction teacher beside it; the
``paper`` preset has these terms, with a teacher that learns first, an atlas placed by optimisation instead of a
network, and a hint at one feature map, the one at half resolution, instead of two. What is our own: real images
with propagated labels, their correction, and the gate. The atlas teaches alone until the averaged student can
correct what was carried over: with unlabelled cases from the first step on, the student of an atlas that registers
badly stayed below one of the atlas alone (hippocampus: 0.782 against 0.786, with the atlas first 0.792; propagation
itself 0.763).
Stages: ``register`` (before the first step), ``teacher`` where there is to be one, ``student``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from slicer_kdseg.protocol.method_settings import OneShotSettings
from slicer_kdseg.protocol.settings import View
from training_backend.data.augment import Views, grid_of, sample
from training_backend.data.items import Items, as_items, padded
from training_backend.data.preprocess import Preprocess
from training_backend.engine.checkpoint import Memory, Recalled
from training_backend.engine.loop import Moment, Stage, Terms, generator_for
from training_backend.engine.predict import predict
from training_backend.engine.schedules import share_gone, sigmoid_ramp, warm_then_linear
from training_backend.losses.feature_hint import feature_hint
from training_backend.losses.multi_scale_distillation import pooled
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.learner import Batch, Learner
from training_backend.methods.method import Messenger
from training_backend.methods.propagation import Agreement, Propagation
from training_backend.methods.reconstruction import ReconstructionTeacher
from training_backend.methods.shape_teacher import ShapeTeacher, ShapeTeaching

CONFIDENT = 0.8
TURN_SALT, SHAPE_SALT = 900_001, 512_927
ALONE = (
    "There is no unlabelled case: the student learns from strongly changed views of the labelled one alone;"
    " it cannot learn how other patients look, and nothing can be carried over to be compared with."
)


class OneShot:
    """The method over its items; the first annotated case is the atlas."""

    def __init__(
        self, settings: OneShotSettings, items: Items, preprocess: Preprocess, view: View, messenger: Messenger
    ) -> None:
        self.settings, self.items, self.messenger = settings, items, messenger
        self.learner = Learner(settings, items, preprocess, view)
        self.propagation = Propagation(items, preprocess, settings.registered, settings.register_share)
        hinted = settings.hint > 0 and settings.registered > 0 and bool(items.places("unlabelled"))
        self.reconstruction = ReconstructionTeacher(self.learner) if hinted else None
        self.placed: float | None = None
        self.begins = 0.0
        if self.reconstruction is not None:
            self.learner.optimizer.add_param_group({"params": list(self.reconstruction.projector.parameters())})
        sure = ShapeTeaching(confident=CONFIDENT)
        self.shape = ShapeTeacher(self.learner, sure, messenger) if settings.shape > 0 else None
        self.next_round = settings.correct_from
        self.ready = False
        self.notes: dict[str, Any] = {}
        self._edition = -1

    def stages(self) -> Iterator[Stage]:
        """Placements first, then ``teacher`` where there is to be one, ``student`` and the last gate."""
        learner, student = self.learner, nn.ModuleList([self.learner.student])
        if self.items.places("unlabelled"):
            self.propagation.run(self.messenger)
        else:
            self.messenger.say(ALONE)
        if self.placed is None:
            self.placed = self.messenger.gone()
        self.begins = self.placed
        self.notes = {"gate": "none: no label was carried over"}
        if self.reconstruction is not None:
            self.begins = self._until(self.settings.teacher_share)
            yield self.reconstruction.stage(self.begins, self.placed)
            self.reconstruction.freeze()
            student.append(self.reconstruction.projector)
        if self.shape is not None:
            taught, self.begins = self.begins, self._until(self.settings.shape_share)
            yield self.shape.stage(self.begins, taught)
            self.shape.examine()
            self.notes |= self.shape.notes
        self.ready = True
        yield Stage("student", 1.0, student, learner.optimizer, self.rate, self.teach, learner.follow)
        self._hand_over(self._asked())

    def rate(self, fraction: float) -> float:
        return warm_then_linear(share_gone(fraction, self.begins))

    def teach(self, moment: Moment) -> Terms:
        """One batch: the atlas, the atlas in another shape, or an unlabelled case with what it is believed to show."""
        s, places, gone = self.settings, self.propagation.places, share_gone(moment.fraction, self.begins)
        if places and (gone >= self.next_round or self._edition != self.items.edition):
            self._round(gone)
        rng = generator_for(self.learner.seed + TURN_SALT, moment.step)
        turn, shape = torch.rand(2, generator=rng).tolist()
        if not places or turn < s.atlas_share or gone < s.believe_from:
            return self._taught(self.learner.draw(moment), moment)
        if shape < s.synthetic:
            return self._shaped(moment, places)
        among = torch.cat([torch.arange(self.items.spans[p].start, self.items.spans[p].stop) for p in places])
        return self._taught(self.learner.draw(moment, "unlabelled", among), moment, s.propagated)

    def memory(self) -> Memory:
        """Learners, placements, and the target as the rounds have left it."""
        facts = {"placed": self.placed, "next_round": self.next_round, "stale": self._edition != self.items.edition}
        target = {"target": self.items.target} if self.next_round > self.settings.correct_from else {}
        hint = self.reconstruction.memory() if self.reconstruction is not None else Memory()
        shape = Memory() if self.shape is None else self.shape.memory()
        return (
            self.learner.memory() | hint | shape | Memory(tensors={**self.propagation.tensors(), **target}, facts=facts)
        )

    def remember(self, recalled: Recalled) -> None:
        """What was carried over is carried over again from its placements; the target stays what it had become."""
        self.learner.remember(recalled)
        if self.shape is not None:
            self.shape.remember(recalled)
        self.propagation.restore(recalled.tensors)
        self.placed, self.next_round = recalled.facts["placed"], recalled.facts["next_round"]
        if "target" in recalled.tensors:
            self.items.target = recalled.tensors["target"].to(self.items.device)
            self._edition = self.items.edition - int(recalled.facts["stale"])

    def _taught(self, batch: Batch, moment: Moment, weight: float = 1.0) -> Terms:
        with self.learner.autocast():
            seen = self.learner.student.scales(batch.image)
        terms = self._scored(seen.logits[0].float(), batch, weight)
        if self.shape is not None:
            terms |= self.shape.pull(self.settings.shape, seen.maps, batch, moment.step)
        return terms

    def _scored(self, logits: Tensor, batch: Batch, weight: float) -> Terms:
        s = self.settings
        terms = {"target_ce": weight * s.target_ce * soft_cross_entropy(logits, batch.target)}
        if s.target_dice > 0:
            terms["target_dice"] = weight * s.target_dice * soft_dice(logits, batch.target)
        return terms

    def _shaped(self, moment: Moment, places: list[int]) -> Terms:
        """The atlas as it lies on an unlabelled case, or in a mixture of two such shapes.

        With a hint it lies exactly there, and the teacher sees the case itself in the same view.
        """
        s, items, learner = self.settings, self.items, self.learner
        rng = generator_for(learner.seed + SHAPE_SALT, moment.step)
        place, other = (places[int(n)] for n in torch.randint(len(places), (2,), generator=rng))
        first, second = torch.rand(2, generator=rng).tolist()
        mixed = s.mixed_shapes and self.reconstruction is None
        a, b = (0.4 + 0.8 * first, 0.5 * second) if mixed else (1.0, 0.0)
        image, labels = (
            padded(as_items(own, items.dims), items.spatial) for own in self.propagation.shaped(place, other, a, b)
        )
        chosen = torch.randint(len(image), (learner.batch,), generator=rng)
        numbers = chosen + items.spans[place].start
        views = learner.views(numbers, rng, moment)
        batch = learner.seen(image[chosen], labels[chosen], numbers, views)
        if self.reconstruction is None:
            return self._taught(batch, moment, s.propagated)
        case = learner.seen(items.image[numbers], labels[chosen], numbers, views)
        return self._hinted(batch, case.clean, self._sure(place, chosen, views), moment)

    def _hinted(self, batch: Batch, case: Tensor, sure: Tensor, moment: Moment) -> Terms:
        """``case``: the unlabelled image where ``batch`` shows the atlas in its shape."""
        assert self.reconstruction is not None
        s = self.settings
        with self.learner.autocast():
            scales = self.learner.student.scales(batch.image)
        features = self.reconstruction.projector(scales.features.float())
        weight = pooled(sure, features.shape[2:])
        apart = feature_hint(features, self.reconstruction.features(case), weight, s.hint_of == "volume")
        ramp = sigmoid_ramp(share_gone(moment.fraction, self.begins), 0.0, s.hint_ramp) if s.hint_ramp else 1.0
        return self._scored(scales.logits[0].float(), batch, s.propagated) | {"hint": ramp * s.hint * apart}

    def _sure(self, place: int, chosen: Tensor, views: Views) -> Tensor:
        """(B, 1, *window): how well atlas and case look alike, in the same view."""
        likeness = padded(as_items(self.propagation.likeness(place), self.items.dims), self.items.spatial)[chosen]
        return sample(likeness, grid_of(views, self.items.spatial, self.items.device))

    def _round(self, gone: float) -> None:
        """What the unlabelled cases are believed to show: carried over, and from the first round on corrected."""
        s, items = self.settings, self.items
        if gone >= self.next_round:
            asked = self._asked()
            self.next_round = gone + s.correct_every
            self._hand_over(asked)
        else:
            asked = self._asked() if self.next_round > s.correct_from else {}
        for place in self.propagation.places:
            belief = self.propagation.labels(place)
            if place in asked and self._agrees(self.propagation.agreement(place, asked[place])):
                agreed = belief.max(dim=0).indices == asked[place].max(dim=0).indices
                belief = (1.0 - s.correction) * belief + s.correction * asked[place]
                belief = belief * torch.where(agreed, 1.0, s.disputed)
            if s.trust_likeness:
                belief = belief * (s.trust_likeness * self.propagation.likeness(place) + 1.0 - s.trust_likeness)
            items.set_target(place, belief)
        items.speak()
        self._edition = items.edition

    def _asked(self) -> dict[int, Tensor]:
        """What the averaged student makes of the cases that labels were carried over to, by place."""
        learner, items = self.learner, self.items
        divisor = learner.shape.divisor()
        return {
            place: predict(learner.teacher, items.whole_image(place), divisor, learner.dtype)
            for place in self.propagation.places
        }

    def _hand_over(self, asked: dict[int, Tensor]) -> None:
        """The gate: without a held-out annotation, agreement with what was carried over surely decides who is shown."""
        passed, lost = [], 0
        for place, probability in asked.items():
            own = self.propagation.agreement(place, probability)
            lost += bool(own.lost)
            if not self._agrees(own):
                continue
            passed.append(own.dice)
            sentence = f"The student, which agrees with the surely carried over labels by Dice {own.dice:.2f}."
            self.messenger.hand_over(place, probability, sentence)
        if asked:
            self.notes = {
                "gate": "agreement with confidently carried over labels, no class lost",
                "gate_asks": self.settings.agreement,
                "gate_cases": len(asked),
                "gate_passed": len(passed),
                "gate_lost_a_class": lost,
            } | ({} if self.shape is None else self.shape.notes)

    def _agrees(self, own: Agreement) -> bool:
        """Whether the student may be shown on a case, and correct what it is believed to show."""
        return own.dice >= self.settings.agreement and not own.lost

    def _until(self, share: float) -> float:
        """The end of a stage that has ``share`` of what is left of the budget."""
        return self.begins + share * (1.0 - self.begins)

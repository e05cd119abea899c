"""Scribbles to a student by self-distillation: ScribSD+-style, begun from grow-cut.

    strokes ──► first teachers (grow-cut and its kin) ──► belief ─┐
       │                                                          ▼
       └────────────► partial CE ──► student ◄── soft CE + Dice ── target
                                      │   ▲  ▲                     ▲
                                 EMA  ▼   │  └ unlabelled cases    │ corrects, class by class,
                                    teacher ──────────────────────┘ once it has learnt the class
                                          └ multi-scale KD, class contrast

The published method (Computerized Medical Imaging and Graphics 116:102416, 2024) is known to us from its
abstract only; its terms are re-derived here, and the grow-cut teacher, the correction and the agreement on
unlabelled cases are our own. The preset ``fast`` is what learns best in seconds; ``paper`` leaves out what is
ours: partial CE, multi-scale distillation and class-wise contrast from the first step on.
Stages: ``grow_cut`` (the student learns the first belief) and ``self_distillation`` (its average corrects it).
With ``second_decoder`` there is one stage instead, ``two_decoders``: DMPLS, the published rival.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slicer_kdseg.protocol.method_settings import ScribbleSettings
from slicer_kdseg.protocol.settings import View
from training_backend.data.items import Items
from training_backend.data.preprocess import Preprocess
from training_backend.engine.checkpoint import Memory, Recalled
from training_backend.engine.loop import Moment, Stage, Terms, generator_for
from training_backend.engine.predict import predict
from training_backend.engine.schedules import share_gone, sigmoid_ramp, warm_then_linear
from training_backend.losses.class_contrast import class_contrast
from training_backend.losses.mixed_pseudo_labels import mixed_pseudo_labels
from training_backend.losses.multi_scale_distillation import multi_scale_distillation, pooled
from training_backend.losses.partial_cross_entropy import UNSPOKEN, partial_cross_entropy
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.agreement import agreement
from training_backend.methods.correction import corrected, learnt, named
from training_backend.methods.learner import Batch, Learner
from training_backend.methods.method import Messenger
from training_backend.methods.shape_teacher import ShapeTeacher, ShapeTeaching
from training_backend.networks.multi_scale_unet import Scales
from training_backend.networks.second_decoder import SecondDecoder

CONFIDENT = 0.8


class Scribble:
    """The method over its items; ``stages`` is the whole training."""

    def __init__(
        self, settings: ScribbleSettings, items: Items, preprocess: Preprocess, view: View, messenger: Messenger
    ) -> None:
        self.settings = settings
        self.ready = True
        self.notes: dict[str, Any] = {}
        several = settings.multi_scale > 0 or settings.deep_supervision > 0
        self.learner = Learner(settings, items, preprocess, view, heads=min(3, settings.levels - 2) if several else 0)
        self.items = items
        self.second = SecondDecoder(self.learner.student).to(items.device) if settings.second_decoder > 0 else None
        if self.second is not None:
            self.learner.optimizer.add_param_group({"params": list(self.second.parameters())})
        sure = ShapeTeaching(confident=CONFIDENT)
        self.shape = ShapeTeacher(self.learner, sure, messenger) if settings.shape > 0 else None
        self.waits = settings.shape_share if self.shape else 0.0
        self.begins = max(settings.correct_from, self._earliest())
        self.next_round = self.begins
        self._edition = items.edition
        self._weights: Tensor | None = None

    def stages(self) -> Iterator[Stage]:
        """``grow_cut`` until the teacher may speak, then ``self_distillation`` to the end of the budget."""
        learner = self.learner
        if self.shape is not None:
            yield self.shape.stage(self.waits)
            self.shape.examine()
            self.notes = self.shape.notes
        student: nn.Module = learner.student
        parts = [("grow_cut", self.begins, self.imitate), ("self_distillation", 1.0, self.distil)]
        if self.second is not None:
            student = nn.ModuleList([learner.student, self.second])
            parts = [("two_decoders", 1.0, self.label_for_each_other)]
        for name, until, terms in parts:
            yield Stage(name, until, student, learner.optimizer, self.rate, terms, learner.follow)

    def rate(self, fraction: float) -> float:
        return warm_then_linear(share_gone(fraction, self.waits))

    def imitate(self, moment: Moment) -> Terms:
        """First stage: strokes by partial CE, everything else by the first belief."""
        batch = self.learner.draw(moment)
        seen = self._seen(batch.image)
        terms = self._taught([z.float() for z in seen.logits], batch) | self._hinted(seen, batch, moment)
        return terms | self._agreed(moment, batch)

    def distil(self, moment: Moment) -> Terms:
        """Second stage: the teacher corrects the target in rounds; it may also speak at every step."""
        s = self.settings
        if s.correction > 0 and (moment.fraction >= self.next_round or self._edition != self.items.edition):
            self._correct(moment)
        batch = self.learner.draw(moment)
        seen = self._seen(batch.image)
        logits = [z.float() for z in seen.logits]
        terms: Terms = {}
        if s.multi_scale > 0 or s.contrast > 0:
            with torch.no_grad(), self.learner.autocast():
                known = self.learner.teacher.scales(batch.clean)
            terms = self._distilled(seen, logits, known, batch, moment)
        terms = self._taught(logits, batch) | terms | self._hinted(seen, batch, moment)
        return terms | self._agreed(moment, batch)

    def label_for_each_other(self, moment: Moment) -> Terms:
        """DMPLS: both decoders learn the strokes, and elsewhere the labels that they give together."""
        assert self.second is not None
        batch, rng = self.learner.draw(moment), generator_for(self.settings.seed + 3, moment.step)
        with self.learner.autocast():
            first = self.learner.student(batch.image).float()
            second = self.second(self.learner.student, batch.image, rng).float()
        share = float(torch.rand(1, generator=rng))
        pairs = [partial_cross_entropy(logits, batch.strokes) for logits in (first, second)]
        return {
            "partial_ce": self.settings.partial_ce * (pairs[0] + pairs[1]) / 2.0,
            "second_decoder": self.settings.second_decoder * mixed_pseudo_labels(first, second, share),
        }

    def memory(self) -> Memory:
        """The learner and, once it has been corrected, the target."""
        facts = {"next_round": self.next_round, "stale": self._edition != self.items.edition}
        spoken = self.next_round > self.begins
        target = {"target": self.items.target} if spoken else {}
        second = {} if self.second is None else {"second_decoder": self.second}
        shape = Memory() if self.shape is None else self.shape.memory()
        return self.learner.memory() | shape | Memory(second, tensors=target, facts=facts)

    def remember(self, recalled: Recalled) -> None:
        """The target as it had become; it is made anew where the annotation has changed since."""
        self.learner.remember(recalled)
        if self.shape is not None:
            self.shape.remember(recalled)
        self.next_round = recalled.facts["next_round"]
        if "target" in recalled.tensors:
            self.items.target = recalled.tensors["target"].to(self.items.device)
        self._edition = self.items.edition - int(recalled.facts["stale"])

    def _seen(self, image: Tensor) -> Scales:
        with self.learner.autocast():
            return self.learner.student.scales(image)

    def _taught(self, logits: list[Tensor], batch: Batch) -> Terms:
        """The target, at full resolution and, with deep supervision, pooled for every head; and the strokes."""
        s = self.settings
        terms: Terms = {}
        if s.target_ce > 0:
            terms["target_ce"] = s.target_ce * soft_cross_entropy(logits[0], batch.target, self.class_weights())
        if s.target_dice > 0:
            terms["target_dice"] = s.target_dice * soft_dice(logits[0], batch.target)
        if s.partial_ce > 0:
            terms["partial_ce"] = s.partial_ce * partial_cross_entropy(logits[0], batch.strokes)
        if s.deep_supervision > 0:
            deep = [_deep(z, batch.target) / 2**k for k, z in enumerate(logits[1:], start=1)]
            terms["deep_supervision"] = s.deep_supervision * torch.stack(deep).sum()
        return terms

    def _distilled(self, seen: Scales, logits: list[Tensor], known: Scales, batch: Batch, moment: Moment) -> Terms:
        s, terms, advice = self.settings, {}, known.logits[0].float()
        ramp = sigmoid_ramp(moment.fraction, self.begins, self.begins + 0.4)
        if s.multi_scale > 0:
            terms["multi_scale"] = ramp * s.multi_scale * multi_scale_distillation(logits, advice, s.temperature)
        if s.contrast > 0:
            members = membership(batch.strokes, advice, seen.features.shape[2:])
            terms["contrast"] = (
                ramp * s.contrast * class_contrast(seen.features.float(), known.features.float(), members)
            )
        return terms

    def _hinted(self, seen: Scales, batch: Batch, moment: Moment) -> Terms:
        """What the teacher of shape makes of the regions that the target is sure of."""
        return {} if self.shape is None else self.shape.pull(self.settings.shape, seen.maps, batch, moment.step)

    def class_weights(self) -> Tensor | None:
        """Rarer classes weigh more: (mean frequency / frequency) ** ``class_balance``, mean 1."""
        if not self.settings.class_balance:
            return None
        if self._weights is None:
            share = self.items.belief.float().sum([0, *range(2, self.items.belief.dim())]).clamp_min(1.0)
            weights = (share.mean() / share) ** self.settings.class_balance
            self._weights = weights / weights.mean()
        return self._weights

    def _agreed(self, moment: Moment, batch: Batch) -> Terms:
        """What student and teacher make of the unlabelled cases, once the teacher has learnt something."""
        s = self.settings
        start = max(s.unlabelled_from, self._earliest())
        if s.unlabelled == 0 or moment.fraction < start or not len(self.items.of("unlabelled")):
            return {}
        ramp = sigmoid_ramp(moment.fraction, start, start + 0.2)
        over = batch if s.cut_mix else None
        return {"unlabelled": ramp * s.unlabelled * agreement(self.learner, moment, s.sharpening, s.confidence, over)}

    def _earliest(self) -> float:
        """The share of the budget before which a teacher of several cases has nothing to say.

        On ten ACDC patients a correction begun in the first minute made students of 60 seconds worse, and
        unlabelled cases cost them more steps than they were worth. A single case is learnt sooner.
        """
        s = self.settings
        return 0.0 if s.steps or len(self.items.places("annotated")) == 1 else min(s.teacher_after / s.seconds, 1.0)

    @torch.no_grad()
    def _correct(self, moment: Moment) -> None:
        """One round: the teacher predicts every case once, and its word enters the target class by class."""
        s, learner, items = self.settings, self.learner, self.items
        places = items.places("annotated")
        divisor = learner.shape.divisor()
        advice = [predict(learner.teacher, items.whole_image(place), divisor, learner.dtype) for place in places]
        believed = [items.belief_of(place) for place in places]
        strokes = [items.strokes_of(place) for place in places]
        trust = torch.minimum(learnt(advice, strokes), learnt(advice, [named(belief) for belief in believed]))
        share = s.correction * min(max(0.3 + (moment.fraction - self.begins) / 0.4, 0.0), 1.0)
        for place, belief, word in zip(places, believed, advice, strict=True):
            items.set_target(place, corrected(belief, word, trust, share))
        items.speak()
        self.next_round = moment.fraction + s.correct_every
        self._edition = items.edition


def _deep(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy and Dice of a coarse head against the pooled target: where few voxels speak, softly."""
    coarse = pooled(target, logits.shape[2:])
    return soft_cross_entropy(logits, coarse) + soft_dice(logits, coarse)


def membership(strokes: Tensor, teacher: Tensor, size: torch.Size) -> Tensor:
    """(B, K+1, *size): 1 on strokes (B, *spatial) of a class, and where the confident teacher's logits name it."""
    sure, told = teacher.softmax(dim=1).max(dim=1)
    said = torch.where(sure > CONFIDENT, told, UNSPOKEN)
    owner = torch.where(strokes != UNSPOKEN, strokes, said)
    hot = F.one_hot(owner.clamp_min(0), teacher.shape[1]).movedim(-1, 1).float() * (owner != UNSPOKEN)[:, None]
    return pooled(hot, size)

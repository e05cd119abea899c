"""Scribbles to a student by self-distillation: ScribSD+-style, begun from grow-cut.

    strokes ──► first teachers (grow-cut and its kin) ──► belief ─┐
       │                                                          ▼
       └────────────► partial CE ──► student ◄── soft CE + Dice ── target
                                      │   ▲                        ▲
                                 EMA  ▼   └ multi-scale KD, class  │ corrects, class by class,
                                    teacher ──  contrast ──────────┘ once it has learnt the class

The published method (Computerized Medical Imaging and Graphics 116:102416, 2024) is known to us from its
abstract only; its terms are re-derived here, and the grow-cut teacher and the correction are our own.
Stages: ``grow_cut`` (the student learns the first belief) and ``self_distillation`` (its average corrects it).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from slicer_kdseg.protocol.settings import ScribbleSettings, View
from training_backend.data.items import Items
from training_backend.data.preprocess import Preprocess
from training_backend.engine.checkpoint import Memory, Recalled
from training_backend.engine.loop import Moment, Stage, Terms
from training_backend.engine.predict import predict
from training_backend.engine.schedules import sigmoid_ramp, warm_then_linear
from training_backend.losses.class_contrast import class_contrast
from training_backend.losses.multi_scale_distillation import multi_scale_distillation, pooled
from training_backend.losses.partial_cross_entropy import UNSPOKEN, partial_cross_entropy
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.learner import Batch, Learner
from training_backend.methods.method import Messenger

CONFIDENT = 0.8


class Scribble:
    """The method over its items; ``stages`` is the whole training."""

    def __init__(
        self, settings: ScribbleSettings, items: Items, preprocess: Preprocess, view: View, messenger: Messenger
    ) -> None:
        self.settings = settings
        self.ready = True
        self.notes: dict[str, Any] = {}
        self.distils = settings.multi_scale > 0 or settings.contrast > 0
        self.learner = Learner(
            settings, items, preprocess, view, heads=min(3, settings.levels - 2) if settings.multi_scale > 0 else 0
        )
        self.items = items
        self.next_round = settings.correct_from
        self._edition = items.edition
        self._weights: Tensor | None = None

    def stages(self) -> Iterator[Stage]:
        """``grow_cut`` until the teacher may speak, then ``self_distillation`` to the end of the budget."""
        s, learner = self.settings, self.learner
        parts = (("grow_cut", s.correct_from, self.imitate), ("self_distillation", 1.0, self.distil))
        for name, until, terms in parts:
            yield Stage(name, until, learner.student, learner.optimizer, warm_then_linear, terms, learner.follow)

    def imitate(self, moment: Moment) -> Terms:
        """First stage: strokes by partial CE, everything else by the first belief."""
        batch = self.learner.draw(moment)
        with self.learner.autocast():
            logits = self.learner.student(batch.image)
        return self._taught(logits.float(), batch)

    def distil(self, moment: Moment) -> Terms:
        """Second stage: the target is corrected in rounds; the teacher may also speak at every step."""
        if moment.fraction >= self.next_round or self._edition != self.items.edition:
            self._correct(moment)
        if not self.distils:
            return self.imitate(moment)
        s, batch = self.settings, self.learner.draw(moment)
        with self.learner.autocast():
            seen = self.learner.student.scales(batch.image)
            with torch.no_grad():
                known = self.learner.teacher.scales(batch.clean)
        logits, advice = [z.float() for z in seen.logits], known.logits[0].float()
        terms = self._taught(logits[0], batch)
        ramp = sigmoid_ramp(moment.fraction, s.correct_from, s.correct_from + 0.4)
        if s.multi_scale > 0:
            terms["multi_scale"] = ramp * s.multi_scale * multi_scale_distillation(logits, advice, s.temperature)
        if s.contrast > 0:
            members = membership(batch.strokes, logits[0], advice, seen.features.shape[2:])
            terms["contrast"] = (
                ramp * s.contrast * class_contrast(seen.features.float(), known.features.float(), members)
            )
        return terms

    def memory(self) -> Memory:
        """The learner and, once it has been corrected, the target."""
        facts = {"next_round": self.next_round, "stale": self._edition != self.items.edition}
        target = {"target": self.items.target} if self.next_round > self.settings.correct_from else {}
        return self.learner.memory() | Memory(tensors=target, facts=facts)

    def remember(self, recalled: Recalled) -> None:
        """The target as it had become; it is made anew where the annotation has changed since."""
        self.next_round = recalled.facts["next_round"]
        if "target" in recalled.tensors:
            self.items.target = recalled.tensors["target"].to(self.items.device)
        self._edition = self.items.edition - int(recalled.facts["stale"])

    def _taught(self, logits: Tensor, batch: Batch) -> Terms:
        s = self.settings
        terms = {"target_ce": s.target_ce * soft_cross_entropy(logits, batch.target, self.class_weights())}
        if s.target_dice > 0:
            terms["target_dice"] = s.target_dice * soft_dice(logits, batch.target)
        if s.partial_ce > 0:
            terms["partial_ce"] = s.partial_ce * partial_cross_entropy(logits, batch.strokes)
        return terms

    def class_weights(self) -> Tensor | None:
        """Rarer classes weigh more: (mean frequency / frequency) ** ``class_balance``, mean 1."""
        if not self.settings.class_balance:
            return None
        if self._weights is None:
            share = self.items.belief.float().sum([0, *range(2, self.items.belief.dim())]).clamp_min(1.0)
            weights = (share.mean() / share) ** self.settings.class_balance
            self._weights = weights / weights.mean()
        return self._weights

    @torch.no_grad()
    def _correct(self, moment: Moment) -> None:
        """One round: the teacher predicts every case once, and its word enters the target class by class."""
        s, learner, items = self.settings, self.learner, self.items
        places = items.places("annotated")
        advice = [
            predict(learner.teacher, items.whole_image(place), learner.shape.divisor(), learner.dtype)
            for place in places
        ]
        believed = [items.belief_of(place) for place in places]
        strokes = [items.strokes_of(place) for place in places]
        trust = torch.minimum(learnt(advice, strokes), learnt(advice, [named(belief) for belief in believed]))
        share = s.correction * min(0.3 + (moment.fraction - s.correct_from) / 0.4, 1.0)
        for place, belief, word in zip(places, believed, advice, strict=True):
            items.set_target(place, corrected(belief, word, trust, share))
        items.speak()
        self.next_round = moment.fraction + s.correct_every
        self._edition = items.edition


def named(belief: Tensor) -> Tensor:
    """(K+1, D, H, W) -> (D, H, W): the channel believed most, ``UNSPOKEN`` where none is."""
    return torch.where(belief.sum(dim=0) > 0, belief.argmax(dim=0), UNSPOKEN)


def learnt(advice: list[Tensor], labels: list[Tensor]) -> Tensor:
    """How far the teacher may speak of each class, (K+1,) in 0..1: 0 up to Dice 0.5 on ``labels``, 1 from 0.8 on.

    ``advice``: (K+1, D, H, W) a case; ``labels``: (D, H, W), ``UNSPOKEN`` where nothing is known.
    """
    classes = len(advice[0])
    said = torch.cat([p.argmax(0)[s != UNSPOKEN] for p, s in zip(advice, labels, strict=True)])
    true = torch.cat([s[s != UNSPOKEN] for s in labels]).long()
    both = torch.bincount(true[said == true], minlength=classes)
    total = torch.bincount(said, minlength=classes) + torch.bincount(true, minlength=classes)
    return ((2.0 * both / total.clamp_min(1) - 0.5) / 0.3).clamp(0.0, 1.0)


def corrected(belief: Tensor, advice: Tensor, trust: Tensor, share: float) -> Tensor:
    """(1 - m) belief + m advice, all (K+1, D, H, W).

    m is ``share`` times the trust in the class believed or the class advised, whichever is less: a small
    class is not erased by a teacher that has not learnt it.
    """
    m = share * torch.minimum(trust[belief.argmax(dim=0)], trust[advice.argmax(dim=0)])
    return (1.0 - m) * belief + m * advice


def membership(strokes: Tensor, student: Tensor, teacher: Tensor, size: torch.Size) -> Tensor:
    """(B, K+1, *size): 1 on strokes of a class, and where the student names it and the teacher is confident."""
    classes = student.shape[1]
    confident = teacher.softmax(dim=1).amax(dim=1) > CONFIDENT
    named = torch.where(confident, student.argmax(dim=1), torch.full_like(strokes, UNSPOKEN))
    owner = torch.where(strokes != UNSPOKEN, strokes, named)
    hot = F.one_hot(owner.clamp_min(0), classes).movedim(-1, 1).float() * (owner != UNSPOKEN)[:, None]
    return pooled(hot, size)

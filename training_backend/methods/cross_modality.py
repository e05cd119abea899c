"""Two students teach each other across kinds of images: MKD-style, arXiv 2010.01532 (AAAI 2020), no public code.

    assistants (x_a, y_a) ──► align ──► (x^, y_a) ──► CE + Dice ──► S_syn ─┐  ▲
                                ▲                                  s->r  │  │ r->s       ensemble ──► merge ──► S_real
    targets (x_t, y_t) ─────────┴───────────────────► CE + Dice ──► S_real ◄┘──┘
    unlabelled targets ───────────────────────────────────── compared notes ─┘

Stages: ``align`` (assistants in the likeness of the targets: milliseconds, or an offline GAN), ``mutual``
(both students, each the other's teacher behind a stop-gradient) and ``merge`` (the mean of both taught to
S_real, which is the one model that is exported). Temperature, weights and which image the distillation sees
are not known of the paper; ours are said in :class:`CrossModalitySettings`. The merge, ``share_labels`` and the
use of unlabelled targets are our own; the paper exports both nets, and trains its GAN together with them.
Without assistants both students learn from the targets: deep mutual learning (Zhang et al., CVPR 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from slicer_kdseg.protocol.method_settings import CrossModalitySettings
from slicer_kdseg.protocol.settings import View
from training_backend.data.items import Items, hot
from training_backend.data.known_classes import folded, known_classes
from training_backend.data.preprocess import Preprocess
from training_backend.engine.checkpoint import Memory, Recalled
from training_backend.engine.ema import teacher_of
from training_backend.engine.loop import Moment, Stage, Terms
from training_backend.engine.predict import predict
from training_backend.engine.schedules import share_gone, warm_then_linear
from training_backend.losses.partial_cross_entropy import UNSPOKEN
from training_backend.losses.prediction_distillation import prediction_distillation
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.hearing import Hearing, mean_dice
from training_backend.methods.image_translation import ImageTranslation
from training_backend.methods.learner import Batch, Learner
from training_backend.methods.likeness import Likenesses
from training_backend.methods.method import Messenger

NO_ASSISTANTS = "There are no assistant cases: two students learn from the same targets and from each other."


class CrossModality:
    """The method over its items. ``real`` is S_real, kept and exported; ``synthetic`` is S_syn."""

    def __init__(
        self,
        settings: CrossModalitySettings,
        items: Items,
        preprocess: Preprocess,
        view: View,
        messenger: Messenger,
    ) -> None:
        self.settings, self.items, self.messenger = settings, items, messenger
        self.real = self.learner = Learner(settings, items, preprocess, view)
        self.synthetic = Learner(settings, items, preprocess, view, seed=1)
        self.elders = nn.ModuleList([teacher_of(self.real.teacher), teacher_of(self.synthetic.teacher)])
        self.pair = nn.ModuleList([self.real.student, self.synthetic.student])
        self.optimizer = torch.optim.AdamW(
            self.pair.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.assisted = bool(items.places("assistant"))
        self.known = known_classes(items)
        learnt = settings.alignment == "gan" and self.assisted
        self.likenesses = Likenesses(items, preprocess, "none" if settings.alignment == "gan" else settings.alignment)
        self.notes: dict[str, Any] = {"alignment": "gan" if learnt else self.likenesses.how}
        self.translation = ImageTranslation(settings, self.real, self.likenesses) if learnt else None
        self.ready = self.translation is None
        self.begins = settings.gan_share if self.translation else 0.0
        self.hearing = Hearing(settings.least_agreement, self._warm_until(), messenger.say)
        self.merging = False
        self._believed: tuple[int, int] | None = None

    def stages(self) -> Iterator[Stage]:
        """``align`` (steps of its own with a GAN only), ``mutual`` and, for a pair, ``merge``."""
        s, kept = self.settings, self.real.student
        if not self.assisted and s.students == "two":
            self.messenger.say(NO_ASSISTANTS)
        if self.translation:
            yield self.translation.stage(s.gan_share)
            self.translation.translate()
            self.ready = True
        if s.students == "one":
            yield Stage("joint", 1.0, kept, self.real.optimizer, self._rate, self.joint, self._follow)
            return
        yield Stage("mutual", s.merge_from, self.pair, self.optimizer, self._rate, self.mutual, self._follow)
        learner, optimizer = (self.pair, self.optimizer) if s.merge_both else (kept, self.real.optimizer)
        yield Stage("merge", 1.0, learner, optimizer, self._merge_rate, self.merge, self._follow)

    def mutual(self, moment: Moment) -> Terms:
        """Both learn their own labels and, with growing weight, what the other one thinks."""
        s = self.settings
        target, synthetic = self._batches(moment)
        to_real, to_syn = self._weights(moment)
        shown = torch.cat([target.image, *self._unlabelled(moment)]) if to_real or to_syn else target.image
        n, m = len(shown), len(target.image)
        everything = torch.cat([shown, synthetic.image])
        on_both = (to_real and s.distil_on == "both") or (to_syn and s.distil_on != "target") or s.share_labels
        z_real = self._logits(self.real.student, everything if on_both else shown)
        z_syn = self._logits(self.synthetic.student, everything) if to_real or to_syn or s.share_labels else None
        own = self._logits(self.synthetic.student, synthetic.image) if z_syn is None else z_syn[n:]
        terms = self._taught("target", z_real[:m], target) | self._taught("synthetic", own, synthetic)
        if s.share_labels and z_syn is not None:
            shared = self._taught("synthetic", z_real[n:], synthetic) | self._taught("target", z_syn[:m], target)
            terms |= {f"shared_{name}": s.share_labels * term for name, term in shared.items()}
        if z_syn is not None and to_real:
            seen = slice(None) if s.distil_on == "both" else slice(0, n)
            terms["synthetic_to_real"] = to_real * self._distilled(z_real[seen], z_syn[seen])
        if z_syn is not None and to_syn:
            seen = {"target": slice(0, n), "own": slice(n, None), "both": slice(None)}[s.distil_on]
            terms["real_to_synthetic"] = to_syn * self._distilled(z_syn[seen], z_real[seen])
        return terms

    def merge(self, moment: Moment) -> Terms:
        """S_real, and with ``merge_both`` S_syn too, learn what both believed when merging began, beside all labels."""
        if not self.merging:
            for elder, learner in zip(self.elders, (self.real, self.synthetic), strict=True):
                elder.load_state_dict(learner.teacher.state_dict())
            self.merging = True
        self._believe()
        self.likenesses.wear(moment.step)
        terms = self._merged(self.real, moment)
        if self.settings.merge_both:
            terms |= {f"other_{name}": term for name, term in self._merged(self.synthetic, moment).items()}
        return terms

    def joint(self, moment: Moment) -> Terms:
        """One net, both kinds of images, no distillation: what the method is held against."""
        target, synthetic = self._batches(moment)
        logits = self._logits(self.real.student, torch.cat([target.image, synthetic.image]))
        n = len(target.image)
        return self._taught("target", logits[:n], target) | self._taught("synthetic", logits[n:], synthetic)

    def ensemble(self, image: Tensor) -> Tensor:
        """Mean of the probabilities of both (not of their logits) on (C, D, H, W), (K+1, D, H, W)."""
        nets = (self.real.teacher, self.synthetic.teacher)
        return torch.stack([self._predicted(net, image, self.real.preprocess.scales) for net in nets]).mean(dim=0)

    def memory(self) -> Memory:
        own = Memory(
            {"elders": self.elders}, {"pair": self.optimizer}, facts={**self.hearing.facts(), "merging": self.merging}
        )
        memory = self.real.memory().named("real") | self.synthetic.memory().named("synthetic") | own
        return memory | self.translation.memory() if self.translation else memory

    def remember(self, recalled: Recalled) -> None:
        self.real.remember(recalled.under("real"))
        self.synthetic.remember(recalled.under("synthetic"))
        self.hearing.remember(recalled.facts)
        self.merging = recalled.facts["merging"]

    def agreement(self) -> float:
        """Mean Dice between what the two see in the annotated target cases."""
        images = [self.items.whole_image(place) for place in self.items.places("annotated")]
        nets = (self.real.teacher, self.synthetic.teacher)
        seen = [[self._predicted(net, image).max(dim=0).indices for image in images] for net in nets]
        return mean_dice(list(zip(*seen, strict=True)), self.items.belief.shape[1])

    def _weights(self, moment: Moment) -> tuple[float, float]:
        """Weights of s->r and r->s now: who is not understood teaches nobody.

        Both are 0 in the first half of the warm-up, when neither knows anything and a step alone costs 0.4 of
        one together, and rise in the second half.
        """
        s = self.settings
        heard = not s.synthetic_to_real or self.hearing.may_teach(moment.fraction, self.agreement)
        place = (moment.fraction - self.begins) / (self._warm_until() - self.begins)
        warm = min(max(2.0 * place - 1.0, 0.0), 1.0)
        return warm * s.synthetic_to_real * heard, warm * s.real_to_synthetic

    def _merged(self, learner: Learner, moment: Moment) -> Terms:
        """One of the two on views of its own: targets, unlabelled targets and assistants."""
        s = self.settings
        batches = {"target": learner.draw(moment)}
        if s.unlabelled and s.merge_soft and self.items.places("unlabelled"):
            batches["merge"] = learner.draw(moment, "unlabelled")
        if s.merge_synthetic and self.assisted:
            batches["synthetic"] = learner.draw(moment, "assistant")
        sizes = [len(batch.image) for batch in batches.values()]
        logits = self._logits(learner.student, torch.cat([batch.image for batch in batches.values()])).split(sizes)
        weights = {"target": 1.0, "merge": s.merge_soft, "synthetic": s.merge_synthetic}
        return {
            name: weights[side] * term
            for (side, batch), own in zip(batches.items(), logits, strict=True)
            for name, term in self._taught(side, own, batch).items()
        }

    @torch.no_grad()
    def _believe(self) -> None:
        """Put the mean of both on every target image, seen whole and undisturbed, into its items' target, once.

        Labels stay in with weight 1 against ``merge_soft``; slices kept aside get the belief alone. Asking both
        once and not at every step leaves time for 1.5 times the steps.
        """
        annotated, unlabelled = self.items.places("annotated"), self.items.places("unlabelled")
        spoken = int((self.items.strokes[self.items.of("annotated")] != UNSPOKEN).sum())
        if not self.settings.merge_soft or self._believed == (self.items.edition, spoken):
            return
        self._believed = self.items.edition, spoken
        nets = list(self.elders) if self.hearing.heard else [self.elders[0]]
        for place in [*annotated, *unlabelled]:
            image = self.items.whole_image(place)
            said = [self._predicted(net, image, self.real.preprocess.scales) for net in nets]
            labels = hot(self.items.strokes_of(place), self.items.belief.shape[1])
            belief = self.settings.merge_soft * torch.stack(said).mean(dim=0)
            self.items.set_target(place, (labels + belief) / (1.0 + self.settings.merge_soft))

    def _batches(self, moment: Moment) -> tuple[Batch, Batch]:
        """One batch a student; without assistants the second student draws its own from the targets."""
        self.likenesses.wear(moment.step)
        part = "assistant" if self.assisted else "annotated"
        return self.real.draw(moment), self.synthetic.draw(moment, part)  # type: ignore[arg-type]

    def _unlabelled(self, moment: Moment) -> list[Tensor]:
        if not self.settings.unlabelled or not self.items.places("unlabelled"):
            return []
        return [self.real.draw(moment, "unlabelled").image]

    def _taught(self, side: str, logits: Tensor, batch: Batch) -> Terms:
        s = self.settings
        ce, dice = (s.synthetic_ce, s.synthetic_dice) if side == "synthetic" else (s.target_ce, s.target_dice)
        target = batch.target
        if side == "synthetic" and self.assisted:
            logits, target = folded(logits, target, self.known[batch.numbers])
        terms = {}
        if ce:
            terms[f"{side}_ce"] = ce * soft_cross_entropy(logits, target)
        if dice:
            terms[f"{side}_dice"] = dice * soft_dice(logits, target)
        return terms

    def _distilled(self, student: Tensor, teacher: Tensor) -> Tensor:
        return prediction_distillation(student, teacher, self.settings.temperature, self.settings.foreground)

    def _logits(self, net: nn.Module, image: Tensor) -> Tensor:
        with self.real.autocast():
            return net(image).float()

    def _predicted(self, net: nn.Module, image: Tensor, scales: tuple[float, ...] = (1.0,)) -> Tensor:
        return predict(net, image, self.real.shape.divisor(), self.real.dtype, scales=scales)

    def _follow(self, moment: Moment) -> None:
        self.real.follow(moment)
        if self.settings.students == "two" and (self.settings.merge_both or not self.merging):
            self.synthetic.follow(moment)

    def _rate(self, fraction: float) -> float:
        end = self.settings.merge_from if self.settings.students == "two" else 1.0
        return warm_then_linear(share_gone(fraction, self.begins, end))

    def _merge_rate(self, fraction: float) -> float:
        s = self.settings
        return s.merge_rate * warm_then_linear((fraction - s.merge_from) / max(1.0 - s.merge_from, 1e-6))

    def _warm_until(self) -> float:
        return self.begins + self.settings.warm_up * (self.settings.merge_from - self.begins)

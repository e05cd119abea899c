"""The teacher of shape: it learns from pictures in which every class has one intensity, then teaches its maps.

A part for any method: ``stage()`` trains it, ``examine()`` asks whether it has converged and may teach (an unconverged
one wrecks its student), ``pull()`` pulls a student's decoder maps to what it makes of the picture of the same view.
It never sees an image, so it has only shape to give.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from training_backend.data.augment import draw_views
from training_backend.data.class_means import class_means, draw_intensities, painted
from training_backend.engine.checkpoint import Memory, Recalled
from training_backend.engine.ema import follow, teacher_of
from training_backend.engine.loop import Moment, Stage, Terms, generator_for
from training_backend.engine.schedules import share_gone, warm_then_linear
from training_backend.losses.feature_distillation import feature_distillation
from training_backend.losses.multi_scale_distillation import pooled
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.learner import Batch, Learner
from training_backend.methods.method import Messenger
from training_backend.networks.multi_scale_unet import MultiScaleUNet
from training_backend.networks.skipless import without_skips

MOST_EXAMINED = 64
KEPT_ASIDE = 5
PAINT_SALT = 350_377
CLOSE = 0.75  # of the window: 894 instead of 705 steps in 25 CPU-seconds, Dice 0.84 instead of 0.81


@dataclass(frozen=True)
class ShapeTeaching:
    """``paint``: class means of the view, or intensities drawn for it; ``skips``: whether the teacher has skip
    connections; ``all_maps``: teach every level of the decoder or its last one; ``standardised``: by channel;
    ``confident``: least share of a class for a voxel to be painted; ``gate``: least Dice of one that may teach."""

    paint: Literal["means", "drawn"] = "drawn"
    skips: bool = True
    all_maps: bool = True
    standardised: bool = True
    confident: float = 0.0
    gate: float = 0.9


class ShapeTeacher:
    """Learns from the items of ``learner`` but a fifth of the cases (or slices), by which it is examined."""

    def __init__(self, learner: Learner, how: ShapeTeaching, messenger: Messenger) -> None:
        self.learner, self.how, self.messenger = learner, how, messenger
        self.found: float | None = None
        self.own, self.aside = _split(learner)
        torch.manual_seed(learner.seed + PAINT_SALT)
        self.network = MultiScaleUNet(replace(learner.shape, heads=0, fine_width=0)).to(learner.items.device)
        if not how.skips:
            without_skips(self.network)
        self.kept = teacher_of(self.network)
        self.followed = 0
        rate, decay = learner.settings.learning_rate, learner.settings.weight_decay
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=decay, fused=True)

    def stage(self, until: float, begins: float = 0.0) -> Stage:
        """The teacher's own stage, from the fraction ``begins`` of the budget to ``until``."""

        def rate(fraction: float) -> float:
            return warm_then_linear(share_gone(fraction, begins, until))

        return Stage("teacher", until, self.network, self.optimizer, rate, self.terms, self.follow)

    def terms(self, moment: Moment) -> Terms:
        """Picture in, labels out."""
        batch = self.learner.draw(moment, among=self.own, widest=CLOSE)
        known = confident(batch.target, self.how.confident)
        picture = self.picture(batch, known, moment.step)
        with self.learner.autocast():
            logits = self.network(picture)
        logits = logits.float()
        return {"shape_ce": soft_cross_entropy(logits, known), "shape_dice": soft_dice(logits, known)}

    def follow(self, _moment: Moment) -> None:
        follow(self.kept, self.network, self.followed, self.learner.settings.momentum)
        self.followed += 1

    @property
    def trusted(self) -> bool:
        return self.found is not None and self.found >= self.how.gate

    @property
    def notes(self) -> dict[str, Any]:
        """For the model card."""
        unseen = not torch.isin(self.aside, self.own).any()
        return {
            "shape_teacher": "taught" if self.trusted else "refused",
            "shape_gate": round(self.found or 0.0, 4),
            "shape_examined_by": "items it has not learnt from" if unseen else "its own items, there are no others",
        }

    def examine(self) -> bool:
        """Whether it is examined now, and not in an earlier life of the job; tells the user of a refusal."""
        if self.found is not None:
            return False
        self.found = self.dice()
        if not self.trusted:
            self.messenger.say(
                f"The teacher of shape reached {self.found:.2f} on pictures it had not learnt from, it needs "
                f"{self.how.gate:.2f} to teach; the student learns from the labels alone."
            )
        return True

    @torch.no_grad()
    def dice(self) -> float:
        """Mean Dice over the classes on pictures of whole, unchanged items that it has not learnt from.

        The pictures are made of the reference: this says whether it may teach, never how good anything is.
        """
        both = total = torch.zeros(self.learner.shape.out_channels, device=self.learner.items.device)
        for step, chosen in enumerate(self.aside[:: -(-len(self.aside) // MOST_EXAMINED)].split(self.learner.batch)):
            batch = self._unchanged(chosen)
            known = confident(batch.target, self.how.confident)
            picture = self.picture(batch, known, step)
            with self.learner.autocast():
                said = self.kept(picture).argmax(dim=1)
            spoken = known.sum(dim=1) > 0
            said, true = said[spoken], known.argmax(dim=1)[spoken]
            both = both + torch.bincount(true[said == true], minlength=len(both))
            total = total + torch.bincount(said, minlength=len(both)) + torch.bincount(true, minlength=len(both))
        present = total[1:] > 0
        return float((2.0 * both[1:] / total[1:].clamp_min(1))[present].mean()) if present.any() else 0.0

    def pull(self, weight: float, maps: list[Tensor], batch: Batch, step: int) -> Terms:
        """The weighted hint of a teacher that may teach, towards the regions of ``batch.target``; else nothing."""
        return {"shape": weight * self.hint(maps, batch, batch.target, step)} if weight and self.trusted else {}

    def hint(self, maps: list[Tensor], batch: Batch, target: Tensor, step: int) -> Tensor:
        """Distance of a student's maps to the teacher's, unweighted 0-d; only the student gets a gradient.

        ``maps``: what the student's decoder makes of ``batch.image``; ``target`` (B, K+1, *window): what to paint.
        """
        known = confident(target, self.how.confident)
        picture = self.picture(batch, known, step)
        with torch.no_grad(), self.learner.autocast():
            taught = self.kept.scales(picture).maps
        levels = len(taught) if self.how.all_maps else 1
        counts = known.sum(dim=1, keepdim=True)
        terms = [
            feature_distillation(own.float(), his.float(), pooled(counts, own.shape[2:]), self.how.standardised)
            for own, his in zip(maps[:levels], taught[:levels], strict=True)
        ]
        return torch.stack(terms).mean()

    def bequeath(self, student: MultiScaleUNet) -> None:
        """Let ``student`` begin with the teacher's weights, wherever both have the same part."""
        own, his = student.state_dict(), self.kept.state_dict()
        student.load_state_dict(
            {name: his[name] if _fits(his.get(name), value) else value for name, value in own.items()}
        )

    def _unchanged(self, chosen: Tensor) -> Batch:
        """Items as they are, in the largest window."""
        learner, items = self.learner, self.learner.items
        views = draw_views(items.sizes[chosen], learner.window, 0.0, generator_for(learner.seed, 0))
        return learner.seen(items.image[chosen], items.target[chosen].float(), chosen, views)

    def picture(self, batch: Batch, known: Tensor, step: int) -> Tensor:
        """(B, C, *window): every intensity channel painted by class; position channels stay as they are.

        What lies outside of an item is background in the picture, unless voxels inside may be unsure as well.
        """
        shown = batch.image.shape[1] - 3 * self.learner.preprocess.position
        image = batch.image[:, :shown]
        if self.how.paint == "means":
            intensities = class_means(image, known)
        else:
            rng = generator_for(self.learner.seed + PAINT_SALT, step)
            intensities = draw_intensities(len(image), shown, known.shape[1], rng).to(image.device)
        regions = known if self.how.confident else _filled(known)
        return torch.cat([painted(intensities, regions), batch.image[:, shown:]], dim=1)

    def memory(self) -> Memory:
        modules = {"network": self.network, "kept": self.kept}
        facts = {"found": self.found, "followed": self.followed}
        return Memory(modules, {"optimizer": self.optimizer}, facts=facts).named("shape")

    def remember(self, recalled: Recalled) -> None:
        facts = recalled.under("shape").facts
        self.found, self.followed = facts["found"], facts["followed"]


def _fits(value: Tensor | None, place: Tensor) -> bool:
    return value is not None and value.shape == place.shape


def _filled(known: Tensor) -> Tensor:
    """(B, K+1, *spatial) with the missing share of every voxel given to the background."""
    missing = 1.0 - known.sum(dim=1, keepdim=True)
    return torch.cat([known[:, :1] + missing, known[:, 1:]], dim=1)


def confident(target: Tensor, least: float) -> Tensor:
    """``target`` (B, K+1, *spatial) where its largest share is at least ``least``, else 0: nobody knows."""
    return target * (target.amax(dim=1, keepdim=True) >= least) if least else target


def _split(learner: Learner) -> tuple[Tensor, Tensor]:
    """Items to learn from and items to be examined by: whole cases, or slices where there are fewer than five cases.

    A single volume in 3-D is both: there is nothing that could be kept aside.
    """
    items = learner.items
    places, every = items.places("annotated"), items.of("annotated")
    if len(places) >= KEPT_ASIDE:
        spans = [items.spans[place] for place in places[KEPT_ASIDE // 2 :: KEPT_ASIDE]]
        aside = torch.cat([torch.arange(span.start, span.stop) for span in spans])
    else:
        aside = every[KEPT_ASIDE // 2 :: KEPT_ASIDE]
    own = every[~torch.isin(every, aside)]
    return (own, aside) if len(own) and len(aside) else (every, every)

"""Unlabelled cases: the student must say of a shaded view what its average says of the clean one.

    unlabelled item ─► one view ─┬─ clean ──► teacher ─► sharpened, weighted by confidence ─► target ─┐
                                 └─ shaded ─► student ◄──────────────── soft CE + Dice ───────────────┤
    annotated item ──► a box of its view and of its target, pasted over both ─────────────────────────┘

FixMatch-like (Sohn et al. 2020), with soft labels and a soft weight instead of a threshold, and CutMix (Yun et
al. 2019) with annotated items. After 60 CPU seconds on ten ACDC patients, 50 more give others 0.792 Dice without
it, 0.797 with agreement alone and 0.802 with boxes (one seed); in the first 60 it costs more than it gives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training_backend.engine.loop import Moment, generator_for
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.learner import Batch, Learner

SALT = 15_485_863
LEAST_SIDE, MOST_SIDE = 0.25, 0.6


def agreement(
    learner: Learner, moment: Moment, power: float, confidence: float, annotated: Batch | None = None
) -> Tensor:
    """The loss of one batch of unlabelled items, with boxes of ``annotated`` ones if given; 0-d.

    The teacher gets no gradient.
    """
    batch = learner.draw(moment, "unlabelled")
    with torch.no_grad(), learner.autocast():
        known = learner.teacher(batch.clean)
    image, target = batch.image, confident_target(known.float().softmax(dim=1), power, confidence)
    if annotated is not None:
        box = draw_box(image.shape[2:], generator_for(learner.seed + SALT, moment.step))
        image, target = pasted(image, annotated.image, box), pasted(target, annotated.target, box)
    with learner.autocast():
        logits = learner.student(image).float()
    return soft_cross_entropy(logits, target) + soft_dice(logits, target)


def confident_target(probability: Tensor, power: float, confidence: float) -> Tensor:
    """(B, K+1, ...): p ** power, scaled to sum to 0 where no p is above ``confidence``, and to 1 where one is 1."""
    weight = ((probability.amax(dim=1, keepdim=True) - confidence) / (1.0 - confidence)).clamp(0.0, 1.0)
    raised = probability**power
    return raised / raised.sum(dim=1, keepdim=True) * weight


def draw_box(window: torch.Size, rng: torch.Generator) -> tuple[slice, ...]:
    """Somewhere in the window, each side ``LEAST_SIDE`` to ``MOST_SIDE`` of its own."""
    box = []
    for size in window:
        share, place = torch.rand(2, generator=rng).tolist()
        side = round(size * (LEAST_SIDE + (MOST_SIDE - LEAST_SIDE) * share))
        start = round((size - side) * place)
        box.append(slice(start, start + side))
    return tuple(box)


def pasted(under: Tensor, over: Tensor, box: tuple[slice, ...]) -> Tensor:
    """``under`` (B, C, *spatial) with the voxels of ``over`` inside ``box``; items that only one of them has stay."""
    both = min(len(under), len(over))
    mixed = under.clone()
    mixed[(slice(both), slice(None), *box)] = over[(slice(both), slice(None), *box)]
    return mixed

"""Unlabelled cases: the student must say of a shaded view what its average says of the clean one.

    unlabelled slice ─► one view ─┬─ clean ──► teacher ─► sharpened, weighted by confidence ─► target
                                  └─ shaded ─► student ──────────────── soft CE + Dice ────────┘

FixMatch-like (Sohn et al. 2020), with soft labels and a soft weight instead of a threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training_backend.engine.loop import Moment
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.learner import Learner


def agreement(learner: Learner, moment: Moment, power: float, confidence: float) -> Tensor:
    """The loss of one batch of unlabelled items, 0-d; the teacher gets no gradient."""
    batch = learner.draw(moment, "unlabelled")
    with learner.autocast():
        with torch.no_grad():
            known = learner.teacher(batch.clean)
        logits = learner.student(batch.image).float()
    target = confident_target(known.float().softmax(dim=1), power, confidence)
    return soft_cross_entropy(logits, target) + soft_dice(logits, target)


def confident_target(probability: Tensor, power: float, confidence: float) -> Tensor:
    """(B, K+1, ...): p ** power, scaled to sum to 0 where no p is above ``confidence``, and to 1 where one is 1."""
    weight = ((probability.amax(dim=1, keepdim=True) - confidence) / (1.0 - confidence)).clamp(0.0, 1.0)
    raised = probability**power
    return raised / raised.sum(dim=1, keepdim=True) * weight

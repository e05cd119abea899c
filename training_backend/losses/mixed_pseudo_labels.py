"""Dynamically mixed pseudo labels of two decoders (Luo et al., DMPLS, MICCAI 2022; method-scribble, section 5)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

SMALL = 1e-5


def mixed_pseudo_labels(first: Tensor, second: Tensor, share: float) -> Tensor:
    """L = (D(p1, y) + D(p2, y)) / 2 with y = argmax(b p1 + (1 - b) p2), D = 1 - mean over classes of
    (2 sum p y + e) / (sum p^2 + sum y^2 + e).

    Args:
        first: logits of one decoder, (B, K+1, *spatial), float.
        second: logits of the other, same shape.
        share: b in 0..1, drawn anew at every step.

    Returns:
        0-d tensor. The labels are hard, so no gradient flows through them.
    """
    ours, theirs = first.softmax(dim=1), second.softmax(dim=1)
    labels = (share * ours + (1.0 - share) * theirs).detach().argmax(dim=1)
    hot = F.one_hot(labels, first.shape[1]).movedim(-1, 1).to(first.dtype)
    return (_dice_loss(ours, hot) + _dice_loss(theirs, hot)) / 2.0


def _dice_loss(probability: Tensor, hot: Tensor) -> Tensor:
    space = [0, *range(2, hot.dim())]
    overlap = (probability * hot).sum(space)
    total = probability.square().sum(space) + hot.square().sum(space)
    return 1.0 - ((2.0 * overlap + SMALL) / (total + SMALL)).mean()

"""Cross-entropy and Dice against a soft target: distillation from labels that are not sure."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def soft_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """L = -sum(w t log softmax(z)) / sum(w t).

    Args:
        logits: (B, K+1, *spatial).
        target: same shape, non-negative; a voxel whose target sums to less than 1 counts less.
        weight: (K+1,) class weights, mean 1; None for equal classes.

    Returns:
        0-d tensor; 0 where the target is empty.
    """
    if weight is not None:
        target = target * weight.view(1, -1, *[1] * (target.dim() - 2))
    return -(target * F.log_softmax(logits, dim=1)).sum() / target.sum().clamp_min(1.0)


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    """1 - mean over foreground classes of (2 sum p t + 1) / (sum p + sum t + 1), sums over the whole batch.

    Shapes as in :func:`soft_cross_entropy`; p is masked by the voxel's total target weight. Milletari et al.,
    V-Net (2016), with soft targets. Classes absent from target and batch score 1 where nothing is predicted.
    """
    probability = logits.softmax(dim=1) * target.sum(dim=1, keepdim=True)
    space = [0, *range(2, logits.dim())]
    overlap = (probability * target).sum(space)
    total = (probability + target).sum(space)
    return 1.0 - ((2.0 * overlap + 1.0) / (total + 1.0))[1:].mean()

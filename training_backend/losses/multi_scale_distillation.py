"""Multi-scale prediction distillation (ScribSD+-style; method-scribble, section 2.3, reading A).

The target of every scale is the teacher's full-resolution soft map, pooled: a coarse head that met only
the teacher's own coarse head would never see a label, and stay meaningless while the loss looks perfect.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SCALE_WEIGHTS = (0.4, 0.2, 0.2, 0.2)


def multi_scale_distillation(
    student: Sequence[Tensor], teacher: Tensor, temperature: float = 2.0, weights: Sequence[float] = SCALE_WEIGHTS
) -> Tensor:
    """L = sum over k of w_k T^2 mean_i KL(sg q'_k,i || q_k,i).

    Args:
        student: logits of the scales, finest first, each (B, K+1, *spatial_k).
        teacher: logits (B, K+1, *spatial_0); gets no gradient.
        temperature: T of both softmaxes.
        weights: one a scale; scales beyond the last weight are not used.

    Returns:
        0-d tensor.
    """
    soft = (teacher.detach() / temperature).softmax(dim=1)
    total = teacher.new_zeros(())
    for weight, logits in zip(weights, student, strict=False):
        target = pooled(soft, logits.shape[2:])
        log_q = F.log_softmax(logits / temperature, dim=1)
        divergence = (torch.xlogy(target, target) - target * log_q).sum(dim=1).mean()
        total = total + weight * temperature**2 * divergence
    return total


def pooled(maps: Tensor, size: torch.Size) -> Tensor:
    """(B, C, *spatial) averaged down to (B, C, *size), in 2-D and 3-D."""
    if maps.dim() == 5:
        return F.adaptive_avg_pool3d(maps, (size[0], size[1], size[2]))
    return F.adaptive_avg_pool2d(maps, (size[0], size[1]))

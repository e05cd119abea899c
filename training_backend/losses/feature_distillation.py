"""Feature distillation of SIKD: the student's late feature map is pulled to the teacher's (arXiv 2409.17503).

The published code compares raw maps, whose scale drifts with the training of both networks; standardised
maps make the term a matter of pattern alone (1 - correlation, times two).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def feature_distillation(
    student: Tensor, teacher: Tensor, known: Tensor | None = None, standardised: bool = True
) -> Tensor:
    """L = mean over channels and known places of (F_S - sg F_T)^2.

    Args:
        student: features (B, C, *spatial).
        teacher: features of the same shape; gets no gradient.
        known: (B, 1, *spatial) in 0..1, how much of each place counts; None for all of it.
        standardised: bring every channel of both maps to mean 0 and deviation 1 over the known places first.

    Returns:
        0-d tensor; 0 where nothing is known.
    """
    weight = torch.ones_like(student[:, :1]) if known is None else known
    taught = teacher.detach()
    if standardised:
        student, taught = _standardised(student, weight), _standardised(taught, weight)
    space = [0, *range(2, student.dim())]
    squares = (F.mse_loss(student, taught, reduction="none") * weight).sum(space)
    return squares.mean() / weight.sum().clamp_min(1e-6)


def _standardised(features: Tensor, weight: Tensor) -> Tensor:
    space = [0, *range(2, features.dim())]
    total = weight.sum().clamp_min(1e-6)
    centred = features - (features * weight).sum(space, keepdim=True) / total
    variance = (centred * centred * weight).sum(space, keepdim=True) / total
    return centred / (variance + 1e-4).sqrt()

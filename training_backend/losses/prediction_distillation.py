"""Directed prediction distillation between two networks (MKD-style, arXiv 2010.01532; Hinton et al. 2015 for tau)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def prediction_distillation(
    student: Tensor, teacher: Tensor, temperature: float = 2.0, foreground: float = 0.0
) -> Tensor:
    """L = tau^2 * sum_v w_v KL(sg p_teacher,v || p_student,v) / sum_v w_v with p = softmax(z / tau).

    Args:
        student: logits (B, K+1, *spatial); the only side that gets a gradient.
        teacher: logits of the same shape.
        temperature: tau. The factor tau^2 keeps the gradient's size as tau grows.
        foreground: w_v = 1 + ``foreground`` where the teacher's largest class is not background, so that
            background does not swamp the mean; 0 weighs all voxels alike.

    Returns:
        0-d tensor, unweighted.
    """
    known = (teacher.detach() / temperature).log_softmax(dim=1)
    learnt = (student / temperature).log_softmax(dim=1)
    divergence = F.kl_div(learnt, known, reduction="none", log_target=True).sum(dim=1)
    if not foreground:
        return temperature**2 * divergence.mean()
    weight = 1.0 + foreground * (known.argmax(dim=1) > 0)
    return temperature**2 * (weight * divergence).sum() / weight.sum()

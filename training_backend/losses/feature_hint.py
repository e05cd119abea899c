"""Voxel by voxel, the student's features point where the teacher's point: OS-MedSeg's hint, with a gradient.

    L = sum_v w_v (1 - cos(f_S(v), sg f_T(v))) / sum_v w_v           cosine over channels
    L = 1 - cos(vec f_S, sg vec f_T)                                 ``whole``: one cosine an item, as published

OS-MedSeg (arXiv 2408.03616), last term of its equation for stage B. One cosine over all of space is ruled by the
background; the public code detached both sides, so that its hint taught nobody.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def feature_hint(student: Tensor, teacher: Tensor, weight: Tensor | None = None, whole: bool = False) -> Tensor:
    """``student`` and ``teacher`` (B, C, *spatial), ``weight`` (B, 1, *spatial) or None for equal; 0-d in 0..2.

    No gradient reaches the teacher.
    """
    taught = teacher.detach()
    if whole:
        return (1.0 - F.cosine_similarity(student.flatten(1), taught.flatten(1), dim=1)).mean()
    apart = 1.0 - F.cosine_similarity(student, taught, dim=1)
    if weight is None:
        return apart.mean()
    return (apart * weight[:, 0]).sum() / weight.sum().clamp_min(1e-6)

"""Class-wise contrast between student and teacher prototypes (ScribSD+-style; method-scribble, 2.4, R1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_VOXELS = 16


def class_contrast(student: Tensor, teacher: Tensor, membership: Tensor, temperature: float = 0.1) -> Tensor:
    """L = -mean over present classes c of log softmax_c'(v_c . v'_c' / tau)[c].

    Args:
        student: features (B, C, *spatial).
        teacher: features of the same shape; gets no gradient.
        membership: (B, K+1, *spatial), weight of each voxel for each class in 0..1.
        temperature: tau.

    Returns:
        0-d tensor; 0 if fewer than two classes have at least ``LEAST_VOXELS`` weighted voxels.
    """
    weights = membership.transpose(0, 1).flatten(1)
    present = weights.sum(dim=1) >= LEAST_VOXELS
    if int(present.sum()) < 2:
        return student.sum() * 0.0
    prototypes = [_prototypes(features, weights[present]) for features in (student, teacher.detach())]
    similarity = prototypes[0] @ prototypes[1].T / temperature
    return F.cross_entropy(similarity, torch.arange(len(similarity), device=similarity.device))


def _prototypes(features: Tensor, weights: Tensor) -> Tensor:
    voxels = features.transpose(0, 1).flatten(1).float()
    return F.normalize(weights @ voxels.T / weights.sum(dim=1, keepdim=True), dim=1)

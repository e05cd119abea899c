"""Likeness of two images up to a local change of brightness and contrast, and the price of a bent displacement.

    LNCC(v) = cov_w(a, b) / sqrt(var_w(a) var_w(b) + eps)        over a cubic window w around voxel v

The square root keeps the sign, unlike the squared form of VoxelMorph (Balakrishnan et al., IEEE TMI 38(8), 2019):
tissue is not to be matched with its own negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

FLAT = 1e-2  # of images with deviation 1: windows flatter than a tenth of it say nothing


def local_correlation(a: Tensor, b: Tensor, window: int) -> Tensor:
    """(B, 1, D, H, W) in -1..1 for two standardised images of that shape; ``window`` is odd, in voxels.

    Along an axis that is shorter the window is the largest odd number of voxels that it has.
    """
    mean_a, mean_b = _box(a, window), _box(b, window)
    variance_a = (_box(a * a, window) - mean_a * mean_a).clamp_min(0.0)
    variance_b = (_box(b * b, window) - mean_b * mean_b).clamp_min(0.0)
    return (_box(a * b, window) - mean_a * mean_b) / (variance_a * variance_b + FLAT).sqrt()


def bending(displacement_mm: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """(B,): mean squared slope, mm per mm, of a displacement (B, 3, D, H, W), summed over the axes that have any."""
    slopes = [
        (displacement_mm.diff(dim=2 + axis) / mm).square().mean(dim=(1, 2, 3, 4))
        for axis, mm in enumerate(spacing_mm)
        if displacement_mm.shape[2 + axis] > 1
    ]
    return sum(slopes, displacement_mm.new_zeros(len(displacement_mm)))


def _box(image: Tensor, window: int) -> Tensor:
    """Mean over the window, one axis after the other: 21 additions a voxel instead of 343 for a window of 7."""
    for axis, voxels in enumerate(image.shape[2:]):
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis] = min(window, voxels - 1 + voxels % 2)
        padding[axis] = size[axis] // 2
        image = F.avg_pool3d(image, size, 1, padding, count_include_pad=False)
    return image

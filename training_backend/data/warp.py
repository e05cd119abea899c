"""Volumes looked up at displaced places: millimetres along the array's own axes, and one turn to what torch wants.

Points are (..., 3) in mm along (D, H, W) from the middle of a volume; a displacement is (3, D, H, W) in the same
order. Only :func:`unit_grid` knows that ``grid_sample`` wants (x, y, z) in -1..1. Volumes of different size and
spacing thus lie middle on middle until something moves them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def points_mm(size: Sequence[int], spacing_mm: Sequence[float], device: torch.device | None = None) -> Tensor:
    """(D, H, W, 3): where the voxel centres of a volume lie."""
    axes = [
        (torch.arange(n, dtype=torch.float32, device=device) - (n - 1) / 2) * mm
        for n, mm in zip(size, spacing_mm, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def unit_grid(points: Tensor, size: Sequence[int], spacing_mm: Sequence[float]) -> Tensor:
    """Points (B, ..., 3) inside a volume of ``size`` as ``grid_sample`` wants them."""
    half = torch.tensor([n * mm / 2 for n, mm in zip(size, spacing_mm, strict=True)], device=points.device)
    return (points / half).flip(-1)


def look_up(volume: Tensor, points: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """``volume`` (B or 1, C, D, H, W) at ``points`` (B, D', H', W', 3), trilinear, its border continued outside."""
    grid = unit_grid(points, volume.shape[2:], spacing_mm)
    whole = volume.expand(len(grid), -1, -1, -1, -1)
    return F.grid_sample(whole, grid, padding_mode="border", align_corners=False)


def resized(field: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, D, H, W) on another grid over the same volume: averaged where voxels merge, trilinear where they split."""
    merged = [min(new, old) for new, old in zip(size, field.shape[2:], strict=True)]
    if merged != list(field.shape[2:]):
        field = F.interpolate(field, merged, mode="area")
    return field if merged == list(size) else F.interpolate(field, list(size), mode="trilinear")


def smoothed(field: Tensor, sigma_voxels: float) -> Tensor:
    """(B, C, D, H, W) blurred by a Gaussian, one axis after the other, its border continued outside."""
    reach = max(1, math.ceil(2.5 * sigma_voxels))
    steps = torch.arange(-reach, reach + 1, dtype=field.dtype, device=field.device)
    kernel = torch.exp(-steps * steps / (2.0 * sigma_voxels * sigma_voxels))
    kernel = kernel / kernel.sum()
    channels = field.shape[1]
    for axis in range(3):
        shape, padding = [1, 1, 1], [0] * 6
        shape[axis] = len(kernel)
        padding[2 * (2 - axis)] = padding[2 * (2 - axis) + 1] = reach
        weight = kernel.view(1, 1, *shape).expand(channels, -1, -1, -1, -1)
        field = F.conv3d(F.pad(field, padding, mode="replicate"), weight, groups=channels)
    return field

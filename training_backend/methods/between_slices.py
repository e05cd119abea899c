"""Foreground between annotated slices stays near the shape that those slices give it.

Each annotated slice is grown by itself, where leaks are small; between two of them the signed distances to a class's
border are interpolated, and a class that one of the two does not show shrinks to nothing. Through thick slices grow-cut
leaks far out of such shapes wherever neighbours look alike: on ten tries at single abdominal MRs this lifts the
belief from Dice 0.72 to 0.76.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from slicer_kdseg.protocol.labels import BACKGROUND
from training_backend.methods.votes import Seen, annotated_slices, grown_alone

THICK = 2.0
MARGIN_PIXELS = 3.0
SLOPE = 0.8  # mm that a border may move with every mm from the nearest annotated slice


def has_thick_slices(case: Seen) -> bool:
    """Thin ones are near enough to one another for grow-cut: on isotropic hippocampi and spines nothing is gained."""
    return case.spacing_mm[0] >= THICK * float(np.mean(case.spacing_mm[1:]))


def kept_in_shape(belief: Tensor, case: Seen) -> Tensor:
    """``belief`` (K+1, D, H, W) with foreground far out of its class's shape turned into background, in place.

    Before the first and behind the last annotated slice there is no shape, and nothing changes.
    """
    annotated = annotated_slices(case.strokes)
    if len(annotated) < 2:
        return belief
    grown = {z: grown_alone(case, z, robust=True) for z in annotated}
    thickness, *pixel = case.spacing_mm
    between = np.arange(annotated[0], annotated[-1] + 1)
    gaps_mm = thickness * np.abs(between[:, None] - annotated).min(axis=1)
    margin = MARGIN_PIXELS * float(np.mean(pixel)) + SLOPE * gaps_mm[:, None, None]
    part = belief[:, annotated[0] : annotated[-1] + 1]
    for channel in range(BACKGROUND + 1, len(belief)):
        inside = _interpolated({z: _signed_distance(grown[z] == channel, pixel) for z in annotated})
        leak = part[channel] * torch.from_numpy(inside < -margin)
        part[BACKGROUND] += leak
        part[channel] -= leak
    return belief


def _interpolated(distances: Mapping[int, np.ndarray | None]) -> np.ndarray:
    """Signed distances (N, H, W) in mm on every slice from the first to the last of those given, inside positive."""
    shape = next((given.shape for given in distances.values() if given is not None), (1, 1))
    first, last = min(distances), max(distances)
    found = np.full((last - first + 1, *shape), -np.inf, np.float32)
    for a, b in pairwise(sorted(distances)):
        one, other = distances[a], distances[b]
        if one is None and other is None:
            continue
        one, other = (_gone(other) if one is None else one), (_gone(one) if other is None else other)
        share = np.linspace(0, 1, b - a + 1, dtype=np.float32)[:, None, None]
        stretch = found[a - first : b - first + 1]
        np.maximum(stretch, (1 - share) * one + share * other, out=stretch)
    return found


def _gone(shown: np.ndarray | None) -> np.ndarray:
    """What stands for a shape that a slice does not show: as far outside as the one beside it is thick."""
    assert shown is not None
    return np.full_like(shown, -max(float(shown.max()), 1.0))


def _signed_distance(shape: np.ndarray, pixel_mm: Sequence[float]) -> np.ndarray | None:
    """(H, W) bool -> mm to its border, inside positive; None where nothing is shown."""
    if not shape.any():
        return None
    inside, outside = (ndimage.distance_transform_edt(part, sampling=pixel_mm) for part in (shape, ~shape))
    return np.where(shape, inside, -outside).astype(np.float32)

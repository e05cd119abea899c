"""What a voxel looks like and where it lies, as a row of numbers: for teachers that read appearance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

SCALES = (1.0, 2.0, 4.0, 8.0)
SAMPLE = 100_000


def appearance(image: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """(D, H, W) with its spacing -> (D*H*W, F) float32, each column with mean 0 and deviation 1.

    Intensity and its rank in the image, both blurred at ``SCALES`` (in finest voxels, isotropic in mm),
    local spread, gradient, the slices before and behind, and the place along each axis.
    """
    finest = min(spacing_mm)
    widths = [finest / mm for mm in spacing_mm]

    def blurred(values: np.ndarray, scale: float) -> np.ndarray:
        return ndimage.gaussian_filter(values, [scale * width for width in widths])

    unit, rank = _unit(image), _rank(image)
    columns = [unit, rank, *(blurred(values, scale) for values in (unit, rank) for scale in SCALES)]
    mean = blurred(unit, 2.0)
    columns.append(np.sqrt(np.maximum(blurred(unit * unit, 2.0) - mean * mean, 0)))
    columns.append(ndimage.gaussian_gradient_magnitude(unit, widths))
    columns += [np.take(unit, np.clip(np.arange(len(unit)) + shift, 0, len(unit) - 1), axis=0) for shift in (-1, 1)]
    columns += np.meshgrid(*[np.linspace(-1, 1, extent, dtype=np.float32) for extent in image.shape], indexing="ij")
    rows = np.stack([column.ravel() for column in columns], axis=1).astype(np.float32)
    return (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-6)


def _unit(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, [0.5, 99.5])
    return np.clip((image - low) / (high - low + 1e-6), 0, 1).astype(np.float32)


def _rank(image: np.ndarray) -> np.ndarray:
    """The share of voxels darker than each voxel, ties in the middle."""
    order = np.sort(image.ravel()[:: max(1, image.size // SAMPLE)])
    place = np.searchsorted(order, image, "left") + np.searchsorted(order, image, "right")
    return (place / (2 * len(order))).astype(np.float32)

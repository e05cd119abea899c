"""Automatic background: strokes where background is safe to assume, offered when the user drew none.

Safe means: far from every stroke, and either darker than anything a class was seen to contain or in the
frame of the slice; never as bright as a class. Only slices that carry strokes are used.
"""

from __future__ import annotations

import numpy as np

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED
from slicer_kdseg.protocol.words import tr as _

FAR_MM = 20.0
FRAME = 0.06
EVERY_ROW = 3
DARKER_THAN_PERCENTILE = 2
CLASS_RANGE_PERCENTILES = (2, 98)


def with_automatic_background(
    image: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float]
) -> np.ndarray:
    """``labels`` (D, H, W) uint8 with background added. Raises :class:`BadAnnotation` if no place is safe."""
    drawn = labels != UNLABELLED
    if not drawn.any():
        raise BadAnnotation(_("There is no stroke yet; draw every class, then background can be added automatically."))
    stroked = np.flatnonzero(drawn.any(axis=(1, 2)))
    image, labels_here, drawn = image[stroked], labels[stroked], drawn[stroked]
    near = drawn
    for axis in (1, 2):
        near = _widened(near, axis, round(FAR_MM / spacing_mm[axis]))
    candidates = _in_frame(drawn.shape)
    seen = image[drawn]
    candidates |= image < np.percentile(seen, DARKER_THAN_PERCENTILE)
    for id_ in np.unique(labels_here[drawn]):
        low, high = np.percentile(image[labels_here == id_], CLASS_RANGE_PERCENTILES)
        candidates &= (image < low) | (image > high)
    candidates &= ~near
    candidates[:, np.arange(drawn.shape[1]) % EVERY_ROW != 0] = False
    if not candidates.any():
        raise BadAnnotation(
            _(
                "No place is safely background: strokes or similar intensities lie everywhere; draw one"
                " background stroke."
            )
        )
    added = labels.copy()
    added[stroked] = np.where(candidates, BACKGROUND, labels_here)
    return added


def _widened(mask: np.ndarray, axis: int, radius: int) -> np.ndarray:
    """``mask`` grown by ``radius`` voxels both ways along ``axis``."""
    sums = np.cumsum(mask, axis=axis, dtype=np.int32)
    extent = mask.shape[axis]
    last = np.take(sums, np.minimum(np.arange(extent) + radius, extent - 1), axis)
    first = np.arange(extent) - radius - 1
    before = np.take(sums, np.maximum(first, 0), axis)
    shape = [1, 1, 1]
    shape[axis] = extent
    return last - np.where((first >= 0).reshape(shape), before, 0) > 0


def _in_frame(shape: tuple[int, ...]) -> np.ndarray:
    frame = np.ones(shape, bool)
    height, width = (max(1, round(FRAME * extent)) for extent in shape[1:])
    frame[:, height:-height, width:-width] = False
    return frame

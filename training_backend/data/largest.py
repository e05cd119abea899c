"""The largest connected part of every class: organs come in one piece, false positives mostly do not."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from slicer_kdseg.protocol.labels import BACKGROUND


def largest_parts(labels: np.ndarray) -> np.ndarray:
    """(D, H, W) uint8 ids -> the same with all but the largest 6-connected part of each class as background."""
    kept = labels.copy()
    for id_ in np.unique(labels):
        if id_ == BACKGROUND:
            continue
        parts, count = ndimage.label(labels == id_)
        if count > 1:
            sizes = np.bincount(parts.ravel())[1:]
            kept[(parts > 0) & (parts != 1 + int(np.argmax(sizes)))] = BACKGROUND
    return kept

"""The largest connected part of a class: most organs come in one piece, false positives mostly do not."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy import ndimage


def largest_parts(labels: np.ndarray, ids: Collection[int], drawn: np.ndarray | None = None) -> np.ndarray:
    """(D, H, W) uint8 ids -> the same with all but the largest 6-connected part of each class of ``ids`` as background.

    A part in which somebody has drawn its class (``drawn``, (D, H, W) ids) is kept too.
    """
    kept = labels.copy()
    boxes = ndimage.find_objects(labels) if ids else []
    for id_ in ids:
        box = boxes[id_ - 1] if id_ <= len(boxes) else None
        if box is None:
            continue
        parts, count = ndimage.label(labels[box] == id_)
        if count < 2:
            continue
        stays = np.zeros(count + 1, bool)
        stays[0] = stays[1 + int(np.argmax(np.bincount(parts.ravel())[1:]))] = True
        if drawn is not None:
            stays[parts[drawn[box] == id_]] = True
        kept[box][~stays[parts]] = 0
    return kept


def shares_in_largest(labels: np.ndarray, drawn: np.ndarray, ids: Collection[int]) -> dict[int, float]:
    """Class by class, which share of what was drawn, 0..1, lies in its largest part in ``labels``; both (D, H, W) ids.

    Classes of ``ids`` that nobody has drawn have none.
    """
    boxes = ndimage.find_objects(labels)
    shares = {}
    for id_ in ids:
        said = int((drawn == id_).sum())
        box = boxes[id_ - 1] if id_ <= len(boxes) else None
        if said and box is not None:
            parts, _ = ndimage.label(labels[box] == id_)
            largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
            shares[id_] = float((parts[drawn[box] == id_] == largest).sum() / said)
        elif said:
            shares[id_] = 0.0
    return shares

"""Assistant cases brought to the targets' size and region, so that one network can meet both in one window.

Both sides carry labels, so the sizes of what is labelled can be compared. Millimetres alone are not enough:
in the cardiac set of our benchmarks the headers make the hearts of one patient 1.7 times larger in one
sequence than in the other, because the crops were resampled and the headers were not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED
from training_backend.data.cases import spacing_mm, turned_like

MARGIN_MM = 15.0
MOST_SCALING = 3.0


@dataclass(frozen=True)
class Assistant:
    """``image`` (D, H, W) float32 with ``labels`` (D, H, W) uint8 ids and its affine, index to RAS mm."""

    image: np.ndarray
    labels: np.ndarray
    affine: np.ndarray


def fitted(
    assistants: Sequence[Assistant], targets: Sequence[Assistant], slice_axis: int, dims: int, match_size: bool
) -> list[Assistant]:
    """Every assistant turned as the targets lie, at their size, cut to their field of view around what is labelled.

    ``match_size``: scale the assistants' spacing so that the median size of the labelled classes agrees with
    the targets'; in 2-D (``dims``) only within slices across ``slice_axis``.
    """
    assistants = [_turned(case, targets[0].affine) for case in assistants]
    free = [axis for axis in range(3) if dims == 3 or axis != slice_axis]
    factor = size_ratio(targets, assistants, slice_axis, dims) if match_size else 1.0
    extents = [np.array(case.image.shape) * spacing_mm(case.affine) for case in targets]
    extent_mm = np.median(extents, axis=0)
    return [_cut(_scaled(case, factor, free), extent_mm, free) for case in assistants]


def size_ratio(targets: Sequence[Assistant], assistants: Sequence[Assistant], slice_axis: int, dims: int) -> float:
    """Median size of what is labelled in the targets over that in the assistants; 1 where either shows nothing.

    Only classes of both sides count. In 2-D size is the root of the mean area of a slice that shows any.
    """
    shared = _classes(targets) & _classes(assistants)
    sides = [[_size_mm(case, shared, slice_axis, dims) for case in side] for side in (targets, assistants)]
    known = [[size for size in side if size > 0] for side in sides]
    if not all(known):
        return 1.0
    ratio = float(np.median(known[0]) / np.median(known[1]))
    return float(np.clip(ratio, 1 / MOST_SCALING, MOST_SCALING))


def _classes(cases: Sequence[Assistant]) -> set[int]:
    return {int(id_) for case in cases for id_ in np.unique(case.labels)} - {BACKGROUND, UNLABELLED}


def _size_mm(case: Assistant, shared: set[int], slice_axis: int, dims: int) -> float:
    shown = np.moveaxis(np.isin(case.labels, list(shared)), slice_axis, 0)
    steps = spacing_mm(case.affine)
    if dims == 3:
        return float(np.cbrt(shown.sum() * np.prod(steps)))
    areas = shown.sum(axis=(1, 2))
    step = np.prod([steps[axis] for axis in range(3) if axis != slice_axis])
    return float(np.sqrt(areas[areas > 0].mean() * step)) if areas.any() else 0.0


def _turned(case: Assistant, like: np.ndarray) -> Assistant:
    (image, labels), affine = turned_like([case.image, case.labels], case.affine, like)
    return Assistant(image, labels, affine)


def _scaled(case: Assistant, factor: float, axes: Sequence[int]) -> Assistant:
    """The same voxels, said to be ``factor`` as long along array ``axes``; a column of the affine is an index axis."""
    affine = case.affine.copy()
    for axis in axes:
        affine[:3, 2 - axis] *= factor
    return replace(case, affine=affine)


def _cut(case: Assistant, extent_mm: np.ndarray, axes: Sequence[int]) -> Assistant:
    """The part around what is labelled that is as large as the targets' images, or as the labels and a margin."""
    shown = (case.labels != BACKGROUND) & (case.labels != UNLABELLED)
    if not shown.any():
        return case
    part = [slice(None)] * 3
    for axis in axes:
        seen = np.flatnonzero(shown.any(axis=tuple(a for a in range(3) if a != axis)))
        step = spacing_mm(case.affine)[axis]
        wanted = max(extent_mm[axis] / step, np.ptp(seen) + 1 + 2 * MARGIN_MM / step)
        first = round((seen[0] + seen[-1] + 1 - wanted) / 2)
        last = first + round(wanted)
        part[axis] = slice(max(first, 0), min(last, case.image.shape[axis]))
    affine = case.affine.copy()
    starts = [part[axis].start or 0 for axis in (2, 1, 0)]
    affine[:3, 3] += affine[:3, :3] @ np.array(starts, float)
    return Assistant(case.image[tuple(part)], case.labels[tuple(part)], affine)

"""The first preview, with no server: Slicer's own grow-cut, kept alive so that later strokes cost little.

As the desktop effect does, only the seeds' box with a margin is grown; what lies outside stays
``UNLABELLED``. Traps of ``vtkImageGrowCutSegment``: seed 0 means "no seed", so ids travel one higher;
voxels on the border of its input never pass anything on, so the box is
padded by one; its output is overwritten by the next update; a seed taken away or
renamed is not noticed, so such a change starts afresh. The filter lets other threads run while it works.
"""

from __future__ import annotations

import numpy as np
import slicer

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.geometry import Box, array_of_image, box_of, plain_image

LEVELS = 1000
LEAST_MARGIN = 3
GROWTH = 0.1
MOST_VOXELS = 1_200_000  # one to two seconds of one core; larger boxes are grown on a coarser grid


class GrowCut:
    """Grow-cut on one image (D, H, W) with ``spacing_mm`` along (D, H, W); call :meth:`grow` with all strokes."""

    def __init__(self, image: np.ndarray, spacing_mm: tuple[float, float, float]) -> None:
        self._image = image
        self._spacing_mm = spacing_mm
        self._range = float(image.min()), float(image.max())
        self._box: Box | None = None
        self._stride = (1, 1, 1)
        self._seeds = np.zeros((0, 0, 0), np.uint8)

    def grow(self, strokes: np.ndarray) -> np.ndarray:
        """Class ids (D, H, W) uint8 from all ``strokes`` (D, H, W); ``UNLABELLED`` where growing did not reach."""
        seeded = box_of(strokes != UNLABELLED)
        if seeded is None:
            raise BadAnnotation(_("There is no stroke to grow from; draw at least one stroke for every class."))
        if self._box is None or not _holds(self._box, seeded):
            self._begin(_with_margin(seeded, strokes.shape))
        assert self._box is not None
        seeds = self._coarse_seeds(strokes[self._box])
        known = self._seeds != 0
        if (seeds[known] != self._seeds[known]).any():
            self._filter.Reset()
        self._seeds = seeds
        array_of_image(self._seed_image)[...] = np.pad(seeds, 1)
        self._seed_image.GetPointData().GetScalars().Modified()
        self._seed_image.Modified()
        self._filter.Update()
        return self._full_size(strokes)

    def _begin(self, box: Box) -> None:
        low, high = self._range
        shape = tuple(s.stop - s.start for s in box)
        self._box, self._stride = box, _stride_within(shape, self._spacing_mm)
        part = self._image[box][tuple(slice(None, None, step) for step in self._stride)].astype(np.float32)
        scaled = (np.clip((part - low) / (high - low + 1e-6), 0, 1) * LEVELS).astype(np.int16)
        self._seeds = np.zeros(scaled.shape, np.uint8)
        self._seed_image = plain_image(np.pad(self._seeds, 1))
        self._filter = slicer.vtkImageGrowCutSegment()
        self._filter.SetIntensityVolume(plain_image(np.pad(scaled, 1, mode="edge")))
        self._filter.SetSeedLabelVolume(self._seed_image)

    def _coarse_seeds(self, strokes: np.ndarray) -> np.ndarray:
        seeds = np.where(strokes == UNLABELLED, 0, strokes + 1).astype(np.uint8)
        if self._stride == (1, 1, 1):
            return seeds
        coarse = np.zeros(self._seeds.shape, np.uint8)
        at = np.nonzero(seeds)
        coarse[tuple(axis // step for axis, step in zip(at, self._stride, strict=True))] = seeds[at]
        return coarse

    def _full_size(self, strokes: np.ndarray) -> np.ndarray:
        grown = array_of_image(self._filter.GetOutput())[1:-1, 1:-1, 1:-1]
        labels = np.where(grown == 0, UNLABELLED, grown - 1).astype(np.uint8)
        assert self._box is not None
        result = np.full(strokes.shape, UNLABELLED, np.uint8)
        if self._stride == (1, 1, 1):
            result[self._box] = labels
            return result
        for axis, step in enumerate(self._stride):
            labels = np.repeat(labels, step, axis)
        inner = tuple(slice(0, s.stop - s.start) for s in self._box)
        result[self._box] = labels[inner]
        drawn = strokes != UNLABELLED
        result[drawn] = strokes[drawn]
        return result


def _holds(outer: Box, inner: Box) -> bool:
    return all(o.start <= i.start and i.stop <= o.stop for o, i in zip(outer, inner, strict=True))


def _with_margin(box: Box, shape: tuple[int, ...]) -> Box:
    spans = []
    for span, extent in zip(box, shape, strict=True):
        margin = max(LEAST_MARGIN, round(GROWTH * (span.stop - span.start)))
        spans.append(slice(max(0, span.start - margin), min(extent, span.stop + margin)))
    return spans[0], spans[1], spans[2]


def _stride_within(shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Steps along (D, H, W) that bring ``shape`` under ``MOST_VOXELS``, the finest axis coarsened first."""
    stride = [1, 1, 1]
    while np.prod([-(-extent // step) for extent, step in zip(shape, stride, strict=True)]) > MOST_VOXELS:
        wide = [axis for axis in range(3) if shape[axis] // stride[axis] > 1]
        finest = min(wide, key=lambda axis: spacing_mm[axis] * stride[axis])
        stride[finest] += 1
    return stride[0], stride[1], stride[2]

"""From the label layers of a segmentation to one label a voxel: as strokes, or as a finished segmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED
from slicer_kdseg.scene.geometry import Box

Layer = tuple[Box, np.ndarray, dict[int, int]]  # where on the volume's grid, its voxels there, value to class id


@dataclass(frozen=True, eq=False)
class Strokes:
    """``labels`` (D, H, W) uint8 on the volume's grid; ``contradictions`` voxels were claimed by two classes.

    Slices that are not in ``drawn`` (indices along D) are unlabelled throughout.
    """

    labels: np.ndarray
    drawn: np.ndarray
    contradictions: int = 0

    @property
    def spoken(self) -> np.ndarray:
        """The class ids of all voxels that somebody spoke about, flat."""
        planes = self.labels[self.drawn]
        return planes[planes != UNLABELLED]

    @property
    def counts(self) -> dict[int, int]:
        """Voxels per class id that somebody spoke about."""
        ids, counts = np.unique(self.spoken, return_counts=True)
        return {int(id_): int(count) for id_, count in zip(ids, counts, strict=True)}


def _table(ids: dict[int, int], highest: int) -> np.ndarray:
    """Label value to class id, ``UNLABELLED`` for values that no segment has."""
    table = np.full(max(highest, *ids) + 1, UNLABELLED, np.uint8)
    for value, id_ in ids.items():
        table[value] = id_
    return table


def strokes_in(shape: tuple[int, int, int], layers: list[Layer]) -> Strokes:
    """A class wins over background; a voxel that two classes claim is unlabelled."""
    labels = np.full(shape, UNLABELLED, np.uint8)
    contradictions: list[np.ndarray] = []
    drawn: set[int] = set()
    for box, layer, ids in layers:
        planes = drawn_planes(layer)  # strokes are few: the rest of 512 x 512 x 300 is looked at only once
        drawn.update((planes + box[0].start).tolist())
        d, h, w = np.nonzero(layer[planes])
        at = planes[d], h, w
        values = layer[at]
        claimed = _table(ids, int(values.max(initial=0)))[values]
        here = labels[box]
        already = here[at]
        takes = (claimed != UNLABELLED) & ((already == UNLABELLED) | (already == BACKGROUND))
        clash = (claimed != UNLABELLED) & (claimed != BACKGROUND) & ~takes & (already != claimed)
        here[tuple(axis[takes] for axis in at)] = claimed[takes]
        if clash.any():
            contradictions.append(np.ravel_multi_index(_moved(at, box, clash), shape))
    slices = np.array(sorted(drawn), np.int64)
    if not contradictions:
        return Strokes(labels, slices)
    contradicted = np.unique(np.concatenate(contradictions))
    labels.reshape(-1)[contradicted] = UNLABELLED
    return Strokes(labels, slices, contradicted.size)


def filled_with(shape: tuple[int, int, int], layers: list[Layer]) -> Strokes:
    """Complete labels: what nobody claims is background, a later layer wins."""
    labels = np.full(shape, BACKGROUND, np.uint8)
    drawn: set[int] = set()
    for box, layer, ids in layers:
        table = _table(ids, int(layer.max(initial=0)))
        table[table == UNLABELLED] = BACKGROUND
        here, planes = labels[box], drawn_planes(layer)
        drawn.update((planes + box[0].start).tolist())
        for d in planes:
            plane = table[layer[d]]
            np.copyto(here[d], plane, where=plane != BACKGROUND)
    return Strokes(labels, np.array(sorted(drawn), np.int64))


def drawn_planes(layer: np.ndarray) -> np.ndarray:
    """Indices along D of the planes of ``layer`` (D, H, W) that hold anything."""
    return np.flatnonzero([plane.any() for plane in layer])


def _moved(at: tuple[np.ndarray, ...], box: Box, which: np.ndarray) -> tuple[np.ndarray, ...]:
    """Positions inside ``box`` as positions in the whole grid."""
    return tuple(axis[which] + span.start for axis, span in zip(at, box, strict=True))

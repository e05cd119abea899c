"""What the user drew: the annotation segmentation of one volume, read as labels that travel by id.

Every class is a segment tagged ``KDSeg.LabelId``, background (id 0) like any other; the order of the
segments means nothing. Where segments overlap, background gives way to a class, and a voxel that two
classes claim counts as ``UNLABELLED``, because nobody has clearly spoken about it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelClass, LabelContract
from slicer_kdseg.scene.geometry import Box, grid_of_volume, voxels_on
from slicer_kdseg.scene.segments import (
    BINARY_LABELMAP,
    describe,
    described,
    label_id,
    segments,
    tag_untagged,
)

ROLE = "KDSeg.Role"
ANNOTATION = "annotation"
FINISHED = "KDSeg.Finished"
SOURCE = "KDSeg.SourceVolume"
BACKGROUND_CLASS = LabelClass(BACKGROUND, "background", (0.35, 0.35, 0.35))


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


class Annotation:
    """The segmentation ``node`` that the user draws in, over ``volume``. Only read here, tags aside."""

    def __init__(self, volume: Any, node: Any) -> None:
        self.volume = volume
        self.node = node
        tag_untagged(node.GetSegmentation())

    @property
    def contract(self) -> LabelContract:
        """The classes by id, as the segments name and colour them now. Raises :class:`BadAnnotation`.

        A finished segmentation seldom has a segment for the background: it is a class all the same.
        """
        tag_untagged(self.node.GetSegmentation())
        classes = [described(segment) for segment in segments(self.node.GetSegmentation())]
        if all(label.id != BACKGROUND for label in classes):
            classes.insert(0, BACKGROUND_CLASS)
        return LabelContract(tuple(classes))

    def segment_id_of(self, id_: int) -> str:
        """Slicer's segment id of class ``id_``: what the segment editor selects."""
        segmentation = self.node.GetSegmentation()
        for segment in segments(segmentation):
            if label_id(segment) == id_:
                return str(segmentation.GetSegmentIdBySegment(segment))
        raise BadAnnotation(f"The annotation '{self.node.GetName()}' has no class with the id {id_}.")

    def add_class(self, label: LabelClass) -> None:
        """Add an empty segment for ``label``."""
        if label.id in [label_id(segment) for segment in segments(self.node.GetSegmentation())]:
            raise BadAnnotation(f"The annotation '{self.node.GetName()}' already has a class with the id {label.id}.")
        segmentation = self.node.GetSegmentation()
        describe(segmentation.GetSegment(segmentation.AddEmptySegment("", label.name, label.color)), label)

    def read(self) -> Strokes:
        """All strokes on the volume's grid. Raises :class:`BadAnnotation` when they lie on another grid."""
        tag_untagged(self.node.GetSegmentation())
        grid = grid_of_volume(self.volume)
        names = (self.node.GetName(), self.volume.GetName())
        if self.node.GetParentTransformNode() is not self.volume.GetParentTransformNode():
            raise BadAnnotation(
                f"The labels '{names[0]}' and the image '{names[1]}' are under different transforms;"
                " put both under the same one, or harden it."
            )
        labels = np.full(grid.shape, UNLABELLED, np.uint8)
        contradictions: list[np.ndarray] = []
        drawn: set[int] = set()
        for image, ids in self._layers():
            found = voxels_on(image, grid, names)
            if found is None:
                continue
            box, layer = found
            planes = _drawn_planes(layer)  # strokes are few: the rest of 512 x 512 x 300 is looked at only once
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
                contradictions.append(np.ravel_multi_index(_moved(at, box, clash), grid.shape))
        slices = np.array(sorted(drawn), np.int64)
        if not contradictions:
            return Strokes(labels, slices)
        contradicted = np.unique(np.concatenate(contradictions))
        labels.reshape(-1)[contradicted] = UNLABELLED
        return Strokes(labels, slices, contradicted.size)

    def filled(self) -> np.ndarray:
        """A finished segmentation (D, H, W) uint8: what no segment claims is background, a later segment wins."""
        return self.filled_later()()

    def filled_later(self) -> Callable[[], np.ndarray]:
        """:meth:`filled` for another thread: the scene is asked now, the voxels are read when it is called.

        Raises :class:`BadAnnotation`. The views keep their buffers alive, whatever becomes of the segments.
        """
        tag_untagged(self.node.GetSegmentation())
        grid = grid_of_volume(self.volume)
        layers = []
        for image, ids in self._layers():
            found = voxels_on(image, grid, (self.node.GetName(), self.volume.GetName()))
            if found is not None:
                layers.append((*found, ids))
        return lambda: _filled(grid.shape, layers)

    def voxels_by_slice(self) -> dict[int, np.ndarray]:
        """Voxels that each class claims on each slice (D,); overlaps count for both.

        Only what was drawn is looked at, so that a panel can ask after every stroke: 512 x 512 x 300 voxels with
        strokes of five classes in a few milliseconds. Raises :class:`BadAnnotation`.
        """
        tag_untagged(self.node.GetSegmentation())
        grid = grid_of_volume(self.volume)
        counts = {label.id: np.zeros(grid.shape[0], np.int64) for label in self.contract.classes}
        for image, ids in self._layers():
            found = voxels_on(image, grid, (self.node.GetName(), self.volume.GetName()))
            if found is None:
                continue
            box, layer = found
            for d in _drawn_planes(layer):
                values, voxels = np.unique(layer[d][layer[d] > 0], return_counts=True)
                for value, count in zip(values, voxels, strict=True):
                    if int(value) in ids:
                        counts[ids[int(value)]][box[0].start + d] += int(count)
        return counts

    def coverage(self, strokes: Strokes | None = None) -> dict[int, str]:
        """One line per class for a panel: 'spleen: no stroke yet', 'liver: 412 voxels on 3 slices'."""
        counts = self.voxels_by_slice() if strokes is None else _by_slice(strokes, self.contract)
        lines = {}
        for label in sorted(self.contract.classes, key=lambda c: c.id):
            slices, voxels = int(np.count_nonzero(counts[label.id])), int(counts[label.id].sum())
            plural = "s" if slices > 1 else ""
            found = f"{voxels} voxels on {slices} slice{plural}" if voxels else "no stroke yet"
            lines[label.id] = f"{label.name}: {found}"
        return lines

    @property
    def looks_like_strokes(self) -> bool:
        """Somebody drew background: nobody does that in a finished segmentation."""
        return bool(self.voxels_by_slice()[BACKGROUND].any())

    def _layers(self) -> list[tuple[Any, dict[int, int]]]:
        """Each labelmap with its label values and the class ids they stand for."""
        layers: dict[str, tuple[Any, dict[int, int]]] = {}
        for segment in segments(self.node.GetSegmentation()):
            image, id_ = segment.GetRepresentation(BINARY_LABELMAP), label_id(segment)
            if image is not None and id_ is not None and image.GetNumberOfPoints() > 0:
                layers.setdefault(image.GetAddressAsString(""), (image, {}))[1][segment.GetLabelValue()] = id_
        return list(layers.values())


def _table(ids: dict[int, int], highest: int) -> np.ndarray:
    """Label value to class id, ``UNLABELLED`` for values that no segment has."""
    table = np.full(max(highest, *ids) + 1, UNLABELLED, np.uint8)
    for value, id_ in ids.items():
        table[value] = id_
    return table


def _filled(shape: tuple[int, int, int], layers: list[tuple[Box, np.ndarray, dict[int, int]]]) -> np.ndarray:
    labels = np.full(shape, BACKGROUND, np.uint8)
    for box, layer, ids in layers:
        table = _table(ids, int(layer.max(initial=0)))
        table[table == UNLABELLED] = BACKGROUND
        here = labels[box]
        for d in _drawn_planes(layer):
            plane = table[layer[d]]
            np.copyto(here[d], plane, where=plane != BACKGROUND)
    return labels


def _drawn_planes(layer: np.ndarray) -> np.ndarray:
    """Indices along D of the planes of ``layer`` (D, H, W) that hold anything."""
    return np.flatnonzero([plane.any() for plane in layer])


def _by_slice(strokes: Strokes, contract: LabelContract) -> dict[int, np.ndarray]:
    return {id_: np.count_nonzero(strokes.labels == id_, axis=(1, 2)) for id_ in contract.ids}


def _moved(at: tuple[np.ndarray, ...], box: Box, which: np.ndarray) -> tuple[np.ndarray, ...]:
    """Positions inside ``box`` as positions in the whole grid."""
    return tuple(axis[which] + span.start for axis, span in zip(at, box, strict=True))


def find_annotation(scene: Any, volume: Any) -> Any | None:
    """The segmentation in which ``volume`` was annotated, for instance after a saved scene was opened again."""
    return next((node for node in _of(scene, volume) if node.GetAttribute(ROLE) == ANNOTATION), None)


def find_finished(scene: Any, volume: Any) -> Any | None:
    """The finished segmentation that was chosen as the labels of ``volume``."""
    return next((node for node in _of(scene, volume) if node.GetAttribute(FINISHED)), None)


def choose_finished(node: Any, volume: Any) -> None:
    """Let :func:`find_finished` find ``node`` again; what else it is (a reviewed copy, say) it stays."""
    node.SetAttribute(FINISHED, "yes")
    node.SetNodeReferenceID(SOURCE, volume.GetID())


def _of(scene: Any, volume: Any) -> list[Any]:
    nodes = scene.GetNodesByClass("vtkMRMLSegmentationNode")
    nodes.UnRegister(None)
    found = (nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems()))
    return [node for node in found if node.GetNodeReference(SOURCE) is volume]


def new_annotation(scene: Any, volume: Any, contract: LabelContract) -> Annotation:
    """An empty annotation segmentation over ``volume`` with one segment per class of ``contract``."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} annotation")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetAttribute(ROLE, ANNOTATION)
    node.SetNodeReferenceID(SOURCE, volume.GetID())
    annotation = Annotation(volume, node)
    for label in sorted(contract.classes, key=lambda c: c.id):
        annotation.add_class(label)
    return annotation

"""What the user drew: the annotation segmentation of one volume, read as labels that travel by id.

Every class is a segment tagged ``KDSeg.LabelId``, background (id 0) like any other; the order of the
segments means nothing. Where segments overlap, background gives way to a class, and a voxel that two
classes claim counts as ``UNLABELLED``, because nobody has clearly spoken about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import BACKGROUND, LabelClass, LabelContract
from slicer_kdseg.protocol.messages import AnnotationKind
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.geometry import Grid, grid_of_volume, voxels_on
from slicer_kdseg.scene.layers import Layer, Strokes, drawn_planes, filled_with, strokes_in
from slicer_kdseg.scene.nodes import ROLE, SOURCE, segmentations
from slicer_kdseg.scene.segments import (
    BINARY_LABELMAP,
    describe,
    described,
    label_id,
    segments,
    tag_untagged,
)

ANNOTATION = "annotation"
FINISHED = "KDSeg.Finished"
BACKGROUND_CLASS = LabelClass(BACKGROUND, "background", (0.35, 0.35, 0.35))


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
        return self.read_later()()

    def read_later(self, kind: AnnotationKind = "scribble") -> Callable[[], Strokes]:
        """:meth:`read` for another thread: the scene is asked now, the voxels are read when it is called.

        Of ``kind`` dense it is what :meth:`filled` gives: complete labels have no contradictions.
        Raises :class:`BadAnnotation`. The views keep their buffers alive, whatever becomes of the segments; 512 x 512 x
        300 voxels are gone through in 20 to 40 ms, which no click should wait for.
        """
        if self.node.GetParentTransformNode() is not self.volume.GetParentTransformNode():
            raise BadAnnotation(
                _(
                    "The labels '{labels}' and the image '{image}' are under different transforms; put both"
                    " under the same one, or harden it."
                ).format(labels=self.node.GetName(), image=self.volume.GetName())
            )
        grid, layers = self._layers_on_grid()
        together = filled_with if kind == "dense" else strokes_in
        return lambda: together(grid.shape, layers)

    def filled(self) -> np.ndarray:
        """A finished segmentation (D, H, W) uint8: what no segment claims is background, a later segment wins."""
        return self.filled_later()()

    def filled_later(self) -> Callable[[], np.ndarray]:
        """:meth:`filled` for another thread: the scene is asked now, the voxels are read when it is called.

        Raises :class:`BadAnnotation`. The views keep their buffers alive, whatever becomes of the segments.
        """
        grid, layers = self._layers_on_grid()
        return lambda: filled_with(grid.shape, layers).labels

    def voxels_by_slice(self) -> dict[int, np.ndarray]:
        """Voxels that each class claims on each slice (D,); overlaps count for both.

        Only what was drawn is looked at, so that a panel can ask after every stroke: 512 x 512 x 300 voxels with
        strokes of five classes in a few milliseconds. Raises :class:`BadAnnotation`.
        """
        grid, layers = self._layers_on_grid()
        counts = {label.id: np.zeros(grid.shape[0], np.int64) for label in self.contract.classes}
        for box, layer, ids in layers:
            for d in drawn_planes(layer):
                voxels = np.bincount(layer[d].reshape(-1), minlength=max(ids) + 1)
                for value, id_ in ids.items():
                    counts[id_][box[0].start + d] += int(voxels[value])
        return counts

    def coverage(self, counts: dict[int, np.ndarray] | None = None) -> dict[int, str]:
        """One line per class for a panel: 'spleen: no stroke yet', 'liver: 412 voxels on 3 slices'.

        ``counts`` as :meth:`voxels_by_slice` gives them, where somebody has asked already.
        """
        counts = self.voxels_by_slice() if counts is None else counts
        lines = {}
        for label in sorted(self.contract.classes, key=lambda c: c.id):
            slices, voxels = int(np.count_nonzero(counts[label.id])), int(counts[label.id].sum())
            if not voxels:
                line = _("{name}: no stroke yet")
            elif slices == 1:
                line = _("{name}: {voxels} voxels on 1 slice")
            else:
                line = _("{name}: {voxels} voxels on {slices} slices")
            lines[label.id] = line.format(name=label.name, voxels=voxels, slices=slices)
        return lines

    @property
    def is_finished(self) -> bool:
        """Somebody chose it as complete; what was made for strokes and holds some of the background never is."""
        if not self.node.GetAttribute(FINISHED):
            return False
        return self.node.GetAttribute(ROLE) != ANNOTATION or BACKGROUND not in self.spoken_classes()

    def spoken_classes(self) -> set[int]:
        """The ids of the classes that hold any voxel, found without looking at all of them.

        Raises :class:`BadAnnotation` when they lie on another grid.
        """
        _, layers = self._layers_on_grid()
        spoken: set[int] = set()
        for _, layer, ids in layers:
            missing = {value: id_ for value, id_ in ids.items() if id_ not in spoken}
            for plane in layer:
                if not missing:
                    break
                if plane.any():
                    found = {value for value in missing if (plane == value).any()}
                    spoken.update(missing.pop(value) for value in found)
        return spoken

    def _layers_on_grid(self) -> tuple[Grid, list[Layer]]:
        tag_untagged(self.node.GetSegmentation())
        grid, names = grid_of_volume(self.volume), (self.node.GetName(), self.volume.GetName())
        layers = [(voxels_on(image, grid, names), ids) for image, ids in self._layers()]
        return grid, [(*found, ids) for found, ids in layers if found is not None]

    def _layers(self) -> list[tuple[Any, dict[int, int]]]:
        """Each labelmap with its label values and the class ids they stand for."""
        layers: dict[str, tuple[Any, dict[int, int]]] = {}
        for segment, image in _drawn(self.node):
            id_ = label_id(segment)
            if id_ is not None:
                layers.setdefault(image.GetAddressAsString(""), (image, {}))[1][segment.GetLabelValue()] = id_
        return list(layers.values())


def find_annotation(scene: Any, volume: Any) -> Any | None:
    """The segmentation in which ``volume`` was annotated, for instance after a saved scene was opened again."""
    return next((node for node in _of(scene, volume) if node.GetAttribute(ROLE) == ANNOTATION), None)


def find_finished(scene: Any, volume: Any) -> Any | None:
    """The finished segmentation that was chosen as the labels of ``volume``."""
    return next((node for node in _of(scene, volume) if node.GetAttribute(FINISHED)), None)


def choose_annotation(node: Any, volume: Any) -> None:
    """Let :func:`find_annotation` find ``node``: strokes that came from elsewhere."""
    node.SetAttribute(ROLE, ANNOTATION)
    node.SetNodeReferenceID(SOURCE, volume.GetID())


def choose_finished(node: Any, volume: Any) -> None:
    """Let :func:`find_finished` find ``node`` and no other; what else it is (a reviewed copy, say) it stays.

    Raises :class:`BadAnnotation` where it is another image's or lies on another grid; nothing has changed then.
    """
    owner = node.GetNodeReference(SOURCE)
    if owner is not None and owner is not volume:
        raise BadAnnotation(
            _("'{labels}' belongs to the image '{owner}' and not to '{image}'; choose another segmentation.").format(
                labels=node.GetName(), owner=owner.GetName(), image=volume.GetName()
            )
        )
    grid, names = grid_of_volume(volume), (node.GetName(), volume.GetName())
    for _segment, image in _drawn(node):
        voxels_on(image, grid, names)
    for other in _of(node.GetScene(), volume):
        other.RemoveAttribute(FINISHED)
    node.SetAttribute(FINISHED, "yes")
    node.SetNodeReferenceID(SOURCE, volume.GetID())


def _drawn(node: Any) -> list[tuple[Any, Any]]:
    """Each segment that holds a labelmap, and that labelmap; several may share one."""
    found = [(segment, segment.GetRepresentation(BINARY_LABELMAP)) for segment in segments(node.GetSegmentation())]
    return [(segment, image) for segment, image in found if image is not None and image.GetNumberOfPoints() > 0]


def _of(scene: Any, volume: Any) -> list[Any]:
    return [node for node in segmentations(scene) if node.GetNodeReference(SOURCE) is volume]


def new_annotation(scene: Any, volume: Any, contract: LabelContract) -> Annotation:
    """An empty annotation segmentation over ``volume`` with one segment per class of ``contract``."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", _("{volume} annotation").format(volume=volume.GetName()))
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetAttribute(ROLE, ANNOTATION)
    node.SetNodeReferenceID(SOURCE, volume.GetID())
    annotation = Annotation(volume, node)
    for label in sorted(contract.classes, key=lambda c: c.id):
        annotation.add_class(label)
    return annotation

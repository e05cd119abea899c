"""What the backend predicts, shown in the scene: one preview segmentation per source volume, updated in place.

All classes share one uint8 labelmap of the volume's full extent, label value = class id, so an update
is a copy into an array and one ``Modified``: 4 ms for 512 x 512 x 300 where an import takes 309 ms and
crops the layer. Background and ``UNLABELLED`` are shown as nothing. The annotation is never touched.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import slicer
from vtkmodules.vtkCommonCore import VTK_UNSIGNED_CHAR

from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.scene.geometry import Box, array_of_image, grid_of_volume, new_labelmap, whole
from slicer_kdseg.scene.nodes import ROLE, SOURCE, segmentations
from slicer_kdseg.scene.segments import BINARY_LABELMAP, describe, segments

PREVIEW = "preview"


@dataclass(frozen=True)
class Provenance:
    """Where a shown result comes from; kept as node attributes ``KDSeg.JobId``, ``KDSeg.Method`` and so on."""

    job_id: str = ""
    method: str = ""
    step: int = 0
    model: str = ""
    source: str = ""
    revision: int = 0


class PreviewSegmentation:
    """The preview of ``volume``: found again if the scene already holds one, else made.

    ``number`` is the backend's preview that the layer holds unchanged, so that only changes need to travel; whoever
    writes to the layer, another object of this kind included, ends that.
    ``layer``: an oriented labelmap over all of the volume, used where there is none yet; zeroing one of 512 x 512 x
    300 voxels takes 70 ms, which another thread can do.
    """

    def __init__(self, scene: Any, volume: Any, contract: LabelContract, layer: Any | None = None) -> None:
        self.node = find_preview(scene, volume) or _new_node(scene, volume)
        self._held: tuple[int, int] | None = None  # the preview's number, and the layer's time when it was shown
        self._volume = volume
        self.contract = contract
        self._image = self._shared_image() or self._rebuilt(layer)
        self._describe_segments()

    @property
    def labels(self) -> np.ndarray:
        """The shown class ids (D, H, W) uint8: the shared layer itself, not a copy; write through :meth:`update`."""
        image = self._shared_image()
        if image is None:
            image = self._rebuilt()
            self._describe_segments()
        self._image = image
        return array_of_image(image)

    def show(self, labels: np.ndarray) -> None:
        """Replace the whole preview by ``labels`` (D, H, W) uint8."""
        self.update(whole(labels.shape), labels)

    def show_layer(self, layer: Any) -> None:
        """Replace the whole preview by an oriented labelmap; the one that it was opened with is not copied."""
        if layer is self._shared_image():
            self.shown()
        else:
            self.show(array_of_image(layer))

    def update(self, box: Box, labels: np.ndarray) -> None:
        """Write ``labels`` into ``box`` of the shared layer; displays follow."""
        self.labels[box] = labels
        self.shown()

    def shown(self, number: int | None = None) -> None:
        """Tell the displays that :attr:`labels` was written to. Surfaces are left to the host: 4 s for five classes."""
        self._image.GetPointData().GetScalars().Modified()
        self._image.Modified()
        self._held = None if number is None else (number, self._image.GetMTime())

    @property
    def number(self) -> int | None:
        held, image = self._held, self._shared_image()
        return held[0] if held is not None and image is not None and image.GetMTime() == held[1] else None

    def release(self) -> None:
        """Let go of the voxels of a node that has left the scene.

        A segmentation that is destroyed clears its segments from a shared layer one after the other:
        7 s for 512 x 512 x 300 with five classes, in the thread that closes the scene.
        """
        for segment in segments(self.node.GetSegmentation()):
            segment.RemoveAllRepresentations()

    def attribute(self, provenance: Provenance) -> None:
        for field in fields(provenance):
            self.node.SetAttribute(_attribute_name(field.name), str(getattr(provenance, field.name)))

    @property
    def provenance(self) -> Provenance:
        found = {f.name: self.node.GetAttribute(_attribute_name(f.name)) or "" for f in fields(Provenance)}
        step, revision = int(found.pop("step") or 0), int(found.pop("revision") or 0)
        return Provenance(**found, step=step, revision=revision)

    def _shared_image(self) -> Any | None:
        """The layer if it is still one, uint8, of full extent and numbered by class; an edit or a crop ends that."""
        segmentation = self.node.GetSegmentation()
        ids = {segment_id(label.id): label.id for label in self.contract.foreground}
        if segmentation.GetNumberOfSegments() != len(ids) or segmentation.GetNumberOfLayers(BINARY_LABELMAP) != 1:
            return None
        segments = {id_: segmentation.GetSegment(id_) for id_ in ids}
        if any(segment is None or segment.GetLabelValue() != ids[id_] for id_, segment in segments.items()):
            return None
        image = segmentation.GetNthSegment(0).GetRepresentation(BINARY_LABELMAP)
        right = (
            array_of_image(image).shape == grid_of_volume(self._volume).shape
            and image.GetScalarType() == VTK_UNSIGNED_CHAR
        )
        return image if right else None

    def _rebuilt(self, layer: Any | None = None) -> Any:
        """A fresh shared layer, ``layer`` or an empty one; the next preview fills it."""
        image = layer or new_labelmap(grid_of_volume(self._volume))
        self.release()
        segmentation = self.node.GetSegmentation()
        segmentation.RemoveAllSegments()
        segmentation.SetSourceRepresentationName(BINARY_LABELMAP)
        for label in self.contract.foreground:
            segment = slicer.vtkSegment()
            segment.SetLabelValue(label.id)
            segment.AddRepresentation(BINARY_LABELMAP, image)
            segmentation.AddSegment(segment, segment_id(label.id))
        return image

    def _describe_segments(self) -> None:
        segmentation = self.node.GetSegmentation()
        for label in self.contract.foreground:
            describe(segmentation.GetSegment(segment_id(label.id)), label)


def find_preview(scene: Any, volume: Any) -> Any | None:
    """The scene's preview segmentation of ``volume``, for instance after a saved scene was opened again."""
    return next((node for node, source in preview_nodes(scene) if source is volume), None)


def preview_nodes(scene: Any) -> list[tuple[Any, Any]]:
    """Every preview segmentation of the scene with its source volume."""
    pairs = [
        (node, node.GetNodeReference(SOURCE)) for node in segmentations(scene) if node.GetAttribute(ROLE) == PREVIEW
    ]
    return [(node, volume) for node, volume in pairs if volume is not None]


def awaits_its_first(node: Any) -> bool:
    """Whether a segmentation node is a preview that nothing has been shown in yet."""
    return node.GetAttribute(ROLE) == PREVIEW and not node.GetAttribute(_attribute_name("source"))


def segment_id(label: int) -> str:
    return f"KDSeg_{label}"


def _new_node(scene: Any, volume: Any) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} preview")
    node.SetAttribute(ROLE, PREVIEW)
    node.SetNodeReferenceID(SOURCE, volume.GetID())
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    return node


def _attribute_name(field: str) -> str:
    return "KDSeg." + "".join(word.capitalize() for word in field.split("_"))

"""The scene's images and segmentations as lists to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slicer_kdseg.scene.annotation import ANNOTATION
from slicer_kdseg.scene.results import PREVIEW
from slicer_kdseg.scene.review import REVIEWED

ROLE = "KDSeg.Role"


@dataclass(frozen=True)
class Item:
    """One line of a list: what is read and the node's ID."""

    title: str
    value: str


def images(scene: Any) -> list[Any]:
    """Volume nodes that somebody opened; label maps and volumes of our own are none."""
    return [
        node
        for node in _of_class(scene, "vtkMRMLScalarVolumeNode")
        if not node.IsA("vtkMRMLLabelMapVolumeNode") and not node.GetAttribute(ROLE)
    ]


def image_items(scene: Any) -> tuple[Item, ...]:
    return tuple(Item(node.GetName(), node.GetID()) for node in images(scene))


def segmentation_items(scene: Any) -> tuple[Item, ...]:
    """Segmentations that may be finished ones: neither strokes nor previews nor reviewed copies."""
    nodes = _of_class(scene, "vtkMRMLSegmentationNode")
    own = (ANNOTATION, PREVIEW, REVIEWED)
    return tuple(Item(node.GetName(), node.GetID()) for node in nodes if node.GetAttribute(ROLE) not in own)


def _of_class(scene: Any, name: str) -> list[Any]:
    nodes = scene.GetNodesByClass(name)
    nodes.UnRegister(None)
    return [nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems())]

"""How nodes of the scene are found, and by what ours are known."""

from __future__ import annotations

from typing import Any

ROLE = "KDSeg.Role"  # an attribute; what nobody of ours has made lacks it
SOURCE = "KDSeg.SourceVolume"  # a reference to the volume that a node belongs to
GEOMETRY = "referenceImageGeometryRef"  # vtkMRMLSegmentationNode's own reference to its source volume


def nodes_of_class(scene: Any, name: str) -> list[Any]:
    """In the scene's order."""
    nodes = scene.GetNodesByClass(name)
    nodes.UnRegister(None)
    return [nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems())]


def segmentations(scene: Any) -> list[Any]:
    return nodes_of_class(scene, "vtkMRMLSegmentationNode")


def images(scene: Any) -> list[Any]:
    """Volume nodes that somebody opened; label maps and volumes of our own are none."""
    return [
        node
        for node in nodes_of_class(scene, "vtkMRMLScalarVolumeNode")
        if not node.IsA("vtkMRMLLabelMapVolumeNode") and not node.GetAttribute(ROLE)
    ]


def source_of(segmentation: Any) -> Any | None:
    """The volume that a segmentation says it belongs to."""
    return segmentation.GetNodeReference(SOURCE) or segmentation.GetNodeReference(GEOMETRY)

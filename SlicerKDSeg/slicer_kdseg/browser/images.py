"""The scene's images and segmentations as lists to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slicer_kdseg.scene.annotation import ANNOTATION
from slicer_kdseg.scene.nodes import ROLE, images, segmentations
from slicer_kdseg.scene.results import PREVIEW
from slicer_kdseg.scene.review import REVIEWED


@dataclass(frozen=True)
class Item:
    """One line of a list: what is read and the node's ID."""

    title: str
    value: str


def image_items(scene: Any) -> tuple[Item, ...]:
    return tuple(Item(node.GetName(), node.GetID()) for node in images(scene))


def segmentation_items(scene: Any) -> tuple[Item, ...]:
    """Segmentations that may be finished ones: neither strokes nor previews nor reviewed copies."""
    own, nodes = (ANNOTATION, PREVIEW, REVIEWED), segmentations(scene)
    return tuple(Item(node.GetName(), node.GetID()) for node in nodes if node.GetAttribute(ROLE) not in own)

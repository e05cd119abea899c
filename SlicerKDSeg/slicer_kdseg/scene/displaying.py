"""How a result is shown: opacity, outline and whether at all. Surfaces are left to the host."""

from __future__ import annotations

from typing import Any

from slicer_kdseg.scene.choices import Choices
from slicer_kdseg.scene.nodes import nodes_of_class, segmentations, source_of


def show_as_chosen(segmentation: Any, choices: Choices) -> None:
    """Apply the choices to a segmentation's display node; only what differs is written, so that nothing is redrawn."""
    display = segmentation.GetDisplayNode()
    if display is None:
        segmentation.CreateDefaultDisplayNodes()
        display = segmentation.GetDisplayNode()
    wanted = (
        ("Visibility", choices.preview_visible),
        ("Visibility2DFill", not choices.outline),
        ("Visibility2DOutline", True),
        ("Opacity2DFill", choices.opacity),
    )
    before = display.StartModify()
    for name, value in wanted:
        if getattr(display, f"Get{name}")() != value:
            getattr(display, f"Set{name}")(value)
    display.EndModify(before)


def show_only(segmentation: Any, others: list[Any]) -> None:
    """Show one of several segmentations: what a reader needs who compares case by case."""
    for node in others:
        display = node.GetDisplayNode()
        if display is not None and node is not segmentation:
            display.SetVisibility(False)
    if segmentation.GetDisplayNode() is None:
        segmentation.CreateDefaultDisplayNodes()
    segmentation.GetDisplayNode().SetVisibility(True)


def hide_of_others(scene: Any, volume: Any) -> None:
    """Hide what belongs to other volumes than ``volume``: patients often lie in one place, and so do their labels."""
    for node in segmentations(scene):
        source = source_of(node)
        display = node.GetDisplayNode()
        if display is not None and source is not None and source is not volume and display.GetVisibility():
            display.SetVisibility(False)


def backgrounds(scene: Any) -> list[Any]:
    """The volume behind everything else in every slice view, None in a view that shows none."""
    views = nodes_of_class(scene, "vtkMRMLSliceCompositeNode")
    return [scene.GetNodeByID(view.GetBackgroundVolumeID() or "") for view in views]

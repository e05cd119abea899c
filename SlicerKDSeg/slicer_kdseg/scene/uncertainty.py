"""Where the student is unsure: one uint8 volume node per source volume, updated in place, and over the slice views."""

from __future__ import annotations

from typing import Any

import numpy as np

from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume, new_volume
from slicer_kdseg.scene.nodes import ROLE, SOURCE, nodes_of_class

UNCERTAINTY = "uncertainty"
OPACITY = 0.7  # as the foreground of a slice view
VIEW = "vtkMRMLSliceCompositeNode"
BENEATH = "KDSeg.Beneath."  # and a view's ID: what the view showed in front before, and how opaque
SURE_BELOW = 40  # of 255: there the image is left as it is
FULLY_RED = 200


class UncertaintyVolume:
    """0 = sure, 255 = most unsure; found again if the scene already holds one for ``volume``."""

    def __init__(self, scene: Any, volume: Any) -> None:
        self.node = find_uncertainty(scene, volume) or _made(scene, volume)

    def show(self, uncertainty: np.ndarray) -> None:
        """Write ``uncertainty`` (D, H, W) uint8 into the node; displays follow."""
        array_of_volume(self.node)[...] = uncertainty
        image = self.node.GetImageData()
        image.GetPointData().GetScalars().Modified()
        image.Modified()


def find_uncertainty(scene: Any, volume: Any) -> Any | None:
    """The node if the scene holds one for ``volume``."""
    for node in nodes_of_class(scene, "vtkMRMLScalarVolumeNode"):
        if node.GetAttribute(ROLE) == UNCERTAINTY and node.GetNodeReference(SOURCE) is volume:
            return node
    return None


def lay_over_views(scene: Any, node: Any) -> None:
    """Show ``node`` in front in all slice views; it remembers what it took the place of."""
    for view in nodes_of_class(scene, VIEW):
        if view.GetForegroundVolumeID() == node.GetID():
            continue
        _take_from(scene, view)
        beneath = BENEATH + view.GetID()
        node.SetNodeReferenceID(beneath, view.GetForegroundVolumeID())
        node.SetAttribute(beneath, str(view.GetForegroundOpacity()))
        view.SetForegroundVolumeID(node.GetID())
        view.SetForegroundOpacity(OPACITY)


def take_from_views(scene: Any) -> None:
    """Give every slice view back what was in front of it; a view that shows something else there keeps that."""
    for view in nodes_of_class(scene, VIEW):
        _take_from(scene, view)


def _take_from(scene: Any, view: Any) -> None:
    node = scene.GetNodeByID(view.GetForegroundVolumeID() or "")
    if node is not None and node.GetAttribute(ROLE) == UNCERTAINTY:
        beneath = BENEATH + view.GetID()
        before = node.GetNodeReference(beneath)
        view.SetForegroundVolumeID(before.GetID() if before is not None else None)
        view.SetForegroundOpacity(float(node.GetAttribute(beneath) or 0))


def _made(scene: Any, volume: Any) -> Any:
    grid = grid_of_volume(volume)
    node = new_volume(scene, f"{volume.GetName()} uncertainty", np.zeros(grid.shape, np.uint8), grid.affine)
    node.SetAttribute(ROLE, UNCERTAINTY)
    node.SetHideFromEditors(True)  # nobody annotates it, trains on it or segments it
    node.SetNodeReferenceID(SOURCE, volume.GetID())
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    _show_in_red(node.GetDisplayNode())
    return node


def _show_in_red(display: Any) -> None:
    """Half red where doubt begins, so that little of it is seen on a dark image too."""
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeRed")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(2 * (FULLY_RED - SURE_BELOW), SURE_BELOW)
    display.SetApplyThreshold(True)
    display.SetThreshold(SURE_BELOW, 255)

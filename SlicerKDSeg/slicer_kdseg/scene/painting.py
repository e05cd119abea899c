"""Strokes by code: what a brush does, through Slicer's own segment editor logic, with undo and redo.

For hosts without a mouse (the demo's simulated annotator, self-tests). A stroke of one class replaces
what another class had in the same voxels, as the desktop's segment editor does by default.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.geometry import array_of_image, box_of, grid_of_volume, new_labelmap

UNDO_STEPS = 50


class Painter:
    """Draws in ``annotation``; every call is one step that :meth:`undo` takes back."""

    def __init__(self, scene: Any, annotation: Annotation) -> None:
        self._scene = scene
        self._annotation = annotation
        self._editor_node = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode", "KDSeg painter")
        self._editor_node.SetHideFromEditors(True)
        self._editor_node.SetSaveWithScene(False)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._logic.SetMRMLScene(scene)
        self._logic.SetMaximumNumberOfUndoStates(UNDO_STEPS)
        self._logic.SetSegmentEditorNode(self._editor_node)
        self._logic.SetSegmentationNode(annotation.node)
        self._logic.SetSourceVolumeNode(annotation.volume)

    def paint(self, id_: int, mask: np.ndarray) -> None:
        """Give the true voxels of ``mask`` (D, H, W) bool to class ``id_``."""
        self._modify(id_, mask, self._logic.ModificationModeAdd)

    def erase(self, id_: int, mask: np.ndarray) -> None:
        """Take the true voxels of ``mask`` (D, H, W) bool away from class ``id_``."""
        self._modify(id_, mask, self._logic.ModificationModeRemove)

    def paint_labels(self, labels: np.ndarray) -> None:
        """Paint every id found in ``labels`` (D, H, W) uint8 except ``UNLABELLED``: one undo step per class."""
        for id_ in self._annotation.contract.ids:
            if (labels == id_).any():
                self.paint(id_, labels == id_)

    def undo(self) -> None:
        self._logic.Undo()

    def redo(self) -> None:
        self._logic.Redo()

    @property
    def can_undo(self) -> bool:
        return bool(self._logic.CanUndo())

    def close(self) -> None:
        self._logic.SetSegmentationNode(None)
        self._scene.RemoveNode(self._editor_node)

    def _modify(self, id_: int, mask: np.ndarray, mode: int) -> None:
        grid = grid_of_volume(self._annotation.volume)
        if mask.shape != grid.shape:
            raise BadAnnotation(f"A stroke must have the image's shape {grid.shape}, got {mask.shape}.")
        box = box_of(mask)
        if box is None:
            return
        stroke = new_labelmap(grid, box)
        array_of_image(stroke)[...] = mask[box]
        segment = self._annotation.segment_id_of(id_)
        self._logic.SetCurrentSegmentID(segment)
        self._logic.SaveStateForUndo()
        self._logic.ModifySegmentByLabelmap(self._annotation.node, segment, stroke, mode, False, False)

"""Surfaces of the preview for the 3-D view: made on another thread a little after the last change, or a while after
the first one where changes never pause.

Every class is a model node of its own that is neither saved nor seen in slices.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkTransform
from vtkmodules.vtkFiltersCore import vtkPolyDataNormals, vtkReverseSense, vtkSurfaceNets3D
from vtkmodules.vtkFiltersGeneral import vtkTransformPolyDataFilter

from slicer_kdseg.browser.front import Front
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.protocol.labels import LabelClass
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.geometry import plain_image
from slicer_kdseg.scene.nodes import ROLE
from slicer_kdseg.scene.session import KDSegSession
from slicer_kdseg.scene.state import PreviewShown

QUIET_SECONDS = 0.7
LONGEST_WAIT_SECONDS = 3.0
SMOOTHING_STEPS = 16
WIDE_SHARE, VEIL = 0.2, 0.25  # a class as wide as the body must not hide what is inside
SURFACE = "surface"
EMPTY = "Surfaces of the preview appear here once there is one."


@dataclass(frozen=True)
class SurfacesShown:
    sentence: str = EMPTY


class Surfaces:
    """Follows ``session``; :meth:`tick` belongs to the host's clock. ``changed`` is called when surfaces were shown."""

    def __init__(self, session: KDSegSession, front: Front, changed: Callable[[], object]) -> None:
        self._session, self._front, self._changed = session, front, changed
        self._errands = Errands(("surfaces",))
        self._due: float | None = None
        self._latest = 0.0
        self._busy = False
        self._models: dict[int, Any] = {}
        self._volume: Any | None = None
        session.signals.preview_arrived.connect(self._arrived)
        session.signals.state_changed.connect(lambda state: self._forget_another())
        front.show("surfaces", SurfacesShown())

    def tick(self) -> None:
        self._errands.drain()
        if self._due is not None and not self._busy and time.monotonic() >= self._due:
            self._due = None
            self._make()

    def close(self) -> None:
        self._errands.close()

    def _arrived(self, shown: PreviewShown) -> None:
        preview = self._session.preview
        if preview is not None and shown.node_id in ("", preview.node.GetID()):
            now = time.monotonic()
            if self._due is None:
                self._latest = now + LONGEST_WAIT_SECONDS
            self._due = min(now + QUIET_SECONDS, self._latest)

    def _make(self) -> None:
        preview = self._session.preview
        if preview is None or self._session.annotation is None:
            return
        labels, contract = preview.labels.copy(), preview.contract
        matrix = vtkMatrix4x4()
        self._session.annotation.volume.GetIJKToRASMatrix(matrix)
        volume = self._volume = self._session.annotation.volume
        self._busy = True

        def work() -> tuple[dict[LabelClass, vtkPolyData], set[int]]:
            shares = np.bincount(labels.reshape(-1), minlength=256) / labels.size
            wide = {label.id for label in contract.foreground if shares[label.id] > WIDE_SHARE}
            return {label: surface(labels, label.id, matrix) for label in contract.foreground}, wide

        def show(found: tuple[dict[LabelClass, vtkPolyData], set[int]]) -> None:
            self._busy = False
            if volume is self._volume:
                self._show(*found)

        def failed(error: KDSegError) -> None:
            self._busy = False
            self._front.say(error.sentence)

        self._errands.send("surfaces", work, show, failed)

    def _show(self, made: dict[LabelClass, vtkPolyData], wide: set[int]) -> None:
        for label, mesh in made.items():
            model = self._models.get(label.id)
            if model is None or not self._session.scene.IsNodePresent(model):
                model = self._models[label.id] = self._new_model()
            model.SetName(f"{label.name} surface")
            model.SetAndObservePolyData(mesh)
            model.GetDisplayNode().SetColor(*label.color)
            model.GetDisplayNode().SetOpacity(VEIL if label.id in wide else 1.0)
        for id_ in set(self._models) - {label.id for label in made}:
            self._session.scene.RemoveNode(self._models.pop(id_))
        filled = any(mesh.GetNumberOfCells() for mesh in made.values())
        self._front.show("surfaces", SurfacesShown("" if filled else EMPTY))
        self._changed()

    def _new_model(self) -> Any:
        model = self._session.scene.AddNewNodeByClass("vtkMRMLModelNode", "surface")
        model.SetAttribute(ROLE, SURFACE)
        model.SetSaveWithScene(False)
        model.SetHideFromEditors(True)
        model.CreateDefaultDisplayNodes()
        model.GetDisplayNode().SetSaveWithScene(False)
        model.GetDisplayNode().SetVisibility2D(False)
        return model

    def _forget_another(self) -> None:
        """Another image, or none: its surfaces go."""
        annotation = self._session.annotation
        volume = annotation.volume if annotation is not None else None
        if volume is self._volume or not self._models:
            return
        self._volume, self._due = volume, None
        for model in self._models.values():
            if self._session.scene.IsNodePresent(model):
                self._session.scene.RemoveNode(model)
        self._models = {}
        self._front.show("surfaces", SurfacesShown())


def surface(labels: np.ndarray, id_: int, ijk_to_ras: vtkMatrix4x4) -> vtkPolyData:
    """The smoothed surface of one class of ``labels`` (D, H, W) in RAS mm; closed at the volume's border.

    Its triangles are seen from outside counter-clockwise, on whichever hand the grid is.
    """
    padded = np.pad(labels == id_, 1).astype(np.uint8)
    nets = vtkSurfaceNets3D()
    nets.SetInputData(plain_image(padded))
    nets.SetLabel(0, 1)
    nets.SetOutputMeshTypeToTriangles()
    nets.SmoothingOn()
    nets.SetNumberOfIterations(SMOOTHING_STEPS)
    transform = vtkTransform()
    transform.SetMatrix(ijk_to_ras)
    transform.Translate(-1, -1, -1)
    placed = vtkTransformPolyDataFilter()
    placed.SetTransform(transform)
    placed.SetInputConnection(nets.GetOutputPort())
    turned = vtkReverseSense()  # on the other hand the transform turns the net inside out
    turned.SetInputConnection(placed.GetOutputPort())
    turned.SetReverseCells(ijk_to_ras.Determinant() < 0)
    normals = vtkPolyDataNormals()
    normals.SetInputConnection(turned.GetOutputPort())
    normals.SplittingOff()
    normals.ConsistencyOff()  # the net is consistent; where it touches itself, the filter would turn parts of it over
    normals.Update()
    return normals.GetOutput()

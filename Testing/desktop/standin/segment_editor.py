"""Slicer's segment editor widget, with what its header in Slicer 5.12 exposes.

Modules/Loadable/Segmentations/Widgets/qMRMLSegmentEditorWidget.h;
Modules/Loadable/Segmentations/EditorEffects/qSlicerSegmentEditorAbstractEffect.h.
"""
# ruff: noqa: N802, N815  the names are Slicer's

from __future__ import annotations

from typing import Any

import slicer
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtGui import QColor, QIcon, QPixmap
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QToolButton, QVBoxLayout, QWidget

from Testing.desktop.standin.mrml_widgets import qMRMLWidget, stored
from Testing.desktop.standin.pythonqt import FAULTS


class qSlicerSegmentEditorEffect(QObject):  # noqa: N801
    EXPOSED = frozenset({"parameter", "setParameter"})
    name = stored(str, "name", "")


class qMRMLSegmentEditorWidget(qMRMLWidget):  # noqa: N801
    """Segments and effect buttons; without a segment editor node it refuses what the real one only logs."""

    currentSegmentIDChanged = Signal(str)
    segmentationNodeChanged = Signal(object)
    SIGNALS = (
        *qMRMLWidget.SIGNALS,
        "currentSegmentIDChanged(QString)",
        "segmentationNodeChanged(vtkMRMLSegmentationNode*)",
    )
    EXPOSED = qMRMLWidget.EXPOSED | {
        *("mrmlSegmentEditorNode", "setMRMLSegmentEditorNode", "segmentationNode", "setSegmentationNode"),
        *("sourceVolumeNode", "setSourceVolumeNode", "currentSegmentID", "setCurrentSegmentID"),
        *("activeEffect", "setActiveEffect", "setActiveEffectByName", "effectByName", "availableEffectNames"),
        *("setEffectNameOrder", "effectNameOrder", "setupViewObservations", "removeViewObservations"),
        *("installKeyboardShortcuts", "uninstallKeyboardShortcuts", "updateWidgetFromMRML", "undo", "redo"),
    }
    segmentationNodeSelectorVisible = stored(bool, "segmentationSelector", True)
    sourceVolumeNodeSelectorVisible = stored(bool, "sourceSelector", True)
    switchToSegmentationsButtonVisible = stored(bool, "switchButton", True)
    specifyGeometryButtonVisible = stored(bool, "geometryButton", True)
    autoShowSourceVolumeNode = stored(bool, "autoShow", True)
    unorderedEffectsVisible = stored(bool, "unordered", True)
    maximumNumberOfUndoStates = stored(int, "undoStates", 10)
    readOnly = stored(bool, "readOnly", False)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._masking = True
        self._effect: qSlicerSegmentEditorEffect | None = None
        self._effects = {name: self._new_effect(name) for name in ("Paint", "Draw", "Erase", "Threshold")}
        self._tags: list[int] = []
        self.shortcuts = self.observing = False
        self.segments = QListWidget(self)
        self.segments.setMaximumHeight(90)
        row = QHBoxLayout()
        self._buttons = {}
        for name in self._effects:
            self._buttons[name] = QToolButton(text=name, checkable=True)
            self._buttons[name].clicked.connect(lambda _=False, n=name: self.setActiveEffectByName(n))
            row.addWidget(self._buttons[name])
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.segments)
        layout.addLayout(row)

    def _set_masking(self, visible: bool) -> None:
        if self._node is None:  # so says the real one, and a .ui file comes before any node
            FAULTS.append(RuntimeError("updateEffectsSectionFromMRML : Invalid segment editor parameter set node"))
        self._masking = visible

    maskingSectionVisible = Property(bool, lambda self: self._masking, _set_masking)

    def _new_effect(self, name: str) -> qSlicerSegmentEditorEffect:
        effect = qSlicerSegmentEditorEffect(self)
        effect.setProperty("name", name)
        return effect

    def mrmlSegmentEditorNode(self) -> Any:
        return self._node

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self._node = node
        self.updateWidgetFromMRML()

    def segmentationNode(self) -> Any:
        return self._node.GetSegmentationNode() if self._node is not None else None

    def setSegmentationNode(self, node: Any) -> None:
        self._needs_node()
        old = self.segmentationNode()
        if old is not None:
            for tag in self._tags:
                old.GetSegmentation().RemoveObserver(tag)
        self._node.SetAndObserveSegmentationNode(node)
        kind = slicer.vtkSegmentation
        events = (kind.SegmentAdded, kind.SegmentRemoved, kind.SegmentModified)
        self._tags = []
        if node is not None:
            add = node.GetSegmentation().AddObserver
            self._tags = [add(event, lambda *_: self.updateWidgetFromMRML()) for event in events]
        self.updateWidgetFromMRML()
        self.segmentationNodeChanged.emit(node)

    def sourceVolumeNode(self) -> Any:
        return self._node.GetSourceVolumeNode() if self._node is not None else None

    def setSourceVolumeNode(self, node: Any) -> None:
        self._needs_node()
        if node is not None and self.segmentationNode() is None:
            raise RuntimeError("qMRMLSegmentEditorWidget: the segmentation comes before the source volume.")
        before = self.sourceVolumeNode()
        self._node.SetAndObserveSourceVolumeNode(node)
        if node is not None and node is not before and self.autoShowSourceVolumeNode:
            self._show_source(node)

    def _show_source(self, node: Any) -> None:
        """``showSourceVolumeInSliceViewers``: the foreground goes, and nothing is fitted."""
        for logic in slicer.app.layoutManager().mrmlSliceLogics():
            layers = logic.GetSliceCompositeNode()
            if node.GetID() not in (layers.GetBackgroundVolumeID(), layers.GetForegroundVolumeID()):
                layers.SetBackgroundVolumeID(node.GetID())
                layers.SetForegroundVolumeID(None)
                layers.SetLabelVolumeID(None)

    def currentSegmentID(self) -> str:
        return self._node.GetSelectedSegmentID() or "" if self._node is not None else ""

    def setCurrentSegmentID(self, id_: str) -> None:
        self._needs_node()
        self._node.SetSelectedSegmentID(id_)
        self.updateWidgetFromMRML()

    def activeEffect(self) -> qSlicerSegmentEditorEffect | None:
        return self._effect

    def setActiveEffect(self, effect: qSlicerSegmentEditorEffect | None) -> None:
        self._effect = effect
        for name, button in self._buttons.items():
            button.setChecked(effect is not None and effect.property("name") == name)

    def setActiveEffectByName(self, name: str) -> None:
        self.setActiveEffect(self._effects.get(name))

    def effectByName(self, name: str) -> qSlicerSegmentEditorEffect | None:
        return self._effects.get(name)

    def setEffectNameOrder(self, names: list[str]) -> None:
        self._order = list(names)

    def setupViewObservations(self) -> None:
        self.observing = True

    def removeViewObservations(self) -> None:
        self.observing = False

    def installKeyboardShortcuts(self) -> None:
        self.shortcuts = True

    def uninstallKeyboardShortcuts(self) -> None:
        self.shortcuts = False

    def updateWidgetFromMRML(self) -> None:
        self.segments.clear()
        node = self.segmentationNode()
        segmentation = node.GetSegmentation() if node is not None else None
        for n in range(segmentation.GetNumberOfSegments() if segmentation is not None else 0):
            color = QPixmap(14, 14)
            color.fill(QColor.fromRgbF(*segmentation.GetNthSegment(n).GetColor()))
            item = QListWidgetItem(QIcon(color), segmentation.GetNthSegment(n).GetName())
            self.segments.addItem(item)
            if segmentation.GetNthSegmentID(n) == self.currentSegmentID():
                self.segments.setCurrentItem(item)

    def _needs_node(self) -> None:
        if self._node is None:
            raise RuntimeError("qMRMLSegmentEditorWidget: setMRMLSegmentEditorNode comes first.")

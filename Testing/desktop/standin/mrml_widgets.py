"""qMRML widgets, each with the properties, slots, signals and invokables of its header in Slicer 5.12.

Libs/MRML/Widgets/qMRMLWidget.h, qMRMLNodeComboBox.h, qMRMLCheckableNodeComboBox.h, qMRMLPlotWidget.h.
"""
# ruff: noqa: N802, N815  the names are Slicer's

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from Testing.desktop.standin.painted import paint_chart


def stored(kind: type, name: str, default: Any) -> Any:
    """A Q_PROPERTY that only keeps its value."""
    return Property(
        kind,
        lambda self: getattr(self, f"_{name}", default),
        lambda self, value: setattr(self, f"_{name}", value),
    )


class qMRMLWidget(QWidget):  # noqa: N801
    mrmlSceneChanged = Signal(object)
    SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)
    EXPOSED = frozenset({"mrmlScene", "setMRMLScene"})

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):  # noqa: N801
    EXPOSED = qMRMLWidget.EXPOSED | {"enter", "exit", "reload"}
    isEntered = stored(bool, "isEntered", False)


class qMRMLNodeComboBox(QWidget):  # noqa: N801
    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    SIGNALS = (
        "currentNodeChanged(vtkMRMLNode*)",
        "currentNodeChanged(bool)",
        "currentNodeIDChanged(QString)",
        "nodeActivated(vtkMRMLNode*)",
    )
    EXPOSED = frozenset(
        {"mrmlScene", "setMRMLScene", "currentNode", "setCurrentNode", "setCurrentNodeID", "setCurrentNodeIndex"}
        | {"nodeCount", "nodeFromIndex", "addAttribute", "removeAttribute"}
    )
    nodeTypes = stored(list, "nodeTypes", [])
    showHidden = stored(bool, "showHidden", False)
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True)
    noneEnabled = stored(bool, "noneEnabled", False)
    addEnabled = stored(bool, "addEnabled", True)
    removeEnabled = stored(bool, "removeEnabled", True)
    editEnabled = stored(bool, "editEnabled", False)
    renameEnabled = stored(bool, "renameEnabled", False)
    baseName = stored(str, "baseName", "")
    noneDisplay = stored(str, "noneDisplay", "None")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._nodes: list[Any] = []
        self._tags: list[int] = []
        self.box = QComboBox(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        self.box.currentIndexChanged.connect(self._changed)

    currentNodeID = Property(
        str,
        lambda self: self.currentNode().GetID() if self.currentNode() else "",
        lambda self, id_: self.setCurrentNodeID(id_),
    )

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if self._scene is not None:
            for tag in self._tags:
                self._scene.RemoveObserver(tag)
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
        self._tags = [scene.AddObserver(event, lambda *_: self._refill()) for event in events]
        self._refill()

    def currentNode(self) -> Any:
        index = self.box.currentIndex() - (1 if self.noneEnabled else 0)
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            self.setCurrentNodeID(node)
        else:
            self._select(self._nodes.index(node) if node in self._nodes else None)

    def setCurrentNodeID(self, id_: str) -> None:
        ids = [node.GetID() for node in self._nodes]
        self._select(ids.index(id_) if id_ in ids else None)

    def nodeCount(self) -> int:
        return len(self._nodes)

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes[index]

    def _select(self, index: int | None) -> None:
        first = 1 if self.noneEnabled else 0
        self.box.setCurrentIndex(0 if index is None and self.noneEnabled else -1 if index is None else index + first)

    def _changed(self, _: int) -> None:
        node = self.currentNode()
        self.currentNodeChanged.emit(node)
        self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def _refill(self) -> None:
        before = self.currentNode()
        self._nodes = [node for kind in self.nodeTypes for node in self._of(kind)]
        signals = self.box.blockSignals(True)
        self.box.clear()
        self.box.addItems([self.noneDisplay] if self.noneEnabled else [])
        self.box.addItems([node.GetName() for node in self._nodes])
        self._select(self._nodes.index(before) if before in self._nodes else None)
        self.box.blockSignals(signals)
        if self.currentNode() is not before:
            self._changed(0)

    def _of(self, kind: str) -> list[Any]:
        nodes = [self._scene.GetNthNode(n) for n in range(self._scene.GetNumberOfNodes())]
        fits = (lambda n: n.IsA(kind)) if self.showChildNodeTypes else (lambda n: n.GetClassName() == kind)
        return [node for node in nodes if fits(node) and (self.showHidden or not node.GetHideFromEditors())]


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):  # noqa: N801
    checkedNodesChanged = Signal()
    EXPOSED = qMRMLNodeComboBox.EXPOSED | {"checkedNodes", "uncheckedNodes", "setCheckState", "check", "uncheck"}

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._checked: list[Any] = []

    def checkedNodes(self) -> tuple[Any, ...]:
        return tuple(node for node in self._nodes if node in self._checked)

    def uncheckedNodes(self) -> tuple[Any, ...]:
        return tuple(node for node in self._nodes if node not in self._checked)

    def check(self, node: Any) -> None:
        self._set(node, True)

    def uncheck(self, node: Any) -> None:
        self._set(node, False)

    def _set(self, node: Any, on: bool) -> None:
        if node not in self._nodes or (node in self._checked) == on:
            return
        self._checked = [*self._checked, node] if on else [n for n in self._checked if n is not node]
        self.checkedNodesChanged.emit()


class qMRMLPlotWidget(QWidget):  # noqa: N801
    EXPOSED = frozenset({"setMRMLScene", "mrmlPlotViewNode", "setMRMLPlotViewNode", "plotView"})

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._node: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._node = node
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        chart = self._node.GetPlotChartNode() if self._node is not None else None
        if chart is None:
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        else:
            paint_chart(painter, self.rect(), chart)

"""``qt.QUiLoader``: Qt's own loader for Qt's own widgets, our stand-ins for Slicer's, connections by the file."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from Testing.desktop.standin import ctk_widgets, mrml_widgets, segment_editor
from Testing.desktop.standin.pythonqt import signatures, unwrap, wrap

CUSTOM = {
    name: kind
    for module in (ctk_widgets, mrml_widgets, segment_editor)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, QtWidgets.QWidget) and name.startswith(("ctk", "qMRML"))
}


class _Loader(QtUiTools.QUiLoader):
    def createWidget(  # noqa: N802  Qt's name
        self, name: str, parent: QtWidgets.QWidget | None = None, object_name: str = ""
    ) -> QtWidgets.QWidget:
        if name not in CUSTOM:
            return super().createWidget(name, parent, object_name)
        widget = CUSTOM[name](parent)
        widget.setObjectName(object_name)
        _KEPT.append(widget)
        return widget


_KEPT: list[QtCore.QObject] = []


class UiLoader:
    """A widget class, property or connection that does not exist is an error here; Qt only prints."""

    def load(self, file: Any) -> Any:
        content = bytes(unwrap(file).readAll().data())
        tree = ElementTree.fromstring(content)
        connections = tree.find("connections")
        rows = list(connections) if connections is not None else []
        if connections is not None:
            tree.remove(connections)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = _Loader().load(buffer)
        check_properties(tree, widget)
        for row in rows:
            connect(widget, *(row.findtext(part, "") for part in ("sender", "signal", "receiver", "slot")))
        _KEPT.append(widget)
        return wrap(widget)


def connect(root: QtWidgets.QWidget, sender: str, signal: str, receiver: str, slot: str) -> None:
    first, second = (root if root.objectName() == n else root.findChild(QtCore.QObject, n) for n in (sender, receiver))
    if first is None or second is None or signal not in signatures(first):
        raise ValueError(f"The .ui file connects {sender}.{signal} with {receiver}.{slot}, which does not exist.")
    getattr(first, signal.partition("(")[0]).connect(getattr(second, slot.partition("(")[0]))


def check_properties(tree: ElementTree.Element, root: QtWidgets.QWidget) -> None:
    for element in tree.iter("widget"):
        name = element.get("name", "")
        widget = root if root.objectName() == name else root.findChild(QtWidgets.QWidget, name)
        if widget is None:
            raise ValueError(f"The .ui file's widget '{name}' was not made.")
        for described in element.findall("property"):
            if widget.metaObject().indexOfProperty(described.get("name", "")) < 0:
                raise ValueError(f"The .ui file gives '{name}' an unknown property '{described.get('name')}'.")

"""The modules ``qt`` and ``ctk`` as Slicer's Python sees them."""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from Testing.desktop.standin import ctk_widgets
from Testing.desktop.standin.loader import UiLoader
from Testing.desktop.standin.pythonqt import unwrap, wrap


class ClassProxy:
    """A QObject class: calling it makes a proxy; its enumerators are attributes."""

    def __init__(self, kind: type) -> None:
        self._kind = kind

    def __call__(self, *arguments: Any) -> Any:
        made = self._kind(*map(unwrap, arguments))
        _KEPT.append(made)
        return wrap(made)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kind, name)


_KEPT: list[Any] = []


class QtModule(types.ModuleType):
    """Names of QtCore, QtGui and QtWidgets in one module, as PythonQt has them."""

    def __getattr__(self, name: str) -> Any:
        if name == "QUiLoader":
            return UiLoader
        for module in (QtCore, QtGui, QtWidgets):
            found = getattr(module, name, None)
            if isinstance(found, type) and issubclass(found, QtCore.QObject):
                return ClassProxy(found)
            if found is not None:
                return found
        raise AttributeError(f"module 'qt' has no attribute '{name}'")


class CtkModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        kind = getattr(ctk_widgets, name, None)
        if not name.startswith("ctk") or kind is None:
            raise AttributeError(f"module 'ctk' has no attribute '{name}'")
        return ClassProxy(kind)

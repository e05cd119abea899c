"""Qt objects as PythonQt shows them to Python (commontk/PythonQt: PythonQtInstanceWrapper, PythonQtSignalReceiver).

A proxy stands before every QObject. A property is an attribute and cannot be called; setting an unknown attribute
raises; a signal is connected by ``connect("clicked(bool)", f)`` or ``.clicked.connect(f)``; an unknown signal is
printed and answered with False; a slot gets as many arguments as it accepts; children are found by object name.
Of our own stand-in classes only what their header exposes to Python exists (``EXPOSED``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore

Slot = Callable[..., Any]
FAULTS: list[BaseException] = []  # PythonQt prints an exception of a slot and goes on; a test wants to know
_PROXIES: dict[int, Proxy] = {}
EXACT = {bool: bool, str: str, int: int}


class Proxy:
    """One QObject; ``is`` works because there is one proxy per object."""

    __slots__ = ("__weakref__", "_connections", "_object")
    _object: QtCore.QObject
    _connections: list[tuple[str, Slot, Slot]]

    def __init__(self, object_: QtCore.QObject) -> None:
        object.__setattr__(self, "_object", object_)
        object.__setattr__(self, "_connections", [])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        object_ = self._object
        meta = object_.metaObject()
        if meta.indexOfProperty(name) >= 0:
            return wrap(object_.property(name))
        if name == "name":
            return object_.objectName()
        if name in signal_names(object_):
            return BoundSignal(self, name)
        child = object_.findChild(QtCore.QObject, name)
        if child is not None:
            return wrap(child)
        return self._method(name)

    def _method(self, name: str) -> Slot:
        object_ = self._object
        own = getattr(type(object_), "EXPOSED", None)
        if own is not None and name not in own and hidden(type(object_), name):
            raise AttributeError(f"{class_name(object_)}.{name} is neither a slot nor Q_INVOKABLE: not in PythonQt.")
        method = getattr(object_, name)
        if not callable(method):
            raise AttributeError(name)

        def call(*arguments: Any, **named: Any) -> Any:
            return wrap(method(*map(unwrap, arguments), **{key: unwrap(value) for key, value in named.items()}))

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        object_ = self._object
        index = object_.metaObject().indexOfProperty(name)
        if name == "name" and index < 0:
            object_.setObjectName(value)
            return
        if index < 0:
            raise AttributeError(f"{class_name(object_)} has no property '{name}'.")
        here = object_.metaObject().property(index)
        if not here.isWritable():
            raise AttributeError(f"The property '{name}' of {class_name(object_)} is read-only.")
        before = object_.property(name)
        wanted = EXACT.get(type(before))
        if wanted is not None and not isinstance(value, wanted):
            raise TypeError(f"{class_name(object_)}.{name} is {wanted.__name__}, not {type(value).__name__}.")
        if not object_.setProperty(name, unwrap(value)):
            raise TypeError(f"{class_name(object_)}.{name} does not take {value!r}.")

    def connect(self, signature: str, slot: Slot) -> bool:
        found = signal_of(self._object, signature)
        if found is None:
            print(f"connect: {class_name(self._object)} has no signal {signature}")  # noqa: T201  PythonQt prints too
            return False
        return self._connect(found, slot, carried(signature))

    def disconnect(self, signature: str, slot: Slot) -> bool:
        found = signal_of(self._object, signature)
        for known in [c for c in self._connections if c[0] == found and c[1] == slot]:
            getattr(self._object, known[0]).disconnect(known[2])
            self._connections.remove(known)
            return True
        return False

    def className(self) -> str:  # noqa: N802  PythonQt's name
        return class_name(self._object)

    def children(self) -> list[Any]:
        return [wrap(child) for child in self._object.children()]

    def disconnect_all(self) -> None:
        for name, _, call in self._connections:
            getattr(self._object, name).disconnect(call)
        self._connections.clear()

    def _connect(self, name: str, slot: Slot, count: int) -> bool:
        accepted = argument_count(slot)

        def call(*arguments: Any) -> None:
            try:
                slot(*map(wrap, arguments if accepted is None else arguments[:accepted]))
            except BaseException as fault:
                FAULTS.append(fault)

        passing = (lambda: call(), lambda a: call(a), lambda a, b: call(a, b))[count]  # PySide6 counts parameters
        getattr(self._object, name).connect(passing)
        self._connections.append((name, slot, passing))
        return True


class BoundSignal:
    def __init__(self, proxy: Proxy, name: str) -> None:
        self._proxy, self._name = proxy, name

    def connect(self, slot: Slot) -> bool:
        most = max(carried(s) for s, name in signatures(self._proxy._object).items() if name == self._name)
        return self._proxy._connect(self._name, slot, most)


def wrap(value: Any) -> Any:
    """QObjects get their proxy, containers element by element, all else passes."""
    if isinstance(value, QtCore.QObject):
        address = shiboken6.getCppPointer(value)[0]
        known = _PROXIES.get(address)
        if known is None or not shiboken6.isValid(known._object):
            known = _PROXIES[address] = Proxy(value)
        return known
    if isinstance(value, list | tuple):
        return type(value)(wrap(item) for item in value)
    return value


def unwrap(value: Any) -> Any:
    if isinstance(value, Proxy):
        return value._object
    if isinstance(value, list | tuple):
        return type(value)(unwrap(item) for item in value)
    return value


def forget_all() -> None:
    _PROXIES.clear()
    FAULTS.clear()


def class_name(object_: QtCore.QObject) -> str:
    return str(object_.metaObject().className())


def signal_names(object_: QtCore.QObject) -> set[str]:
    return {signature.partition("(")[0] for signature in signatures(object_)}


def signatures(object_: QtCore.QObject) -> dict[str, str]:
    """Qt's signature of every signal, and PySide6's name for it; our stand-ins carry the header's (``SIGNALS``)."""
    meta = object_.metaObject()
    found = {}
    for index in range(meta.methodCount()):
        method = meta.method(index)
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal:
            signature = bytes(method.methodSignature().data()).decode()
            found[signature] = signature.partition("(")[0]
    return found | {s: s.partition("(")[0] for s in getattr(type(object_), "SIGNALS", ())}


def signal_of(object_: QtCore.QObject, signature: str) -> str | None:
    return signatures(object_).get(signature.replace(" ", ""))


def carried(signature: str) -> int:
    """How many arguments a signal of this signature carries."""
    inside = signature.partition("(")[2].rstrip(")")
    return len(inside.split(",")) if inside else 0


def argument_count(slot: Slot) -> int | None:
    """How many arguments PythonQt passes: what the code object takes, None for ``*args``."""
    parameters = inspect.signature(slot).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def hidden(kind: type, name: str) -> bool:
    """Whether ``name`` is first defined by a stand-in class, so that its header decides."""
    for base in kind.__mro__:
        if name in vars(base):
            return not base.__module__.startswith("PySide6")
    return False

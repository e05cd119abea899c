"""One table says which widget does what; everything else in a panel is showing a state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from slicer_kdseg.protocol.errors import KDSegError

Row = tuple[str, str, str]


def bind(ui: Any, table: Sequence[Row], panel: Any, say: Callable[[str], object]) -> None:
    """Connect every row (widget, Qt signal, method of ``panel``).

    Methods take no arguments and read their widgets. What was said of an earlier click is taken back first. A
    :class:`KDSegError` is an answer, not a fault: its sentence goes to ``say``. Anything else is a fault of ours and
    reaches Slicer's Python console. A signal that does not exist is only printed by PythonQt, so its answer is checked.
    """
    for widget, signal, method in table:
        if getattr(ui, widget).connect(signal, _slot(getattr(panel, method), say)) is False:
            raise AttributeError(f"The widget '{widget}' has no signal '{signal}'.")


def _slot(method: Callable[[], object], say: Callable[[str], object]) -> Callable[..., None]:
    def slot(*_: Any) -> None:
        say("")
        try:
            method()
        except KDSegError as error:
            say(error.sentence)

    return slot


class Quiet:
    """While it lasts, these widgets tell nobody that they change: a state is being shown, nobody clicked."""

    def __init__(self, *widgets: Any) -> None:
        self._widgets = widgets
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before = [widget.blockSignals(True) for widget in self._widgets]

    def __exit__(self, *_: object) -> None:
        for widget, before in zip(self._widgets, self._before, strict=True):
            widget.blockSignals(before)

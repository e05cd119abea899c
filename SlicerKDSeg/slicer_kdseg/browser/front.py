"""Between page and panels: what is shown goes out as one dataclass a panel, what is clicked comes in as a call.

A panel never reads the page, but for a list of several, which the page itself holds. A :class:`KDSegError` is an
answer and its sentence is said; anything else is a fault of ours: it is said too, and printed.
"""

from __future__ import annotations

import functools
import inspect
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from slicer_kdseg.protocol.errors import KDSegError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from trame_server import Server

FAULT = "Something went wrong inside KDSeg ({}); what you drew is kept. The terminal has the details."
Click = tuple[Callable[..., Any], str]


class Front:
    """``server`` is trame's; every panel has one state variable, named by the panel."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._shown: dict[str, DataclassInstance] = {}
        self.server.state.message = ""

    def show(self, name: str, shown: DataclassInstance) -> None:
        """The page follows at the end of the call or tick in which this happens; what is equal is not sent again."""
        if self._shown.get(name) != shown:
            self._shown[name] = shown
            self.server.state[name] = asdict(shown)

    def show_again(self, name: str) -> None:
        """Also what is equal: somebody has written over it in the page, and it may have been refused."""
        self.server.state.dirty(name)

    def say(self, sentence: str) -> None:
        self.server.state.message = sentence

    def on(self, method: Callable[..., Any], arguments: str = "") -> Click:
        """What a widget calls; ``arguments`` are JavaScript, ``$event`` is what the widget says."""
        return self.guarded(method), f"[{arguments}]"

    def follow(self, name: str, method: Callable[[Any], Any]) -> None:
        """The variable ``name`` is the page's own: it changes there at once, and ``method`` is told its value.

        For a list of several: where each click waits for our answer, the next one starts from the list before it.
        """
        told = self.guarded(method)
        self.server.state.change(name)(lambda **state: told(state[name]))

    def guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def later(*arguments: Any) -> None:
                try:
                    await method(*arguments)
                except Exception as error:
                    self._failed(error)

            return later

        @functools.wraps(method)
        def slot(*arguments: Any) -> None:
            try:
                method(*arguments)
            except Exception as error:
                self._failed(error)

        return slot

    def _failed(self, error: Exception) -> None:
        if isinstance(error, KDSegError):
            self.say(error.sentence)
            return
        traceback.print_exception(error, file=sys.stderr)
        self.say(FAULT.format(type(error).__name__))

"""Past-tense signals without a toolkit: lists of callbacks, called on the thread that drains the session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, ParamSpec

from slicer_kdseg.protocol.messages import HeldOut, ModelReady, Progress, RevisionJoined, Suggestion
from slicer_kdseg.scene.state import PreviewShown, SessionState

P = ParamSpec("P")


class Signal(Generic[P]):
    """``connect`` returns the function that disconnects again."""

    def __init__(self) -> None:
        self._listeners: list[Callable[P, object]] = []

    def connect(self, listener: Callable[P, object]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def emit(self, *args: P.args, **kwargs: P.kwargs) -> None:
        for listener in list(self._listeners):
            listener(*args, **kwargs)


class SessionSignals:
    """What a session tells its panels. ``state_changed`` comes with every change, the others say why."""

    def __init__(self) -> None:
        self.state_changed: Signal[[SessionState]] = Signal()
        self.preview_arrived: Signal[[PreviewShown]] = Signal()
        self.progressed: Signal[[Progress]] = Signal()
        self.held_out_measured: Signal[[HeldOut]] = Signal()
        self.revision_joined: Signal[[RevisionJoined]] = Signal()
        self.correction_sent: Signal[[bool]] = Signal()  # whether anything was new
        self.slice_suggested: Signal[[Suggestion]] = Signal()
        self.model_ready: Signal[[ModelReady]] = Signal()
        self.model_downloaded: Signal[[Path]] = Signal()
        self.predicted: Signal[[Any]] = Signal()
        self.warned: Signal[[str]] = Signal()
        self.failed: Signal[[str]] = Signal()
        self.finished: Signal[[SessionState]] = Signal()

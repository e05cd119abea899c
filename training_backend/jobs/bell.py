"""Wakes whoever follows a job's history, so that nobody has to poll."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Bell:
    """``ring`` may come from any thread; a listener's callback must return at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)

    @contextmanager
    def listening(self, job: str, callback: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            self._listeners[job].append(callback)
        try:
            yield
        finally:
            with self._lock:
                self._listeners[job].remove(callback)
                if not self._listeners[job]:
                    del self._listeners[job]

    def ring(self, job: str) -> None:
        with self._lock:
            callbacks = list(self._listeners.get(job, ()))
        for callback in callbacks:
            callback()

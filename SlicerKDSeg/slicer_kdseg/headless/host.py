"""A host without a view: a loop instead of a timer."""

from __future__ import annotations

import time
from collections.abc import Callable

from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.scene.session import KDSegSession
from slicer_kdseg.scene.state import SessionState

TICK_SECONDS = 0.02


def wait_until(
    session: KDSegSession, condition: Callable[[SessionState], bool], timeout_seconds: float
) -> SessionState:
    """Drain ``session`` until ``condition(session.state)`` holds.

    Raises :class:`KDSegError` with the session's own sentence when its work fails, or when time is up.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        session.drain()
        if condition(session.state):
            return session.state
        if session.state.failure:
            raise KDSegError(session.state.failure)
        if time.monotonic() > deadline:
            waited = f"Nothing came within {timeout_seconds:.0f} seconds"
            raise KDSegError(f"{waited}; last heard: {session.state.trouble or session.state.sentence}")
        time.sleep(TICK_SECONDS)

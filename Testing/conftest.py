"""Tests run side by side, one process a core; those that are marked ``alone`` measure time and have the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

if sys.platform != "win32":
    import fcntl

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads that wait for each other on a busy machine cost five times


@pytest.fixture(autouse=True)
def _a_turn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Everyone passes the door; who waits to be alone holds it meanwhile, so that nobody new comes in."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    shared = tmp_path_factory.getbasetemp().parent
    alone = request.node.get_closest_marker("alone") is not None
    with (shared / "room").open("a") as room:
        with (shared / "door").open("a") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield

"""A worker's process: it gives way to whoever sits at the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from training_backend.jobs.process import NICENESS, WorkerProcess


@pytest.mark.skipif(sys.platform == "win32", reason="there it is a flag of the process")
def test_a_worker_gives_way(tmp_path: Path) -> None:
    worker = WorkerProcess([sys.executable, "-c", "import sys; sys.stdin.read()"], tmp_path / "worker.log")
    try:
        ours, its = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, worker.pid))
        assert its == ours + NICENESS
    finally:
        worker.finish()

"""A worker that waits with everything loaded: it takes the next job, and nobody misses it when it is gone."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.protocol.messages import CaseInUse, JobRequest, JobStatus

CONTRACT = LabelContract((LabelClass(0, "background"), LabelClass(1, "liver")))
pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")


def workers_of(backend: LocalBackend) -> dict[int, bool]:
    """Process numbers of the backend's workers, and whether each has been started for a job of its own."""
    found = {}
    for task in Path(f"/proc/{backend.pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"jobs.worker" in command:
                found[int(child)] = b"--job" in command.split(b"\0")
    return found


def the_waiting_one(backend: LocalBackend) -> int:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        waiting = [pid for pid, named in workers_of(backend).items() if not named]
        if waiting:
            return waiting[0]
        time.sleep(0.1)
    raise AssertionError("no worker waits")


def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the worker stays"
        time.sleep(0.1)


def a_short_job(client: BackendClient) -> JobStatus:
    image = np.random.default_rng(0).normal(0, 10, (6, 32, 32)).astype(np.float32)
    image[2:5, 8:24, 8:24] += 100
    strokes = np.full(image.shape, 255, np.uint8)
    strokes[2:5, 14:16, 10:22], strokes[2:5, 2:4, 4:28] = 1, 0
    case = client.upload_case(image, np.diag([1.0, 1.0, 3.0, 1.0]))
    revision = client.upload_annotation(case, strokes, CONTRACT)
    settings = {"seconds": 60.0, "steps": 3, "device": "cpu", "threads": 1, "channels": 8, "slice_size": 32}
    return client.start_job(JobRequest("scribble", CONTRACT, (CaseInUse(case, revision),), settings=settings))


@pytest.mark.slow
def test_the_waiting_worker_takes_the_next_job_and_leaves_with_the_server(tmp_path, until):
    root = tmp_path / "root"
    with LocalBackend(root, options=["--no-probe"]) as backend, BackendClient(backend.url, backend.token) as client:
        waiting = the_waiting_one(backend)
        job = a_short_job(client)
        assert until(client, job.id, seconds=120).state == "done"
        log = root / "jobs" / job.id / "worker.log"
        assert log.is_file()
        assert not any(named for named in workers_of(backend).values()), "a second worker was started"
        until_gone(waiting)
        after = the_waiting_one(backend)
    until_gone(after)


@pytest.mark.slow
def test_a_waiting_worker_that_was_killed_is_not_missed(tmp_path, until):
    with (
        LocalBackend(tmp_path / "root", options=["--no-probe"]) as backend,
        BackendClient(backend.url, backend.token) as client,
    ):
        os.kill(the_waiting_one(backend), signal.SIGKILL)
        time.sleep(0.3)
        job = a_short_job(client)
        assert until(client, job.id, seconds=120).state == "done"


def test_no_worker_waits_for_another_training_than_the_usual(start_backend):
    backend = start_backend()
    time.sleep(1.0)
    assert workers_of(backend) == {}

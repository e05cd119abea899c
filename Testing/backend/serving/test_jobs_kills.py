"""Killed without warning, again and again: no job, no stroke and no model is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.protocol.messages import (
    FINAL_STATES,
    CaseInUse,
    JobRequest,
    PreviewReady,
    Progress,
    StateChanged,
)
from training_backend.data.annotator import annotate
from training_backend.data.phantom import CONTRACT, phantom
from training_backend.jobs.cases import read_annotation

FAST = 6  # as in counting_training


def worker_of(backend) -> int | None:
    try:
        for task in Path(f"/proc/{backend.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if b"jobs.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    except OSError:
        pass
    return None


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_twenty_kills_lose_no_job_no_stroke_and_no_model(start_backend, start_job, strokes, contract, tmp_path):
    dice = random.Random(4)
    backend = start_backend()
    client = BackendClient(backend.url, backend.token)
    jobs = [start_job(client, 4.0).id for _ in range(2)]
    case = client.upload_case(np.random.default_rng(5).normal(size=(4, 24, 24)).astype(np.float32), np.eye(4))
    kills = {"worker": 0, "server": 0}
    expected = {f"{case}/1": 20}
    while sum(kills.values()) < 20:
        time.sleep(dice.uniform(0.1, 0.6))
        if sum(kills.values()) in (5, 12) and len(expected) < 3:  # a correction in between
            strokes[3, 5 + len(expected), :8] = 1
            revision = client.upload_annotation(case, strokes, contract)
            if f"{case}/{revision}" not in expected:
                client.join_annotation(jobs[1], case, revision)
                expected[f"{case}/{revision}"] = int((strokes != 255).sum())
        victim = "server" if dice.random() < 0.4 else "worker"
        pid = backend.pid if victim == "server" else worker_of(backend)
        if pid is None or not kill(pid):
            continue
        kills[victim] += 1
        if victim == "server":
            client.close()
            backend.close()
            backend = start_backend()
            client = BackendClient(backend.url, backend.token)
        if client.job(jobs[1]).state in FINAL_STATES:
            break
    deadline = time.monotonic() + 60
    while any(client.job(job).state not in FINAL_STATES for job in jobs) and time.monotonic() < deadline:
        time.sleep(0.1)
    states = [client.job(job) for job in jobs]
    assert [status.state for status in states] == ["done", "done"], (kills, states)
    assert sum(kills.values()) == 20, kills
    assert min(kills.values()) >= 4, kills
    models = client.models()
    assert [model.job for model in models] == jobs[::-1]
    for model in models:
        seen = json.loads(
            (client.download_model(model.number, tmp_path / str(model.number)) / "model.json").read_text()
        )
        assert seen["step"] == 200
        if model.job == jobs[1]:
            last = f"{case}/{len(expected)}"
            assert seen["strokes"][last] == expected[last]
    for job in jobs:
        check_history(client, job)
    client.close()


def check_history(client: BackendClient, job: str) -> None:
    events = client.history(job)
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert sum(event.payload == StateChanged("done", "Good.") for event in events) == 1
    steps = [event.payload.step for event in events if isinstance(event.payload, Progress)]
    assert set(steps) == set(range(1, 201))
    again = [later for earlier, later in pairwise(steps) if later <= earlier]
    assert len(again) <= 20
    numbers = [event.payload.number for event in events if isinstance(event.payload, PreviewReady)]
    assert numbers == list(range(1, len(numbers) + 1))
    shown = client.preview(job, 1).labels
    for number in numbers[1:]:
        client.preview(job, number, since=number - 1).apply(shown)
    assert np.array_equal(shown, client.preview(job, numbers[-1]).labels)


def test_a_killed_worker_goes_on_from_its_checkpoint(start_backend, start_job, until):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        job = start_job(client, 3.0).id
        while client.job(job).step < 60:
            time.sleep(0.02)
        assert kill(worker_of(backend))
        assert until(client, job).state == "done"
        events = [event.payload for event in client.history(job)]
        where = next(i for i, event in enumerate(events) if event == StateChanged("training") and i > 60)
        assert any(isinstance(event, StateChanged) and "it was killed" in event.sentence for event in events)
        assert next(event.step for event in events[where:] if isinstance(event, Progress)) >= 51


def test_a_stop_that_was_ordered_before_the_server_died_is_kept(start_backend, start_job, until):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        running, waiting = start_job(client, 60.0).id, start_job(client, 60.0).id
        while client.job(running).preview < 2:
            time.sleep(0.02)
        client.stop(running)
        client.cancel(waiting)
        kill(backend.pid)
    backend.close()
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        assert until(client, running, seconds=5).state == "stopped"
        assert until(client, waiting, seconds=5).state == "cancelled"
        assert [model.job for model in client.models()] == [running]


def test_a_worker_outlives_neither_its_server_nor_its_own_children(start_backend, start_job, until):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        until(client, start_job(client, 60.0).id, "training")
        worker = worker_of(backend)
        kill(backend.pid)
        deadline = time.monotonic() + 2
        while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        state = Path(f"/proc/{worker}/stat")
        assert not state.exists() or state.read_text().split()[2] == "Z"


SMALL = {"threads": 1, "device": "cpu", "channels": 4, "levels": 2, "slice_size": 32, "held_out": 0.0}


@pytest.mark.slow
def test_three_kills_of_the_real_training_lose_no_step_no_stroke_and_no_model(start_backend, until, tmp_path):
    """Worker, server, worker: each life goes on from the checkpoint of the one before, with the correction."""
    from training_backend.export.model import load_model

    image, truth = phantom((8, 32, 32))
    affine, first = np.diag([1.0, 1.0, 4.0, 1.0]), annotate(truth, every=4)
    corrected = np.where(annotate(truth, seed=1, every=2) == 255, first, truth).astype(np.uint8)

    def life() -> tuple[LocalBackend, BackendClient]:
        backend = start_backend("--training", "hasty_training:run")
        return backend, BackendClient(backend.url, backend.token)

    backend, client = life()
    case = client.upload_case(image, affine)
    revision = client.upload_annotation(case, first, CONTRACT)
    settings = SMALL | {"seconds": 600.0, "steps": 160}
    job = client.start_job(JobRequest("scribble", CONTRACT, (CaseInUse(case, revision),), settings=settings)).id
    reached = 0
    for victim in ("worker", "server", "worker"):
        reached = trained_beyond(client, job, reached + 40)
        if victim == "worker":
            assert kill(worker_of(backend))
        else:
            client.join_annotation(job, case, client.upload_annotation(case, corrected, CONTRACT))
            assert kill(backend.pid)
            client.close()
            backend.close()
            backend, client = life()
    status = until(client, job, seconds=120)
    assert (status.state, status.model) == ("done", 1), status
    events = [event.payload for event in client.history(job)]
    assert sum(isinstance(event, StateChanged) and event.state == "interrupted" for event in events) == 3
    steps = [event.step for event in events if isinstance(event, Progress)]
    begun_again = [later for earlier, later in pairwise(steps) if later <= earlier]
    assert len(begun_again) <= 3
    assert min(begun_again, default=40) >= 20, "a life began from the start and not from a checkpoint"
    for number, strokes in ((1, first), (2, corrected)):
        stored = tmp_path / "root" / "cases" / case / "annotations" / f"{number}.frames"
        assert np.array_equal(read_annotation(stored)[0], strokes)
    model = load_model(client.download_model(1, tmp_path / "model"), "cpu")
    assert [(taught["sha256"], taught["revision"]) for taught in model.card["cases"]] == [(case, 2)]
    assert set(np.unique(model.predict(image, affine))) <= {0, 1, 2, 3}
    client.close()


def trained_beyond(client: BackendClient, job: str, step: int) -> int:
    deadline = time.monotonic() + 60
    while (status := client.job(job)).step < step:
        assert time.monotonic() < deadline, status
        assert status.state not in FINAL_STATES, status
        time.sleep(0.02)
    return status.step

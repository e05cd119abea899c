"""A job's life with real processes: it learns, takes corrections, stops, cancels, waits and fails in words."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from slicer_kdseg.protocol import errors
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.messages import ModelReady, PreviewReady, RevisionJoined, StateChanged
from slicer_kdseg.protocol.method_settings import SETTINGS

GOOD, HANGS, BAD_IMAGE, NO_MEMORY, DIES, WORSE, FAST, FULL_DISK = range(8)  # as in counting_training


@pytest.fixture
def client(start_backend):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as connected:
        yield connected


def payloads(client, job, kind):
    return [event.payload for event in client.history(job) if isinstance(event.payload, kind)]


def test_a_job_ends_with_a_model_that_can_be_taken_away(client, start_job, until, tmp_path):
    job = start_job(client, 1.0).id
    status = until(client, job)
    assert (status.state, status.fraction, status.model) == ("done", 1.0, 1)
    events = [event.payload for event in client.history(job)]
    assert isinstance(events[-2], ModelReady)
    assert events[-1] == StateChanged("done", "Good.")
    assert client.model(1).current
    folder = client.download_model(1, tmp_path / "taken" / "liver")
    assert json.loads((folder / "model.json").read_text())["step"] == 50
    with pytest.raises(errors.BadRequest, match="exists already"):
        client.download_model(1, folder)


def test_before_the_end_the_row_never_says_a_hundred_percent(client, start_job, until):
    job = start_job(client, 1.0).id
    while (status := client.job(job)).state not in ("done",):
        assert status.fraction < 1
        time.sleep(0.01)
    assert status.fraction == 1


def test_previews_travel_whole_or_as_changes(client, start_job, until):
    job = start_job(client, 1.0, FAST).id
    until(client, job)
    shown = payloads(client, job, PreviewReady)
    assert [preview.number for preview in shown] == list(range(1, 7))
    first, last = client.preview(job, 1), client.preview(job, 6, uncertainty=True)
    update = client.preview(job, 6, since=1)
    assert (update.since, update.labels, len(update.changes)) == (1, None, 5)
    target = first.labels.copy()
    update.apply(target)
    assert np.array_equal(target, last.labels)
    assert np.array_equal(last.uncertainty, last.labels)
    assert np.array_equal(last.affine, np.eye(4))
    assert client.preview(job, 6, since=99).labels is not None
    with pytest.raises(errors.NotFound):
        client.preview(job, 7)


def test_a_running_job_takes_a_correction_without_a_restart(client, start_job, until, strokes, contract, tmp_path):
    status = start_job(client, 3.0)
    until(client, status.id, "training")
    case = payloads_case(client, status.id)
    strokes[2, 5, :20] = 1
    revision = client.upload_annotation(case, strokes, contract)
    client.join_annotation(status.id, case, revision)
    until(client, status.id)
    joined = payloads(client, status.id, RevisionJoined)
    assert [(event.case, event.revision) for event in joined] == [(case, 2)]
    seen = json.loads((client.download_model(1, tmp_path / "m") / "model.json").read_text())
    assert seen["strokes"] == {f"{case}/1": 20, f"{case}/2": 40}
    assert seen["starts"] == 1
    with pytest.raises(errors.Conflict, match="start a new one"):
        client.join_annotation(status.id, case, revision)


def payloads_case(client, job) -> str:
    deadline = time.monotonic() + 10
    while not (shown := payloads(client, job, PreviewReady)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return shown[0].case


def test_a_case_that_is_not_the_jobs_cannot_join(client, start_job, image, strokes, contract):
    job = start_job(client, 5.0).id
    other = client.upload_case(image[::-1].copy(), np.eye(4))
    revision = client.upload_annotation(other, strokes, contract)
    with pytest.raises(errors.Conflict, match="does not belong"):
        client.join_annotation(job, other, revision)
    client.cancel(job)


@pytest.mark.alone
def test_stop_keeps_the_best_and_cancel_discards(client, start_job, until, tmp_path):
    stopped = start_job(client, 60.0).id
    payloads_case(client, stopped)
    start = time.monotonic()
    client.stop(stopped)
    status = until(client, stopped)
    assert time.monotonic() - start < 5
    assert (status.state, status.model) == ("stopped", 1)
    assert status.fraction < 1

    cancelled = start_job(client, 60.0).id
    payloads_case(client, cancelled)
    start = time.monotonic()
    client.cancel(cancelled)
    assert until(client, cancelled).state == "cancelled"
    assert time.monotonic() - start < 5
    assert [model.number for model in client.models()] == [1]
    time.sleep(0.3)
    left = {path.name for path in (tmp_path / "root" / "jobs" / cancelled).iterdir()}
    assert not left & {"best", "checkpoint", "previews"}
    with pytest.raises(errors.NotFound, match="discarded when the job was cancelled"):
        client.preview(cancelled, 1)
    with pytest.raises(errors.Conflict, match="over already"):
        client.stop(cancelled)


@pytest.mark.alone
@pytest.mark.parametrize("ending", ["stop", "cancel"])
def test_a_worker_that_hangs_is_ended_within_five_seconds(client, start_job, until, ending):
    job = start_job(client, 60.0, HANGS).id
    until(client, job, "preparing")
    time.sleep(0.5)
    start = time.monotonic()
    getattr(client, ending)(job)
    assert until(client, job).state == {"stop": "stopped", "cancel": "cancelled"}[ending]
    assert time.monotonic() - start < 5
    assert client.models() == []


def test_two_jobs_queue_and_the_second_says_what_it_waits_for(client, start_job, until):
    first, second = start_job(client, 1.5), start_job(client, 1.0)
    assert second.state == "queued"
    assert re.match(r"Waits for another training \(scribble\), \d+ % done, to end\.", client.job(second.id).sentence)
    third = start_job(client, 1.0)
    assert (client.job(first.id).waits_for, second.waits_for) == ((), (first.id,))
    assert client.job(third.id).waits_for == (first.id, second.id)
    client.cancel(third.id)
    assert until(client, third.id).state == "cancelled"
    assert until(client, first.id).state == "done"
    assert until(client, second.id).state == "done"
    assert client.job(second.id).waits_for == ()
    assert [model.job for model in client.models()] == [second.id, first.id]


@pytest.mark.parametrize(
    ("seed", "sentence"),
    [(BAD_IMAGE, "of no use; take another"), (NO_MEMORY, "memory ran out"), (DIES, "Its log ends: .*a last word")],
)
def test_failures_are_written_down_in_words(client, start_job, until, seed, sentence):
    status = until(client, start_job(client, 1.0, seed).id)
    assert status.state == "failed"
    assert re.search(sentence, status.sentence), status.sentence
    assert client.models() == []


def test_a_silent_worker_fails(start_backend, start_job, until):
    backend = start_backend("--silence-seconds", "1")
    with BackendClient(backend.url, backend.token) as client:
        status = until(client, start_job(client, 60.0, HANGS).id)
        assert status.state == "failed"
        assert "no sign of life" in status.sentence


def test_a_model_that_is_worse_does_not_become_current_and_one_click_rolls_back(client, start_job, until, tmp_path):
    until(client, start_job(client, 1.0, FAST).id)
    until(client, start_job(client, 1.0, WORSE).id)
    assert json.loads((client.download_model(1, tmp_path / "1") / "model.json").read_text())["previous"] is None
    assert json.loads((client.download_model(2, tmp_path / "2") / "model.json").read_text())["previous"] == "1"
    assert [(model.number, model.current) for model in client.models()] == [(2, False), (1, True)]
    assert client.model(2).sentence == "Worse than before."
    assert client.make_current(2).current
    assert [(model.number, model.current) for model in client.models()] == [(2, True), (1, False)]
    client.make_current(1)
    assert client.model(1).current


def test_nothing_stays_behind_when_the_backend_closes(start_backend, start_job, until):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        until(client, start_job(client, 60.0).id, "training")
        workers = children(backend.pid)
        assert len(workers) == 1
    backend.close()
    deadline = time.monotonic() + 3
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_what_the_system_refuses_once_does_not_end_the_runner(start_backend, start_job, until):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        job = start_job(client, 30.0).id
        until(client, job, "training")
        while not client.job(job).preview:
            time.sleep(0.05)
        for worker in children(backend.pid):
            os.kill(worker, signal.SIGSTOP)
        client.stop(job)
        shutil.rmtree(backend.root / "jobs" / job / "best")  # a virus scanner, a tidy user
        (backend.root / "jobs" / job / "best").write_text("no folder")
        assert until(client, job).state in ("failed", "stopped")
        assert until(client, start_job(client, 1.0).id).state == "done"


def test_ended_workers_leave_no_zombie_and_no_open_file(start_backend, start_job, until):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        until(client, start_job(client, 1.0, FAST).id)
        time.sleep(0.5)
        files = len(os.listdir(f"/proc/{backend.pid}/fd"))
        for _ in range(3):
            until(client, start_job(client, 1.0, FAST).id)
        time.sleep(0.5)
        assert children(backend.pid) == []
        assert len(os.listdir(f"/proc/{backend.pid}/fd")) <= files + 1


def children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def test_settings_that_were_resolved_are_kept_beside_the_job(client, start_job, tmp_path):
    job = start_job(client, 2.0)
    kept = json.loads((tmp_path / "root" / "jobs" / job.id / "settings.json").read_text())
    assert kept["seconds"] == 2.0
    assert set(kept) == {field.name for field in dataclasses.fields(SETTINGS["scribble"])}
    client.cancel(job.id)

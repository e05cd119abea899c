"""A full disk is a sentence, and nothing half-written stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import Conflict, OutOfSpace
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.protocol.messages import CaseInUse, JobRequest
from training_backend.jobs.database import Database
from training_backend.jobs.files import copy_folder, write_whole
from training_backend.jobs.store import Store

FULL_DISK = 7  # as in counting_training


@pytest.fixture
def a_small_disk(tmp_path, request) -> Iterator[Path]:
    """A few megabytes, where this account may mount them."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", str(place)]
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def no_large_files() -> Iterator[None]:
    """Files above 64 KiB cannot be written by this process: the system's own limit, as a quota would do it."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path):
    path = tmp_path / "case.frame"
    write_whole(path, b"before", "the image")
    with no_large_files(), pytest.raises(OutOfSpace, match="no space left for the image"):
        write_whole(path, bytes(1 << 20), "the image")
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["case.frame"]


def test_a_folder_that_does_not_fit_is_not_there(tmp_path):
    source = tmp_path / "draft"
    source.mkdir()
    (source / "card.json").write_text("{}")
    (source / "weights").write_bytes(bytes(1 << 20))
    with no_large_files(), pytest.raises(OutOfSpace, match="free some space"):
        copy_folder(source, tmp_path / "models" / "1", "the model")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("a_small_disk", "sentence"),
    [(7, "no space left for the best model"), (3, "no space left on the disk")],
    indirect=["a_small_disk"],
)
def test_a_model_that_does_not_fit_fails_its_job_and_harms_no_other(
    a_small_disk, sentence, image, strokes, contract, until
):
    with (
        LocalBackend(a_small_disk, options=["--training", "counting_training:run", "--no-probe"]) as backend,
        BackendClient(backend.url, backend.token) as client,
    ):
        case = client.upload_case(image, np.eye(4))
        revision = client.upload_annotation(case, strokes, contract)

        def run(seed: int):
            settings = {"seconds": 1.0, "seed": seed}
            job = client.start_job(JobRequest("scribble", contract, (CaseInUse(case, revision),), settings=settings)).id
            return until(client, job)

        assert run(6).state == "done"
        full = run(FULL_DISK)
        assert full.state == "failed"
        assert sentence in full.sentence
        assert [model.number for model in client.models()] == [1]
        assert not [path for path in (a_small_disk / "models").iterdir() if path.name.startswith(".")]
        assert client.model(1).current


def test_data_of_another_layout_is_not_touched(tmp_path):
    Store(tmp_path).close()
    database = Database(tmp_path / "kdseg.sqlite")
    database._connection.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(Conflict, match="written by another version"):
        Store(tmp_path)

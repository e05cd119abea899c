"""What only a backend can refuse: more than its memory, devices it lacks, requests while its data are busy."""

from __future__ import annotations

import sqlite3

import httpx
import numpy as np
import pytest

from slicer_kdseg.protocol import checks, errors, wire
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.digests import case_id
from slicer_kdseg.protocol.frames import encode_array
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.protocol.messages import CaseInUse, DeviceInfo, JobRequest
from training_backend.jobs import cases

BEARER = {"Authorization": "Bearer secret"}
COSINE, SINE = np.cos(0.4), np.sin(0.4)
UNUSUAL = {
    "one slice": ((1, 24, 24), np.diag([0.8, 0.8, 5.0, 1])),
    "1:20": ((4, 24, 24), np.diag([0.5, 0.5, 10.0, 1])),
    "left-handed": ((4, 24, 24), np.diag([1.0, 1.0, -3.0, 1])),
    "oblique": ((4, 24, 24), np.array([[COSINE, -SINE, 0, 9], [SINE, COSINE, 0, -4], [0, 0, 3, 1], [0, 0, 0, 1.0]])),
}


def refused(response: httpx.Response, status: int, error: str, *words: str) -> None:
    body = response.json()
    assert (response.status_code, body["error"]) == (status, error), body
    for word in words:
        assert word in body["sentence"], body["sentence"]


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_geometry_is_kept_as_it_is(a_client, name):
    shape, affine = UNUSUAL[name]
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    case = a_client.upload_case(image, affine)
    about = a_client._connection.json("GET", f"/v1/cases/{case}")
    assert tuple(about["shape"]) == shape
    assert np.array_equal(about["affine"], affine)


def test_an_image_larger_than_memory_is_refused_before_it_is_unpacked(an_app, image, monkeypatch):
    monkeypatch.setattr(checks, "available_memory_bytes", lambda: 10_000)
    monkeypatch.setattr(cases, "decode_array", lambda body: pytest.fail("it was unpacked"))
    body = encode_array(image, "image", np.eye(4))
    answer = an_app.put(f"/v1/cases/{case_id(image, np.eye(4))}", content=body, headers=BEARER)
    refused(answer, 413, "TooLarge", "(4, 24, 24)", "crop it")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: b"", "cut off"),
        (lambda frame: frame[: len(frame) // 2], "are missing; send it again"),
        (lambda frame: b"\x1f\x8b\x08" + frame, "not an array frame"),
        (lambda frame: frame.replace(b'"kind":"image"', b'"kind":"mages"'), "'mages' is unknown"),
        (lambda frame: frame.replace(b'"shape":[4,24,24]', b'"shape":[0,24,24]'), "empty"),
        (lambda frame: frame.replace(b'"shape":[4,24,24]', b'"shape":[4,24,25]'), "cannot be unpacked|bytes"),
        (lambda frame: frame.replace(b'"dtype":"float32"', b'"dtype":"objects"'), "'objects'"),
        (lambda frame: frame + frame, "behind the last of 1"),
    ],
)
def test_truncated_renamed_and_hostile_frames_leave_nothing_behind(an_app, image, tmp_path, change, words):
    body = change(encode_array(image, "image", np.eye(4)))
    case = case_id(image, np.eye(4))
    answer = an_app.put(f"/v1/cases/{case}", content=body, headers=BEARER)
    assert 400 <= answer.status_code < 500
    assert any(word in answer.json()["sentence"] for word in words.split("|")), answer.json()
    assert an_app.get(f"/v1/cases/{case}", headers=BEARER).status_code == 404
    assert not list((tmp_path / "root").rglob("*.frame"))


def test_a_contract_of_background_alone_is_refused(an_app, a_client, image, strokes, contract):
    case = a_client.upload_case(image, np.eye(4))
    alone = wire.to_json(contract) | {"classes": [{"id": 0, "name": "background"}]}
    body = encode_array(strokes, "labels", np.eye(4), "rle", {"kind": "scribble", "contract": alone})
    answer = an_app.post(f"/v1/cases/{case}/annotations", content=body, headers=BEARER)
    refused(answer, 422, "BadAnnotation", "only background", "add at least one class")
    with pytest.raises(errors.BadAnnotation, match="share one id"):
        LabelContract((*contract.classes, LabelClass(1, "again")))


@pytest.mark.parametrize(
    ("found", "reason"),
    [((), "none that torch can see"), ((DeviceInfo("cuda:0", False, "The driver is too old."),), "driver is too old")],
)
def test_cuda_that_is_absent_is_refused_before_there_is_a_job(
    an_app, a_client, image, strokes, contract, monkeypatch, found, reason
):
    backend = an_app._app.state.backend
    monkeypatch.setattr(backend, "_probe", True)
    monkeypatch.setattr(backend, "_found", ((DeviceInfo("cpu", True), *found), {}))
    case = a_client.upload_case(image, np.eye(4))
    revision = a_client.upload_annotation(case, strokes, contract)
    request = JobRequest("scribble", contract, (CaseInUse(case, revision),), settings={"device": "cuda"})
    answer = an_app.post("/v1/jobs", json=wire.to_json(request), headers=BEARER)
    refused(answer, 422, "DeviceUnavailable", reason, "choose device 'cpu' or 'auto'")
    assert a_client.jobs() == []


def test_a_busy_backend_says_so_and_takes_the_same_strokes_a_moment_later(
    an_app: object, a_client: BackendClient, image, strokes, contract, tmp_path
):
    case = a_client.upload_case(image, np.eye(4))
    an_app._app.state.backend.store.database._connection.execute("PRAGMA busy_timeout = 20")
    other = sqlite3.connect(tmp_path / "root" / "kdseg.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(errors.Busy, match="try again in a moment"):
        a_client.upload_annotation(case, strokes, contract)
    other.execute("ROLLBACK")
    other.close()
    assert a_client.upload_annotation(case, strokes, contract) == 1

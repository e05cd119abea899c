"""Whatever does not fit is answered with a 4xx and a sentence, and changes nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slicer_kdseg.protocol import errors, wire
from slicer_kdseg.protocol.digests import case_id
from slicer_kdseg.protocol.frames import encode_array, encode_frames
from slicer_kdseg.protocol.header import pack
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.protocol.messages import CaseInUse, JobRequest

BEARER = {"Authorization": "Bearer secret"}


def put_image(app, array, affine=None, kind="image", name=None):
    geometry = np.eye(4) if affine is None else affine
    body = encode_array(array, kind, geometry)
    return app.put(f"/v1/cases/{name or case_id(array, geometry)}", content=body, headers=BEARER)


def refused(response, status: int, *words: str) -> None:
    body = response.json()
    assert response.status_code == status, body
    assert set(body) == {"error", "sentence"}
    for word in words:
        assert word in body["sentence"], body["sentence"]


def test_unfit_images_are_refused(an_app, image):
    refused(put_image(an_app, np.zeros((4, 24, 24), np.int16)), 422, "constant (every voxel is 0)")
    refused(put_image(an_app, image[:, :8, :8]), 422, "too small", "(4, 8, 8)")
    for value, seen in ((np.nan, "NaN"), (np.inf, "infinite")):
        sick = image.copy()
        sick[0, 0, 0] = value
        refused(put_image(an_app, sick), 422, "1 voxels", seen)
    refused(put_image(an_app, np.random.default_rng(0).integers(0, 9, (32, 32, 3), dtype=np.uint8)), 422, "colour")
    refused(put_image(an_app, image, kind="labels"), 400, "kind 'image'")
    refused(put_image(an_app, image, name="0" * 64), 400, "address")
    refused(put_image(an_app, image, name="..%2f..%2fetc"), 404, "nothing at")
    refused(put_image(an_app, image, name="passwd"), 400, "64 hexadecimal digits")
    four = encode_array(image, "image", np.eye(4)).replace(b'"shape":[4,24,24]', b'"shape":[4,24,8,3]')
    refused(an_app.put(f"/v1/cases/{'a' * 64}", content=four[:-1], headers=BEARER), 400)


def test_a_single_slice_is_an_image(a_client, image):
    assert len(a_client.upload_case(image[:1], np.eye(4))) == 64


def test_more_bytes_than_accepted_are_refused(an_app):
    refused(an_app.put("/v1/cases/" + "a" * 64, content=bytes((1 << 20) + 1), headers=BEARER), 413, "1048576")

    async def endless():
        for _ in range(40):
            yield bytes(1 << 16)

    refused(an_app.put("/v1/cases/" + "a" * 64, content=endless(), headers=BEARER), 413, "crop the image")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=120), st.booleans())
def test_hostile_bodies_are_refused(an_app, noise, with_magic):
    body = b"KDSF\1\0" + noise if with_magic else noise
    answer = an_app.put("/v1/cases/" + "a" * 64, content=body, headers=BEARER)
    assert answer.status_code == 400
    assert answer.json()["error"] == "BadFrame"
    for path in ("/v1/jobs", "/v1/models/1/predictions"):
        assert 400 <= an_app.post(path, content=body, headers=BEARER).status_code < 500


def test_the_way_in_is_guarded(an_app):
    refused(an_app.get("/v1/info"), 401, "asks for a token")
    refused(an_app.get("/v1/info", headers={"Authorization": "Bearer wrong"}), 401, "token is wrong")
    refused(an_app.get("/v1/info", headers=BEARER | {"Host": "evil.example"}), 401, "evil.example", "host")
    refused(an_app.get("/v1/info", headers=BEARER | {"Origin": "https://evil.example"}), 401, "origin")
    refused(an_app.get("/nowhere", headers=BEARER), 404, "nothing at GET /nowhere")
    refused(an_app.get("/v1/models/one", headers=BEARER), 400, "does not fit")
    assert an_app.get("/v1/info", headers=BEARER | {"Host": "localhost:8000"}).status_code == 200


def test_annotations_must_lie_on_their_image(a_client, image, strokes, contract):
    case = a_client.upload_case(image, np.eye(4))
    with pytest.raises(errors.BadAnnotation, match=r"\(3, 24, 24\), the image \(4, 24, 24\)"):
        a_client.upload_annotation(case, strokes[:3], contract)
    moved = np.eye(4)
    moved[2, 3] = 7.5
    with pytest.raises(errors.BadAnnotation, match=r"7\.5 mm beside"):
        a_client.upload_annotation(case, strokes, contract, affine_ras=moved)
    with pytest.raises(errors.NotFound, match="upload its image first"):
        a_client.upload_annotation("b" * 64, strokes, contract)
    run = b"\xff" + (1 << 30).to_bytes(4, "little")
    announced = pack("labels", "uint8", (1, 1 << 15, 1 << 15), None, "rle", run, 1)
    with pytest.raises(errors.BadFrame, match="bytes"):  # a few bytes that stand for a gigabyte
        a_client._connection.upload("POST", f"/v1/cases/{case}/annotations", announced)
    grown = np.full(image.shape, 9, np.uint8)
    with pytest.raises(errors.BadAnnotation, match=r"Grow-cut .*\[9\]"):
        a_client.upload_annotation(case, strokes, contract, growcut=grown)


def test_labels_outside_the_contract_are_named(an_app, a_client, image, strokes, contract):
    case = a_client.upload_case(image, np.eye(4))
    strokes[0, 0, 0] = 77
    with pytest.raises(errors.BadAnnotation, match=r"\[77\], which no class has"):
        a_client.upload_annotation(case, strokes, contract)
    about = {"kind": "scribble", "contract": wire.to_json(contract)}
    body = encode_frames([encode_array(strokes, "labels", np.eye(4), "rle", about)])
    refused(an_app.post(f"/v1/cases/{case}/annotations", content=body, headers=BEARER), 422, "[77]")
    for about in ({}, {"kind": "maybe", "contract": {}}, {"kind": "dense", "contract": 3}):
        body = encode_array(strokes, "labels", np.eye(4), "rle", about)
        answer = an_app.post(f"/v1/cases/{case}/annotations", content=body, headers=BEARER)
        assert answer.status_code in (400, 422)


def test_the_same_annotation_keeps_its_revision(a_client, image, strokes, contract):
    case = a_client.upload_case(image, np.eye(4))
    assert a_client.upload_annotation(case, strokes, contract) == 1
    assert a_client.upload_annotation(case, strokes, contract, growcut=np.ones(image.shape, np.uint8)) == 2
    assert a_client.upload_annotation(case, strokes, contract) == 1


def test_jobs_that_cannot_learn_are_refused(a_client, image, strokes, contract):
    case = a_client.upload_case(image, np.eye(4))

    def start(labels, classes=contract, **changes):
        revision = a_client.upload_annotation(case, labels, classes)
        request = {"method": "scribble", "labels": classes, "cases": (CaseInUse(case, revision),)} | changes
        return a_client.start_job(JobRequest(**request))

    only_liver, only_background = strokes.copy(), strokes.copy()
    only_liver[strokes == 0] = 255
    only_background[strokes == 1] = 255
    three = LabelContract((*contract.classes, LabelClass(2, "rib")))
    for expected, sentence, labels, changes in (
        (errors.BadAnnotation, "automatic background", only_liver, {}),
        (errors.BadAnnotation, r"'liver' \(1\) has no voxel", only_background, {}),
        (errors.BadAnnotation, r"'rib' \(2\) has no voxel", strokes, {"classes": three}),
        (errors.BadSettings, "no method 'magic'", strokes, {"method": "magic"}),
        (errors.BadSettings, "Did you mean 'seconds'", strokes, {"settings": {"second": 5}}),
        (errors.BadSettings, "must lie in", strokes, {"settings": {"seconds": -5}}),
        (errors.BadSettings, "no preset", strokes, {"preset": "slow as a snail"}),
        (errors.BadRequest, "no case", strokes, {"cases": ()}),
        (errors.BadRequest, "occurs twice", strokes, {"cases": (CaseInUse(case, 1), CaseInUse(case, 1))}),
        (errors.NotFound, "no annotation revision 99", strokes, {"cases": (CaseInUse(case, 99),)}),
        (errors.NotFound, "no case bbb", strokes, {"cases": (CaseInUse("b" * 64),)}),
        (errors.BadAnnotation, "needs at least one", strokes, {"cases": (CaseInUse(case),)}),
        (errors.BadAnnotation, "labelled completely", strokes, {"method": "supervised"}),
    ):
        with pytest.raises(expected, match=sentence):
            start(labels, **changes)
    assert a_client.jobs() == []


def test_unknown_things_are_not_found(a_client):
    for ask in (
        lambda: a_client.job("nope"),
        lambda: a_client.stop("nope"),
        lambda: a_client.preview("nope", 1),
        lambda: a_client.model(7),
        lambda: a_client.make_current(7),
        lambda: a_client.predict(7, "a" * 64),
        lambda: a_client.stream_events("nope", 0, 5.0),
    ):
        with pytest.raises(errors.NotFound):
            ask()


def test_a_job_request_with_an_unknown_key_is_refused(an_app, contract):
    body = wire.to_json(JobRequest("scribble", contract, (CaseInUse("a" * 64, 1),))) | {"epochs": 1000}
    refused(an_app.post("/v1/jobs", content=json.dumps(body), headers=BEARER), 400, "no 'epochs'")
    refused(an_app.post("/v1/jobs", content=b"{", headers=BEARER), 400, "not JSON")
    refused(an_app.post("/v1/jobs", content=b"[]", headers=BEARER), 400, "JSON object")

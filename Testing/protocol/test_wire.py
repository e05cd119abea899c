"""Messages survive JSON; what does not fit is named in a sentence."""

from __future__ import annotations

import json

import pytest

from slicer_kdseg.protocol import errors, wire
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.protocol.messages import (
    BackendInfo,
    CaseInUse,
    DeviceInfo,
    Event,
    HeldOut,
    JobRequest,
    JobStatus,
    ModelInfo,
    Progress,
    StateChanged,
)

LABELS = LabelContract((LabelClass(0, "background"), LabelClass(3, "liver", (0.8, 0.4, 0.2), "SCT^123")))
REQUEST = JobRequest("scribble", LABELS, (CaseInUse("ab", 2), CaseInUse("cd")), settings={"seconds": 60})
MESSAGES = [
    REQUEST,
    BackendInfo("kdseg", 1, "0.1", ("scribble",), (DeviceInfo("cpu", True),), ("raw",), {"torch": "2"}),
    JobStatus("x", "training", "scribble", 1.5, seconds_left=None, model=None),
    ModelInfo(1, "x", "scribble", 2.0, True, True, "Good.", LABELS, {"3": 0.5}),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_come_back_equal(message):
    assert wire.from_json(type(message), json.loads(json.dumps(wire.to_json(message)))) == message


def test_events_come_back_equal_with_their_payload():
    for payload in (
        Progress(3, 0.5, None, "warm-up", {"ce": 0.1}),
        StateChanged("failed", "Why."),
        HeldOut(1, {}, {}, 0, 0),
    ):
        event = Event(7, "x", 12.5, payload)
        assert wire.event_from_json(json.loads(json.dumps(wire.event_to_json(event)))) == event


def test_a_number_that_is_not_finite_has_no_value_in_a_table_and_is_an_error_elsewhere():
    sent = wire.to_json(Progress(1, 0.1, None, "a", {"ce": float("nan"), "dice": 1.0}))
    assert sent["losses"] == {"dice": 1.0}
    with pytest.raises(errors.BadRequest, match="not a finite number"):
        wire.to_json(Progress(1, float("nan"), None, "a"))


def changed(**changes):
    return wire.to_json(REQUEST) | changes


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ([], "must be a JSON object"),
        (changed(methods="scribble"), "Did you mean 'method'"),
        ({"method": "scribble"}, "lacks labels, cases"),
        (changed(method=3), "JobRequest.method must be of type str"),
        (changed(cases={}), "must be a list"),
        (changed(cases=[{"case": "a", "revision": "1"}]), "revision must be of type int"),
        (changed(cases=[{"case": "a", "revision": True}]), "revision must be of type int"),
        (changed(cases=[{"case": "a", "kind": "perhaps"}]), "one of scribble, dense"),
        (changed(labels={"classes": [{"id": 0, "name": "b", "color": [1, 1]}]}), "must have 3 entries"),
        (changed(labels={"classes": [{"id": 0, "name": "b", "color": [float("inf"), 1, 1]}]}), "must be of type float"),
    ],
)
def test_what_does_not_fit_is_named(data, sentence):
    with pytest.raises(errors.BadRequest, match=sentence):
        wire.from_json(JobRequest, data)


def test_a_contract_without_background_is_refused_when_it_arrives():
    with pytest.raises(errors.BadAnnotation, match="no background"):
        wire.from_json(JobRequest, changed(labels={"classes": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}))


@pytest.mark.parametrize("data", [None, 3, {}, {"type": "Explosion"}, {"type": "Progress"}, {"type": ["Progress"]}])
def test_unknown_payloads_are_refused(data):
    with pytest.raises(errors.BadRequest):
        wire.payload_from_json(data)


def test_errors_travel_by_name_and_keep_their_sentence():
    sent = errors.to_json(errors.BadImage("It is flat; take another."))
    back = errors.from_json(sent)
    assert isinstance(back, errors.BadImage)
    assert back.sentence == "It is flat; take another."
    assert type(errors.from_json({"error": "Unheard", "sentence": "x"})) is errors.KDSegError

"""The link of a running Slicer to a backend that the Slicer before it left to finish a training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slicer_kdseg.headless.host import wait_until
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.backend_link import BackendLink
from slicer_kdseg.scene.backend_python import slicers_python
from slicer_kdseg.scene.session import KDSegSession


@pytest.fixture
def left(
    a_scene: Any, an_annotation_with_strokes: Annotation, tmp_path: Path, counting: tuple[str, ...]
) -> Iterator[LocalBackend]:
    """A backend whose training of 30 seconds may finish; its host has let go of it."""
    backend = LocalBackend(tmp_path / "root", options=counting)
    with BackendClient(backend.url, backend.token) as client:
        session = KDSegSession(a_scene, client)
        session.annotate(an_annotation_with_strokes)
        session.request_training(settings={"seconds": 30})
        wait_until(session, lambda state: state.step > 2, 30)
        session.close()
    backend.let_finish()
    yield backend
    backend.close(0.1)


@pytest.fixture
def a_link(left: LocalBackend, counting: tuple[str, ...]) -> Iterator[BackendLink]:
    link = BackendLink(left.root, counting)
    link.start_local(slicers_python())
    until(link, lambda: link.state.stage == "connected")
    yield link
    link.close()


def until(link: BackendLink, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, link.state
        link.drain()
        time.sleep(0.02)


def test_it_is_taken_over_and_can_be_stopped(a_link: BackendLink, left: LocalBackend) -> None:
    assert a_link.client is not None
    assert a_link.client.url == left.url
    assert a_link.state.runs_locally
    assert a_link.let_trainings_finish, "as it was asked to"
    a_link.stop_local()
    until(a_link, lambda: not left.alive)
    assert a_link.state.stage == "none"


def test_its_end_is_noticed_and_the_next_start_is_a_new_one(a_link: BackendLink, left: LocalBackend) -> None:
    assert a_link.client is not None
    for job in a_link.client.jobs():
        a_link.client.cancel(job.id)
    until(a_link, lambda: a_link.state.stage == "none")
    assert "Its trainings are over." in a_link.state.sentence
    a_link.start_local(slicers_python())
    until(a_link, lambda: a_link.state.stage == "connected")
    assert a_link.client.url != left.url
    a_link.let_trainings_finish = False


def test_it_ends_before_what_it_has_stored_is_deleted(a_link: BackendLink, left: LocalBackend) -> None:
    a_link.clean_up()
    until(a_link, lambda: "was deleted" in a_link.state.sentence)
    until(a_link, lambda: not left.alive)
    assert not left.root.exists()

"""What is wrong is said in the scene, too, before or instead of a training; strokes stay as they were drawn."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest

from slicer_kdseg.headless.host import wait_until
from slicer_kdseg.protocol import checks, errors
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.labels import UNLABELLED, LabelClass, LabelContract
from slicer_kdseg.scene.annotation import Annotation, new_annotation
from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume, new_volume
from slicer_kdseg.scene.painting import Painter
from slicer_kdseg.scene.session import KDSegSession

TWO = LabelContract((LabelClass(0, "background"), LabelClass(1, "block")))
COSINE, SINE = np.cos(0.5), np.sin(0.5)
UNUSUAL = {
    "one slice": ((1, 40, 48), np.diag([0.8, 0.8, 5.0, 1])),
    "1:20": ((6, 40, 48), np.diag([0.5, 0.5, 10.0, 1])),
    "left-handed": ((6, 40, 48), np.diag([1.0, 1.0, -2.0, 1])),
    "oblique": ((6, 40, 48), np.array([[COSINE, -SINE, 0, 9], [SINE, COSINE, 0, -4], [0, 0, 3, 1], [0, 0, 0, 1.0]])),
}


def a_block(shape: tuple[int, int, int]) -> np.ndarray:
    block = np.zeros(shape, bool)
    block[:, 12:28, 14:34] = True
    return block


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_geometry_is_grown_and_shown_in_its_own_grid(a_scene: Any, name: str) -> None:
    shape, affine = UNUSUAL[name]
    block = a_block(shape)
    image = (100 * block + np.random.default_rng(0).normal(0, 1, shape)).astype(np.float32)
    volume = new_volume(a_scene, name, image, affine)
    annotation = new_annotation(a_scene, volume, TWO)
    painter = Painter(a_scene, annotation)
    strokes = np.full(shape, UNLABELLED, np.uint8)
    strokes[[0, -1], 3, 4:44] = strokes[[0, -1], 37, 4:44] = 0
    strokes[[0, -1], 20, 18:30] = 1
    painter.paint_labels(strokes)
    session = KDSegSession(a_scene)
    session.annotate(annotation)
    session.preview_growcut()
    wait_until(session, lambda state: state.preview_source == "growcut", 10)
    assert session.preview is not None
    assert np.mean((session.preview.labels == 1) == block) > 0.98
    np.testing.assert_array_equal(grid_of_volume(volume).affine, affine)
    painter.close()
    session.close()


def told_by(session: KDSegSession) -> str:
    """The sentence of a training that was asked for and came to nothing."""
    session.request_training()
    with pytest.raises(errors.KDSegError) as caught:
        wait_until(session, lambda state: state.phase == "training", 20)
    assert session.state.can_train
    assert session.state.failure == caught.value.sentence
    return session.state.failure


@pytest.fixture
def session_with(a_scene: Any, an_annotation_with_strokes: Annotation) -> Iterator[Callable[[str, str], KDSegSession]]:
    """A session on the strokes whose backend has this address and token; the strokes must outlive it."""
    opened: list[KDSegSession] = []
    drawn = an_annotation_with_strokes.read().labels

    def connect(url: str, token: str | None = None) -> KDSegSession:
        opened.append(KDSegSession(a_scene, BackendClient(url, token)))
        opened[-1].annotate(an_annotation_with_strokes)
        return opened[-1]

    yield connect
    for session in opened:
        session.close()
    assert np.array_equal(an_annotation_with_strokes.read().labels, drawn)


@contextmanager
def a_server_that_answers(status: int, body: dict[str, object]) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_absent_backend_is_said_and_growcut_is_kept(session_with: Callable[..., KDSegSession]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    session = session_with(f"http://127.0.0.1:{port}")
    assert "nothing listens there" in told_by(session)
    assert session.state.preview_source == "growcut"


OTHER = {"service": "kdseg", "protocol_version": 99, "version": "9.9"}
REFUSALS = {
    "another version": (200, OTHER, "speaks protocol 99, this side speaks 1; update the older of the two"),
    "a stranger": (200, {"name": "MONAILabel"}, "not a KDSeg backend"),
    "a wrong token": (401, errors.to_json(errors.NotAllowed("The token is wrong.")), "token is wrong"),
    "CUDA that is absent": (422, errors.to_json(errors.DeviceUnavailable("CUDA cannot be used.")), "CUDA cannot"),
    "a busy backend": (503, errors.to_json(errors.Busy("Try again in a moment.")), "again in a moment"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_backend_that_cannot_be_used_is_said(session_with: Callable[..., KDSegSession], name: str) -> None:
    status, body, words = REFUSALS[name]
    with a_server_that_answers(status, body) as url:
        assert words in told_by(session_with(url, "guess"))


def test_an_image_larger_than_memory_is_said(
    session_with: Callable[..., KDSegSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "available_memory_bytes", lambda: 10_000)
    assert "(10, 40, 48) needs about" in told_by(session_with("http://127.0.0.1:9"))


@pytest.mark.parametrize(("value", "words"), [(np.inf, "NaN or infinite"), (np.nan, "NaN or infinite")])
def test_voxels_that_are_no_numbers_are_counted(
    session_with: Callable[..., KDSegSession], a_volume: Any, value: float, words: str
) -> None:
    array_of_volume(a_volume)[0, 0, :3] = value
    assert f"3 voxels that are {words}" in told_by(session_with("http://127.0.0.1:9"))


def test_one_class_alone_is_refused_with_what_is_missing(a_scene: Any, a_volume: Any) -> None:
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "by hand")
    node.GetSegmentation().AddEmptySegment("", "background")
    session = KDSegSession(a_scene)
    session.annotate(Annotation(a_volume, node))
    with pytest.raises(errors.BadAnnotation, match="only background; add at least one class"):
        session.preview_growcut()
    session.close()


def test_labels_of_another_grid_are_refused_naming_both(a_scene: Any, an_annotation_with_strokes: Annotation) -> None:
    other = new_volume(a_scene, "follow-up", np.ones((10, 40, 48), np.int16), np.diag([1.0, 1.5, 4.0, 1.0]))
    session = KDSegSession(a_scene)
    session.annotate(Annotation(other, an_annotation_with_strokes.node))
    with pytest.raises(errors.BadAnnotation, match=r"'abdomen annotation'.*'follow-up'"):
        session.preview_growcut()
    session.close()


@pytest.mark.parametrize(
    ("shape", "components", "words"),
    [((2, 20, 20), 3, "3 values per voxel"), ((0, 0, 0), 1, "no voxels"), ((8, 15, 15), 1, "too small")],
)
def test_colour_empty_and_tiny_volumes_are_refused(
    a_scene: Any, shape: tuple[int, int, int], components: int, words: str
) -> None:
    volume = new_volume(a_scene, "photo", np.zeros(shape if all(shape) else (1, 1, 1), np.uint8), np.eye(4))
    annotation = new_annotation(a_scene, volume, TWO)
    if components > 1:
        volume.GetImageData().AllocateScalars(3, components)
    if not all(shape):
        volume.SetAndObserveImageData(None)
    session = KDSegSession(a_scene)
    session.annotate(annotation)
    with pytest.raises(errors.BadImage, match=words):
        session.preview_growcut()
    session.close()

"""A backend with a training that only counts: in this process without a socket, or as the process it really is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import requests
from requests.adapters import BaseAdapter
from starlette.types import ASGIApp

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.protocol.messages import FINAL_STATES, CaseInUse, JobRequest, JobStatus
from training_backend.api.app import create_app

COUNTING = "counting_training:run"


class App:
    """Asks an app in this process, one request at a time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, arguments))

    def get(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("GET", path, **arguments)

    def put(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("PUT", path, **arguments)

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        return self.request("POST", path, **arguments)

    async def _request(self, method: str, path: str, arguments: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **arguments)


class AppTransport(BaseAdapter):
    """Answers the client's requests from an app in this process; what it cannot carry is an endless stream."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        body = request.body.read() if hasattr(request.body, "read") else request.body
        answer = self._app.request(request.method, request.url, content=body, headers=dict(request.headers))
        response = requests.Response()
        response.status_code = answer.status_code
        response.headers.update(answer.headers)
        response._content = answer.content
        response.request = request
        return response

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _workers_find_the_counting_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def an_app(tmp_path: Path) -> Iterator[App]:
    app = create_app(tmp_path / "root", token="secret", training=COUNTING, probe=False, max_body_bytes=1 << 20)
    yield App(app)
    app.state.backend.close()


@pytest.fixture
def a_client(an_app: App) -> Iterator[BackendClient]:
    with BackendClient("http://127.0.0.1", "secret", AppTransport(an_app)) as client:
        yield client


@pytest.fixture
def start_backend(tmp_path: Path) -> Iterator[Callable[..., LocalBackend]]:
    """Starts the real server process on one root; whatever still runs at the end is ended."""
    started: list[LocalBackend] = []

    def start(*options: str) -> LocalBackend:
        backend = LocalBackend(tmp_path / "root", options=["--training", COUNTING, "--no-probe", *options])
        started.append(backend)
        return backend

    yield start
    for backend in started:
        backend.close()


@pytest.fixture
def contract() -> LabelContract:
    return LabelContract((LabelClass(0, "background"), LabelClass(1, "liver")))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(5).normal(size=(4, 24, 24)).astype(np.float32)


@pytest.fixture
def strokes(image: np.ndarray) -> np.ndarray:
    labels = np.full(image.shape, 255, np.uint8)
    labels[1, 3, :10] = 0
    labels[1, 12, :10] = 1
    return labels


@pytest.fixture
def start_job(image: np.ndarray, strokes: np.ndarray, contract: LabelContract) -> Callable[..., JobStatus]:
    """Uploads the case and starts a job of ``seconds``; ``seed`` chooses how the counting training behaves."""

    def start(client: BackendClient, seconds: float = 1.0, seed: int = 0) -> JobStatus:
        case = client.upload_case(image, np.eye(4))
        revision = client.upload_annotation(case, strokes, contract, affine_ras=np.eye(4))
        settings = {"seconds": float(seconds), "seed": seed}
        return client.start_job(JobRequest("scribble", contract, (CaseInUse(case, revision),), settings=settings))

    return start


@pytest.fixture
def until() -> Callable[..., JobStatus]:
    """Waits until a job is in one of some states (final ones unless said otherwise)."""

    def wait(client: BackendClient, job: str, *states: str, seconds: float = 30.0) -> JobStatus:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = client.job(job)
            if status.state in (states or FINAL_STATES):
                return status
            assert status.state not in FINAL_STATES, status
            time.sleep(0.02)
        raise AssertionError(f"After {seconds} s the job is still {client.job(job)}.")

    return wait

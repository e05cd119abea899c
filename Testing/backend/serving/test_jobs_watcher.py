"""A watcher misses nothing and repeats nothing, however often its connection is cut, and it is fast."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import NotFound
from slicer_kdseg.protocol.messages import Progress
from slicer_kdseg.protocol.watcher import JobWatcher

FAST = 6  # as in counting_training


class CuttingProxy:
    """Passes bytes between its own port and the backend's, until :meth:`cut` breaks every connection."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                with self._lock:
                    self._pairs.append((near, far))
                for source, sink in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._pass, args=(source, sink)))
                    self._threads[-1].start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 12):
                sink.sendall(piece[: len(piece) // 2])  # in halves: a cut may come inside a message
                sink.sendall(piece[len(piece) // 2 :])
        self._end((source, sink))

    @staticmethod
    def _end(pair: tuple[socket.socket, socket.socket]) -> None:
        for end in pair:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> int:
        """How many connections were broken."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            self._end(pair)
            for end in pair:
                end.close()
        return len(pairs)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._threads[0].join()
        self.cut()
        for thread in self._threads[1:]:
            thread.join()


def collect(watcher: JobWatcher, seconds: float = 30.0) -> list:
    events = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        finished = watcher.finished or watcher.error
        events += watcher.drain()
        if finished:
            return events
        watcher.wait(0.05)
    raise AssertionError(f"not finished after {seconds} s: {watcher.trouble}")


def test_twenty_cuts_lose_nothing_and_repeat_nothing(start_backend, start_job):
    backend = start_backend()
    proxy = CuttingProxy(urlsplit(backend.url).port)
    dice = random.Random(11)
    try:
        with (
            BackendClient(backend.url, backend.token) as direct,
            BackendClient(f"127.0.0.1:{proxy.port}", backend.token) as client,
        ):
            job = start_job(direct, 6.0).id
            events, cuts = [], 0
            with JobWatcher(client, job) as watcher:
                while cuts < 20:
                    time.sleep(dice.uniform(0.05, 0.3))
                    cuts += proxy.cut()
                    events += watcher.drain()
                assert not watcher.finished, "the job was over before the last cut"
                events += collect(watcher)
            assert events == direct.history(job)
            assert len({event.id for event in events}) == len(events) > 300
    finally:
        proxy.close()


@pytest.mark.alone
def test_events_arrive_within_milliseconds(start_backend, start_job):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        job = start_job(client, 3.0).id
        late = []
        with JobWatcher(client, job) as watcher:
            while not watcher.finished:
                watcher.wait(1.0)
                now = time.time()
                late += [now - event.time for event in watcher.drain() if isinstance(event.payload, Progress)]
    late.sort()
    assert len(late) > 100
    assert late[len(late) // 2] <= 0.005


def test_a_watcher_can_start_anywhere_in_a_history(start_backend, start_job, until):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        job = start_job(client, 1.0, FAST).id
        until(client, job)
        whole = client.history(job)
        with JobWatcher(client, job, last_event_id=whole[9].id) as watcher:
            assert collect(watcher) == whole[10:]
        with JobWatcher(client, job, last_event_id=whole[-1].id) as watcher:
            assert collect(watcher) == []


def test_closing_ends_the_thread_at_once(start_backend, start_job, until):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        job = start_job(client, 60.0).id
        until(client, job, "training")
        watcher = JobWatcher(client, job)
        watcher.wait(5.0)
        start = time.monotonic()
        watcher.close()
        watcher.close()
        assert time.monotonic() - start < 1.0
        assert not watcher._thread.is_alive()
        client.cancel(job)


def test_a_watcher_survives_the_backend_and_says_so(start_backend, start_job, until):
    backend = start_backend()
    client = BackendClient(backend.url, backend.token)
    job = start_job(client, 60.0).id
    until(client, job, "training")
    with JobWatcher(client, job) as watcher:
        watcher.wait(5.0)
        backend.close()
        deadline = time.monotonic() + 5
        while "refused" not in watcher.trouble and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "refused" in watcher.trouble
        assert watcher.error is None
    client.close()


def test_a_job_that_does_not_exist_ends_the_watcher_with_an_error(start_backend):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client, JobWatcher(client, "nope") as watcher:
        assert collect(watcher, 5.0) == []
        assert isinstance(watcher.error, NotFound)


@pytest.mark.slow
def test_a_thousand_events_wait_for_a_host_that_does_not_drain(start_backend, start_job, until):
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        job = start_job(client, 30.0, FAST).id
        with JobWatcher(client, job) as watcher:
            until(client, job, seconds=60)
            assert len(collect(watcher)) > 1500

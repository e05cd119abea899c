"""Follow a job: one network thread, and a ``drain()`` for the host's own clock.

The thread reads server-sent events and puts them into a queue; it touches nothing else. When the connection
breaks it asks again with the id of the last whole event it has seen (``Last-Event-ID``), so that nothing is
lost and nothing comes twice.

    with JobWatcher(client, job) as watcher:      # a QTimer, an asyncio task or a loop:
        for event in watcher.drain(): ...
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType

import requests
import urllib3

from slicer_kdseg.protocol import wire
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BackendUnreachable, BadRequest, Busy, KDSegError
from slicer_kdseg.protocol.messages import FINAL_STATES, Event, StateChanged
from slicer_kdseg.protocol.words import tr as _

SILENCE_SECONDS = 10.0  # the backend sends a comment every second, so ten mean that the connection is dead
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
QUEUE_LIMIT = 10_000  # then the thread waits; the backend keeps what has not been read


class JobWatcher:
    """``finished`` once the job's last event is in the queue; ``trouble`` is a sentence while disconnected.

    ``error`` is set, and the thread has ended, when the backend refuses to tell (no such job, wrong token).
    """

    def __init__(self, client: BackendClient, job: str, last_event_id: int = 0) -> None:
        self._client = client
        self.job = job
        self.last_event_id = last_event_id
        self.finished = False
        self.trouble = ""
        self.error: KDSegError | None = None
        self._queue: deque[Event] = deque()
        self._closing = threading.Event()
        self._arrived = threading.Event()
        self._response: requests.Response | None = None
        self._thread = threading.Thread(target=self._follow, name=f"kdseg-watch-{job}", daemon=True)
        self._thread.start()

    def drain(self) -> list[Event]:
        """All events since the last call, in order; never waits."""
        self._arrived.clear()
        events = []
        while self._queue:
            events.append(self._queue.popleft())
        return events

    def wait(self, timeout_seconds: float) -> bool:
        """Until there is something to drain or nothing more will come; for hosts without a clock of their own."""
        return self._arrived.wait(timeout_seconds)

    def close(self) -> None:
        """End the thread; safe to call twice. Returns within two seconds whatever the network does."""
        self._closing.set()
        response = self._response
        if response is not None:
            shut_down = getattr(response.raw, "shutdown", None)  # urllib3 >= 2.3 can wake a reader
            if shut_down is not None:
                with contextlib.suppress(Exception):
                    shut_down()
        if threading.current_thread() is not self._thread:
            self._thread.join(2.0)

    def __enter__(self) -> JobWatcher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _follow(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._closing.is_set() and not self.finished:
            seen = self.last_event_id
            try:
                self._read_until_broken()
            except (BackendUnreachable, Busy) as error:
                self.trouble = error.sentence
            except KDSegError as error:
                self.error = error
                break
            pause = FIRST_PAUSE_SECONDS if self.last_event_id > seen else min(2 * pause, LONGEST_PAUSE_SECONDS)
            if not self.finished:
                self._closing.wait(pause)
        self._arrived.set()

    def _read_until_broken(self) -> None:
        response = self._client.stream_events(self.job, self.last_event_id, SILENCE_SECONDS)
        self._response = response
        self.trouble = ""
        try:
            for name, data in _messages(response):
                if self._closing.is_set():
                    return
                if name == "end":
                    self.finished = True
                    return
                self._take(wire.event_from_json(wire.parse(data, "An event")))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
            if not self._closing.is_set():
                self.trouble = _("The connection to the backend broke; trying again.")
        except BadRequest as error:
            self.trouble = _("An event arrived damaged; asking for it again. {sentence}").format(
                sentence=error.sentence
            )
        finally:
            self._response = None
            response.close()

    def _take(self, event: Event) -> None:
        if event.id <= self.last_event_id:
            return
        while len(self._queue) >= QUEUE_LIMIT and not self._closing.is_set():
            time.sleep(0.05)
        self._queue.append(event)
        self.last_event_id = event.id
        self.finished = isinstance(event.payload, StateChanged) and event.payload.state in FINAL_STATES
        self._arrived.set()


def _messages(response: requests.Response) -> Iterator[tuple[str, str]]:
    """(event name, data) of every complete message; a blank line ends one, what is cut off is dropped."""
    name, data, rest = "message", "", b""
    for piece in response.iter_content(chunk_size=None):
        *lines, rest = (rest + piece).split(b"\n")
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r")
            if not line:
                if data or name != "message":
                    yield name, data
                name, data = "message", ""
            elif line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data += line[5:].lstrip(" ")

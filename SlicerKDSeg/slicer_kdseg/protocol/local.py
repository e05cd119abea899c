"""A backend of one's own: started as a child process, found by the line it prints, gone with its host.

The child holds the other end of a pipe: when the host ends, however it ends, the backend ends too. Its jobs
go on when a backend starts on the same folder again. A host that leaves may ask for the running jobs to be finished
first (:meth:`LocalBackend.let_finish`); the next host then takes that backend over (:func:`left_running`).
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BackendUnreachable, KDSegError
from slicer_kdseg.protocol.words import tr as _

START_SECONDS = 60.0
LOOK_SECONDS = 2.0
NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows a console would flash
FINISH = b"finish\n"
LEFT = "left_running.json"  # address and token, readable by its owner only


class LocalBackend:
    """``url`` and ``token`` of a running child; ``python`` may be another environment's interpreter.

    ``environment`` replaces this process's own, for an interpreter that must not see a host's variables.
    Raises :class:`BackendUnreachable` with the child's own words when it does not come up.
    """

    def __init__(
        self,
        root: Path,
        python: str = sys.executable,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.log = root / "server.log"
        command = [python, "-m", "training_backend.api", "--root", str(root), "--port", "0", "--new-token"]
        with self.log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    [*command, "--exit-with-stdin", *options],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=None if environment is None else dict(environment),
                    creationflags=NO_WINDOW,
                )
            except OSError as error:
                raise BackendUnreachable(
                    _("'{python}' cannot be started ({reason}); choose a Python.").format(
                        python=python, reason=error.strerror
                    )
                ) from error
        try:
            ready = json.loads(self._first_line())
            self.url, self.token = str(ready["url"]), str(ready["token"])
        except (ValueError, KeyError, TypeError) as error:
            self.close()
            words = self.last_words or _("it said nothing")
            raise BackendUnreachable(_("The local backend did not start: {words}").format(words=words)) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def last_words(self) -> str:
        """The last line of its log, empty if it wrote none."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def let_finish(self) -> None:
        """Leave it: it ends when its jobs are over. Until then :func:`left_running` takes it over."""
        left = self.root / LEFT
        left.unlink(missing_ok=True)
        with os.fdopen(os.open(left, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"url": self.url, "token": self.token}, file)
        assert self._process.stdin is not None
        self._process.stdin.write(FINISH)
        self._process.stdin.flush()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def close(self, wait_seconds: float = 10.0) -> None:
        """End the backend and its workers; jobs that run are interrupted, not lost. Safe to call twice."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()  # its workers notice that their life line has ended
            self._process.wait()

    def __enter__(self) -> LocalBackend:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _first_line(self) -> bytes:
        """The ready line, empty when the child ends or stays silent."""
        line: queue.Queue[bytes] = queue.Queue()
        stdout = self._process.stdout
        assert stdout is not None
        threading.Thread(target=lambda: line.put(stdout.readline()), daemon=True).start()
        try:
            return line.get(timeout=START_SECONDS)
        except queue.Empty:
            self._process.kill()
            return b""


class LeftBackend:
    """A backend that an earlier host left to finish its jobs: it ends by itself when they are over."""

    def __init__(self, root: Path, url: str, token: str) -> None:
        self.root, self.url, self.token = root, url, token
        self.last_words = _("Its trainings are over.")
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="kdseg-left", daemon=True).start()

    @property
    def alive(self) -> bool:
        """As of the last look, which is not older than :data:`LOOK_SECONDS`."""
        return not self._ended.is_set()

    def let_finish(self) -> None:
        """It was asked to already; the host only stops looking."""
        self._ended.set()

    def close(self, wait_seconds: float = 10.0) -> None:
        """End it and its workers; jobs that run are interrupted, not lost. Safe to call twice."""
        with BackendClient(self.url, self.token) as client, contextlib.suppress(KDSegError):
            client.end()
            until = time.monotonic() + wait_seconds
            while time.monotonic() < until:
                client.info()
                time.sleep(0.1)
        self._ended.set()
        forget_left(self.root)

    def _watch(self) -> None:
        with BackendClient(self.url, self.token) as client:
            while not self._ended.wait(LOOK_SECONDS):
                try:
                    client.info()
                except KDSegError:
                    self._ended.set()
                    forget_left(self.root)


def left_running(root: Path) -> LeftBackend | None:
    """The backend on ``root`` that an earlier host left to finish its jobs, if it answers."""
    try:
        left = json.loads((root / LEFT).read_text(encoding="utf-8"))
        url, token = str(left["url"]), str(left["token"])
        with BackendClient(url, token) as client:
            client.info()
    except (OSError, ValueError, KeyError, TypeError, KDSegError):
        forget_left(root)
        return None
    return LeftBackend(root, url, token)


def forget_left(root: Path) -> None:
    """It has ended since, or does not answer."""
    (root / LEFT).unlink(missing_ok=True)

"""A backend of one's own: started as a child process, found by the line it prints, gone with its host.

The child holds the other end of a pipe: when the host ends, however it ends, the backend ends too. Its jobs
go on when a backend starts on the same folder again.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from slicer_kdseg.protocol.errors import BackendUnreachable

START_SECONDS = 60.0


class LocalBackend:
    """``url`` and ``token`` of a running child; ``python`` may be another environment's interpreter.

    Raises :class:`BackendUnreachable` with the child's own words when it does not come up.
    """

    def __init__(self, root: Path, python: str = sys.executable, options: Sequence[str] = ()) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.log = root / "server.log"
        command = [python, "-m", "training_backend.api", "--root", str(root), "--port", "0", "--new-token"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--exit-with-stdin", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        try:
            ready = json.loads(self._first_line())
            self.url, self.token = str(ready["url"]), str(ready["token"])
        except (ValueError, KeyError, TypeError) as error:
            self.close()
            said = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            words = said[-1] if said else "it said nothing"
            raise BackendUnreachable(f"The local backend did not start: {words}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

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

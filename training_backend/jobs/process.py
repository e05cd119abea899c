"""One worker process in a group of its own, with a life line in and a notification line out.

stdin   held open by the server; a worker that waits is told its job there, and its end tells every worker that the
        server is gone
stdout  one short line per event or sign of life; read by a thread, wakes the event streams
stderr  and everything a library prints: <job folder>/worker.log
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

WINDOWS = sys.platform == "win32"
CREATION_FLAGS = sum(
    getattr(subprocess, name, 0) for name in ("CREATE_NEW_PROCESS_GROUP", "BELOW_NORMAL_PRIORITY_CLASS")
)
LOG_TAIL_BYTES = 1500
KILLED = -9
# Two spinning OpenMP threads on a busy machine cost up to 4 x the CPU time of two that sleep while they wait.
PATIENT_THREADS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
NICENESS = 5  # a third of the weight: on a full machine the hand on the mouse comes first, and training does not starve


class WorkerProcess:
    """``on_line`` is called on the reading thread for every line, and once more when the worker has ended."""

    def __init__(self, command: Sequence[str], log: Path, on_line: Callable[[], None] = lambda: None) -> None:
        self.log = log
        self.last_sign = time.monotonic()
        self._on_line = on_line
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=PATIENT_THREADS | os.environ,
                start_new_session=not WINDOWS,
                creationflags=CREATION_FLAGS,
            )
        self._give_way()
        self._reader = threading.Thread(target=self._read, name=f"worker-{self.pid}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def take(self, job: str, log: Path, on_line: Callable[[], None]) -> bool:
        """Give a worker that waits the job ``job``; False if it has died meanwhile."""
        assert self._process.stdin is not None
        self.log, self._on_line, self.last_sign = log, on_line, time.monotonic()
        try:
            self._process.stdin.write(f"{job}\n".encode())
            self._process.stdin.flush()
        except OSError:
            return False
        return self.exit_code() is None

    def exit_code(self) -> int | None:
        """None while it runs; negative = ended by that signal."""
        return self._process.poll()

    def kill(self) -> None:
        """End the whole group at once: the worker and whatever it has started."""
        if WINDOWS:
            command = ["taskkill", "/F", "/T", "/PID", str(self.pid)]
            subprocess.run(command, check=False, capture_output=True, timeout=10)
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def finish(self, wait_seconds: float = 1.0) -> None:
        """Close the life line, wait, end by force what is left, and give every handle back."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self.kill()  # data loaders and the like may outlive the worker; they also hold its stdout open
        self._reader.join(2.0)

    def log_tail(self) -> str:
        """The end of the log as one line of text."""
        try:
            text = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
        except OSError:
            return ""
        return " | ".join(line.strip() for line in text.splitlines()[-4:] if line.strip())

    def _give_way(self) -> None:
        """Its threads inherit this. Linux weighs a session as a whole where it groups by session."""
        if WINDOWS:
            return  # a creation flag
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.pid, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
            Path(f"/proc/{self.pid}/autogroup").write_text(str(NICENESS), encoding="ascii")

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        with stdout:
            for _ in stdout:
                self.last_sign = time.monotonic()
                self._on_line()
        self._on_line()


def describe_end(exit_code: int) -> str:
    """An exit code in words."""
    if exit_code == KILLED:
        return "it was killed, most often because the memory ran out"
    if exit_code < 0:
        return f"it was ended by signal {-exit_code}"
    return f"it ended with code {exit_code}"

"""Starts one worker process per job, watches it, and knows what to do however it ends.

    queued ──► preparing … training … validating ──► done | failed          (said by the worker)
      ▲             │ worker dies                       stopped | cancelled   (worker, or here after GRACE_SECONDS)
      └─ interrupted ◄┘   a bounded number of times without progress, then failed

A server that starts finds the jobs of the one before and lets them go on from their last checkpoint.

While nothing runs, one worker waits with everything loaded, so that a click is answered at once: a prediction of a
tenth of a second need not wait ten.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from slicer_kdseg.protocol.errors import Conflict, KDSegError, OutOfSpace
from slicer_kdseg.protocol.messages import FINAL_STATES, JobStatus, StateChanged
from training_backend.jobs.bell import Bell
from training_backend.jobs.process import KILLED, WorkerProcess, describe_end
from training_backend.jobs.store import PREDICT, Store

GRACE_SECONDS = 3.5  # for a worker to stop by itself; then its group is killed (promised: within 5 s)
MAX_RESTARTS = 5
# A kill comes from outside: a person, a scheduler, or a memory that is short for now. Worth more patience.
MAX_RESTARTS_AFTER_KILLS = 30
SILENCE_SECONDS = 900.0
_TICK_SECONDS = 0.25
_IDLE_SECONDS = 5.0

_log = logging.getLogger("kdseg.runner")


@dataclass
class _Running:
    status: JobStatus
    process: WorkerProcess
    silent: bool = False


class Runner:
    """``limit`` jobs train at once, and beside them one prediction. ``training`` names what workers run."""

    def __init__(
        self,
        store: Store,
        bell: Bell,
        training: str | None = None,
        limit: int = 1,
        silence_seconds: float = SILENCE_SECONDS,
        ready: bool = True,
    ) -> None:
        """``ready``: a worker waits, where the usual training runs."""
        self._store = store
        self._bell = bell
        self._training = training
        self._limit = limit
        self._silence_seconds = silence_seconds
        self._running: dict[str, _Running] = {}
        self._ready = ready and training is None
        self._waiting: WorkerProcess | None = None
        self._idle_since = time.monotonic()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._watch, name="kdseg-runner", daemon=True)

    def start(self) -> None:
        self._store.keep_reserve()
        for status in self._store.history.unfinished():
            if status.state != "queued":
                self._requeue(status.id, "The backend was restarted; the job goes on from its last checkpoint.")
        self._make_ready()
        self._thread.start()

    def close(self) -> None:
        """End all workers; their jobs go on when a server starts on this root again."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        if self._waiting is not None:
            self._waiting.kill()
            self._waiting.finish()
        for job in list(self._running):
            self._running.pop(job).process.finish()

    def wake(self) -> None:
        """Look now: a job was added or is to end."""
        self._wake.set()

    def placed(self, status: JobStatus) -> JobStatus:
        """With the jobs that a queued one waits for."""
        if status.state != "queued":
            return status
        ahead = self._ahead(status.method, status.id)
        return dataclasses.replace(status, waits_for=tuple(other.id for other in ahead))

    def waits_for(self, method: str) -> str:
        """Why a new job of ``method`` would not start at once; empty if it would."""
        ahead = self._ahead(method)
        if not ahead:
            return ""
        first = ahead[0]
        others = f" and {len(ahead) - 1} more" if len(ahead) > 1 else ""
        what = "segmentation" if method == PREDICT else f"training ({first.method})"
        return f"Waits for another {what}, {100 * first.fraction:.0f} % done,{others} to end."

    def _ahead(self, method: str, job: str = "") -> list[JobStatus]:
        """What has to end before ``job``, or a new one of ``method``, begins: the oldest first."""
        same = [s for s in self._store.history.unfinished() if (s.method == PREDICT) == (method == PREDICT)]
        before = list(itertools.takewhile(lambda status: status.id != job, same))
        return before if len(before) >= self._room(method) else []

    def _room(self, method: str) -> int:
        return 1 if method == PREDICT else self._limit

    def _watch(self) -> None:
        while not self._closing:
            try:
                self._tick()
            except Exception:  # whatever the system refuses now may work at the next look; without one nothing trains
                _log.exception("the runner could not look after its jobs")
            self._wake.wait(_TICK_SECONDS if self._running else _IDLE_SECONDS)
            self._wake.clear()

    def _tick(self) -> None:
        for job, running in list(self._running.items()):
            code = running.process.exit_code()
            if code is None:
                self._end_by_force(job, running)
            else:
                running.process.finish()
                del self._running[job]
                with self._tried_again():
                    self._after(job, running, code)
        for status in self._store.history.unfinished():
            if status.id not in self._running:
                with self._tried_again():
                    self._consider(status)
        if self._running:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since >= _IDLE_SECONDS:
            self._make_ready()

    @contextmanager
    def _tried_again(self) -> Iterator[None]:
        """A full disk must not end the runner: rows say what was reached, the next look goes on from there."""
        try:
            yield
        except KDSegError as error:
            _log.error("%s", error.sentence)
            if isinstance(error, OutOfSpace):
                self._store.free_reserve()

    def _consider(self, status: JobStatus) -> None:
        ending, _ = self._store.history.ending(status.id)
        if ending is not None:
            self._settle(status.id, ending, "No worker was running.")
            return
        predicts = status.method == PREDICT
        busy = sum((running.status.method == PREDICT) == predicts for running in self._running.values())
        if busy < self._room(status.method):
            self._start(status)

    def _start(self, status: JobStatus) -> None:
        job = status.id
        self._store.history.emit(job, StateChanged("preparing", "Starting a worker."))
        log = self._store.job_folder(job) / "worker.log"
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            if waiting.take(job, log, lambda: self._heard(job)):
                self._running[job] = _Running(status, waiting)
                return
            waiting.finish()
        try:
            process = WorkerProcess([*self._command(), "--job", job], log, lambda: self._heard(job))
        except OSError as error:
            self._fail(job, f"No worker process could be started ({error}); see whether memory and disk are free.")
        else:
            self._running[job] = _Running(status, process)

    def _make_ready(self) -> None:
        """Let a worker wait. One that dies or cannot be started is not missed: jobs then start their own."""
        if not self._ready or self._waiting is not None:
            return
        try:
            self._waiting = WorkerProcess(self._command(), self._store.root / "waiting.log")
        except OSError as error:
            _log.warning("no worker can wait for the next job: %s", error)
            self._ready = False

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "training_backend.jobs.worker", "--root", str(self._store.root)]
        return command if self._training is None else [*command, "--training", self._training]

    def _heard(self, job: str) -> None:
        self._bell.ring(job)
        running = self._running.get(job)
        if running is not None and running.process.exit_code() is not None:
            self._wake.set()

    def _end_by_force(self, job: str, running: _Running) -> None:
        ending, since = self._store.history.ending(job)
        if ending is not None and time.time() - since > GRACE_SECONDS:
            running.process.kill()
        elif time.monotonic() - running.process.last_sign > self._silence_seconds:
            running.silent = True
            running.process.kill()

    def _after(self, job: str, running: _Running, code: int) -> None:
        status = self._store.history.status(job)
        if status.state in FINAL_STATES:
            self._tidy(status)
            return
        ending, _ = self._store.history.ending(job)
        if ending is not None:
            self._settle(job, ending, "The worker did not react and was ended.")
        elif running.silent:
            minutes = self._silence_seconds / 60
            self._fail(
                job, f"The worker gave no sign of life for {minutes:.0f} min and was ended; start the job again."
            )
        else:
            restarts = self._store.history.count_restart(job)
            why = describe_end(code)
            limit = MAX_RESTARTS_AFTER_KILLS if code == KILLED else MAX_RESTARTS
            if restarts > limit:
                tail = running.process.log_tail()
                self._fail(
                    job, f"The worker ended {restarts} times without getting further; {why}. Its log ends: {tail}"
                )
            else:
                self._requeue(job, f"The worker ended unexpectedly; {why}. It goes on from its last checkpoint.")

    def _settle(self, job: str, ending: str, sentence: str) -> None:
        """End a job from outside: a stop keeps the verified candidate, a cancel keeps nothing."""
        history = self._store.history
        if ending == "cancel":
            history.emit(job, StateChanged("cancelled", "Cancelled; nothing was kept."))
        else:
            try:
                kept = self._store.models.promote(job, "stopped", f"{sentence} The best model so far was kept.")
            except OutOfSpace as error:
                self._fail(job, error.sentence)
                return
            except OSError as error:
                self._fail(job, f"The model so far could not be kept ({error.strerror or error}).")
                return
            if kept is None:
                history.emit(job, StateChanged("stopped", f"{sentence} There was no model yet to keep."))
        self._tidy(history.status(job))

    def _requeue(self, job: str, sentence: str) -> None:
        self._store.history.emit(job, StateChanged("interrupted", sentence), StateChanged("queued", sentence))

    def _fail(self, job: str, sentence: str) -> None:
        try:
            self._store.history.emit(job, StateChanged("failed", sentence))
        except Conflict:  # the worker's own last word arrived first
            _log.warning("job %s was over already: %s", job, sentence)

    def _tidy(self, status: JobStatus) -> None:
        if status.state != "failed":
            self._store.discard_work(status.id, results_too=status.state == "cancelled")

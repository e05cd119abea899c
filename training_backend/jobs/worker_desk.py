"""The desk of a worker process: a training run's calls answered with rows, files and a line to the server."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from slicer_kdseg.protocol.messages import Payload, PreviewSource
from training_backend.engine.desk import Orders, Revision
from training_backend.jobs.cases import read_annotation
from training_backend.jobs.history import Ending
from training_backend.jobs.store import Store

POLL_SECONDS = 0.2


class Line:
    """The notification line to the server; a server that is gone is the life line's business, not ours."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def say(self, word: str) -> None:
        with self._lock:
            try:
                os.write(self._descriptor, f"{word}\n".encode())
            except OSError:
                self._descriptor = -1


class WorkerDesk:
    """Answers :class:`training_backend.engine.desk.Desk` for one job."""

    def __init__(
        self, store: Store, job: str, line: Line, affines: Mapping[str, np.ndarray | None], last_join: int
    ) -> None:
        self._store = store
        self._job = job
        self._line = line
        self._affines = affines
        self._last_join = last_join
        self._ending: Ending | None = None
        self._next_look = 0.0

    def orders(self) -> Orders:
        now = time.monotonic()
        if now < self._next_look:
            return Orders(self._ending)
        self._next_look = now + POLL_SECONDS
        self._line.say("alive")
        self._ending, _ = self._store.history.ending(self._job)
        joins = self._store.history.joined(self._job, self._last_join)
        if joins:
            self._last_join = joins[-1][0]
        newest = {case: revision for _, case, revision in joins}
        revisions = tuple(self._revision(case, number) for case, number in newest.items())
        return Orders(self._ending, revisions)

    def emit(self, payload: Payload) -> None:
        self._store.history.emit(self._job, payload)

    def preview(
        self,
        case: str,
        labels: np.ndarray,
        source: PreviewSource,
        step: int,
        revision: int,
        uncertainty: np.ndarray | None = None,
        sentence: str = "",
    ) -> None:
        affine = self._affines.get(case)
        self._store.previews.add(self._job, case, labels, affine, source, step, revision, uncertainty, sentence)

    def candidate(self, folder: Path, scores: dict[str, float], not_worse: bool, sentence: str) -> None:
        self._store.models.keep_candidate(self._job, folder, scores, not_worse, sentence)
        self._line.say("alive")

    def _revision(self, case: str, number: int) -> Revision:
        labels, growcut = read_annotation(self._store.cases.annotation_path(case, number))
        return Revision(case, number, labels, growcut)

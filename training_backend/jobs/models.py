"""Models: numbered, immutable folders, one of which is current for its classes; and the candidate of a job.

jobs/<job id>/best/candidate.json      which folder beside it is the best so far, its scores, its gate
jobs/<job id>/best/<k>/                a model that was saved, loaded back and has predicted
models/<number>/                       appears by one rename, and counts from its row on
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slicer_kdseg.protocol import wire
from slicer_kdseg.protocol.errors import Conflict, NotFound
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.messages import JobState, ModelInfo, ModelReady, StateChanged
from training_backend.jobs.database import Database
from training_backend.jobs.files import copy_folder, remove_folder, write_whole
from training_backend.jobs.history import History, record


@dataclass(frozen=True)
class Candidate:
    """The best model of a job so far; ``scores`` maps a class id (as text) to held-out quality."""

    folder: str
    scores: dict[str, float]
    not_worse: bool
    sentence: str


class Models:
    def __init__(self, database: Database, history: History, root: Path) -> None:
        self._database = database
        self._history = history
        self._root = root

    def path(self, number: int) -> Path:
        return self._root / "models" / str(number)

    def best_folder(self, job: str) -> Path:
        return self._root / "jobs" / job / "best"

    def keep_candidate(self, job: str, folder: Path, scores: dict[str, float], not_worse: bool, sentence: str) -> None:
        """Copy ``folder`` as the job's best; the one before stays until the new one is whole."""
        best = self.best_folder(job)
        numbers = [int(path.name) for path in best.glob("[0-9]*") if path.is_dir()]
        name = str(max(numbers, default=0) + 1)
        copy_folder(folder, best / name, "the best model so far")
        candidate = Candidate(name, scores, not_worse, sentence)
        write_whole(best / "candidate.json", json.dumps(wire.to_json(candidate)).encode(), "the best model so far")
        for number in numbers:
            remove_folder(best / str(number))

    def candidate(self, job: str) -> Candidate | None:
        path = self.best_folder(job) / "candidate.json"
        return wire.from_json(Candidate, json.loads(path.read_bytes())) if path.exists() else None

    def promote(self, job: str, state: JobState, sentence: str = "") -> int | None:
        """The job's candidate becomes a numbered model and the job ``state``, in one step; None without one.

        Loads no weights: a candidate has been verified before it was kept. Raises :class:`OutOfSpace`.
        """
        candidate = self.candidate(job)
        if candidate is None:
            return None
        waiting = self._root / "models" / f".{job}"
        remove_folder(waiting)
        copy_folder(self.best_folder(job) / candidate.folder, waiting, "the model")
        request = self._history.request(job)
        labels = json.dumps(wire.to_json(request.labels))
        family = _family(request.labels)
        with self._database.transaction() as connection:
            number = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'models'").fetchone()
            number = (number["seq"] if number else 0) + 1
            remove_folder(self.path(number))  # left by a process that died between the rename and its row
            waiting.rename(self.path(number))
            if candidate.not_worse:
                connection.execute("UPDATE models SET current = 0 WHERE family = ?", (family,))
            connection.execute(
                "INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
                (
                    number,
                    job,
                    request.method,
                    time.time(),
                    family,
                    int(candidate.not_worse),
                    candidate.sentence,
                    labels,
                    json.dumps(candidate.scores),
                ),
            )
            record(connection, job, ModelReady(number, candidate.not_worse, candidate.sentence))
            record(connection, job, StateChanged(state, sentence or candidate.sentence))
        self._history.on_event(job)
        return int(number)

    def all(self) -> list[ModelInfo]:
        return [_info(row) for row in self._database.rows("SELECT * FROM models ORDER BY number DESC")]

    def info(self, number: int) -> ModelInfo:
        row = self._database.row("SELECT * FROM models WHERE number = ?", (number,))
        if row is None:
            raise NotFound(f"There is no model {number}; list the models to see which there are.")
        return _info(row)

    def current_folder(self, labels: LabelContract) -> Path | None:
        """The model that a new one for the same classes has to compare with."""
        row = self._database.row("SELECT number FROM models WHERE family = ? AND current = 1", (_family(labels),))
        return None if row is None else self.path(row["number"])

    def make_current(self, number: int) -> ModelInfo:
        """Roll back or forward. Raises :class:`Conflict` for a model that is not verified."""
        info = self.info(number)
        if not info.verified:
            raise Conflict(f"Model {number} has not been verified and cannot become current; choose another one.")
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE models SET current = (number = ?) WHERE family = ?", (number, _family(info.labels))
            )
        return self.info(number)

    def files(self, number: int) -> list[dict[str, str | int]]:
        """Path (with forward slashes), size and sha256 of every file of a model."""
        self.info(number)
        folder = self.path(number)
        found: Sequence[Path] = sorted(path for path in folder.rglob("*") if path.is_file())
        return [
            {
                "path": path.relative_to(folder).as_posix(),
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in found
        ]

    def file(self, number: int, name: str) -> Path:
        """One of :meth:`files` by its path. Raises :class:`NotFound` for anything else."""
        if name not in [file["path"] for file in self.files(number)]:
            raise NotFound(f"Model {number} has no file '{name[:80]}'.")
        return self.path(number) / name


def _family(labels: LabelContract) -> str:
    classes = sorted((label.id, label.name) for label in labels.classes)
    return hashlib.sha256(json.dumps(classes).encode()).hexdigest()[:16]


def _info(row: sqlite3.Row) -> ModelInfo:
    return ModelInfo(
        number=row["number"],
        job=row["job"],
        method=row["method"],
        created=row["created"],
        current=bool(row["current"]),
        verified=bool(row["verified"]),
        sentence=row["sentence"],
        labels=wire.from_json(LabelContract, json.loads(row["labels"])),
        scores=json.loads(row["scores"]),
    )

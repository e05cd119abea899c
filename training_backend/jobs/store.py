"""Everything under one data root: rows in SQLite, bytes in files, kept consistent.

<root>/kdseg.sqlite          rows; backup, audit and recovery are this file and the folders beside it
<root>/server.lock           one server per root
<root>/reserve               given up when the disk is full, so that this can be written down
<root>/cases/                images and annotations            (cases.py)
<root>/jobs/<job id>/        request.json, settings.json, checkpoint/, best/, previews/, worker.log
<root>/models/<number>/      numbered, immutable               (models.py)
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from slicer_kdseg.protocol import checks, settings, wire
from slicer_kdseg.protocol.errors import BadAnnotation, BadRequest, OutOfSpace
from slicer_kdseg.protocol.messages import CaseInUse, JobRequest, JobStatus
from training_backend.jobs.cases import Cases, StoredAnnotation, StoredCase
from training_backend.jobs.database import Database
from training_backend.jobs.files import remove_folder, write_whole
from training_backend.jobs.history import History
from training_backend.jobs.models import Models
from training_backend.jobs.previews import Previews

PREDICT = "predict"
RESERVE_BYTES = 256 << 10


class Store:
    """``on_event`` is told a job's id whenever this process has put an event into its history."""

    def __init__(self, root: Path, on_event: Callable[[str], None] = lambda job: None) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.database = Database(root / "kdseg.sqlite")
        self.history = History(self.database, on_event)
        self.cases = Cases(self.database, root)
        self.previews = Previews(self.database, self.history, root)
        self.models = Models(self.database, self.history, root)

    def close(self) -> None:
        self.database.close()

    def keep_reserve(self) -> None:
        """Put some space aside, so that a full disk can still be written down; without any it is not there."""
        path = self.root / "reserve"
        if not path.exists():
            with contextlib.suppress(OutOfSpace):
                write_whole(path, bytes(RESERVE_BYTES), "the reserve")

    def free_reserve(self) -> None:
        (self.root / "reserve").unlink(missing_ok=True)

    def job_folder(self, job: str) -> Path:
        return self.root / "jobs" / job

    def add_job(self, request: JobRequest, sentence: str = "") -> JobStatus:
        """Check a request against what is stored and queue it. Raises a :class:`BadRequest` or NotFound."""
        resolved = settings.resolve(request.method, request.preset, request.settings)
        self._check_cases(request)
        return self._queue(request, dataclasses.asdict(resolved), sentence)

    def add_prediction(self, model: int, case: str, sentence: str = "") -> JobStatus:
        """Queue the job that runs a model on a case."""
        labels = self.models.info(model).labels
        self.cases.about(case)
        request = JobRequest(PREDICT, labels, (CaseInUse(case),), settings={"model": model})
        return self._queue(request, {"model": model}, sentence)

    def join_annotation(self, job: str, case: str, revision: int) -> None:
        """Give a running job a newer annotation. Raises :class:`BadAnnotation`, NotFound or Conflict."""
        request = self.history.request(job)
        annotation = self._check_labels(case, revision, request, case[:12])
        if annotation.kind != "dense" and settings.SETTINGS[request.method].learns_from == "dense":
            raise BadAnnotation(f"These are strokes, and job {job} learns from complete labels; send those.")
        self.history.join(job, case, revision)

    def stored_cases(self, job: str) -> tuple[list[StoredCase], int]:
        """The cases of a job with the newest revision that has joined, and the id of the last join."""
        joins = self.history.joined(job)
        newest = {case: revision for _, case, revision in joins}
        found = []
        for used in self.history.request(job).cases:
            revision = newest.get(used.case, used.revision)
            path = None if revision is None else self.cases.annotation_path(used.case, revision)
            kind = used.kind if revision is None else self.cases.annotation(used.case, revision).kind
            name = used.name or used.case[:12]
            found.append(StoredCase(used.case, name, self.cases.image_path(used.case), kind, revision, path, used.role))
        return found, joins[-1][0] if joins else 0

    def discard_work(self, job: str, results_too: bool) -> None:
        """Free what a job that is over no longer needs; ``results_too`` after a cancel."""
        for name in ("checkpoint", "best", *(("previews",) if results_too else ())):
            remove_folder(self.job_folder(job) / name)

    def _queue(self, request: JobRequest, resolved: dict[str, object], sentence: str) -> JobStatus:
        job = self.history.new_id()
        folder = self.job_folder(job)
        write_whole(folder / "request.json", json.dumps(wire.to_json(request), indent=1).encode(), "the job")
        write_whole(folder / "settings.json", json.dumps(resolved, indent=1).encode(), "the job")
        self.history.add(job, request, sentence)
        return self.history.status(job)

    def _check_cases(self, request: JobRequest) -> None:
        if not request.cases:
            raise BadRequest("The job has no case; add at least one annotated case.")
        names = [used.case for used in request.cases]
        if len(set(names)) != len(names):
            raise BadRequest("A case occurs twice in the job; name every case once, with its newest revision.")
        dense = settings.SETTINGS[request.method].learns_from == "dense"
        present: set[int] = set()
        annotated = 0
        for used in request.cases:
            if used.revision is None:
                self.cases.about(used.case)
                continue
            annotation = self._check_labels(used.case, used.revision, request, used.name or used.case[:12])
            if dense and annotation.kind != "dense":
                continue
            annotated += used.role == "target"
            present.update(annotation.present)
        if not annotated:
            need = "labelled completely" if dense else "annotated"
            raise BadAnnotation(f"No case of the job is {need}; method '{request.method}' needs at least one.")
        checks.check_classes_present(sorted(present), request.labels, "dense" if dense else "scribble")

    def _check_labels(self, case: str, revision: int, request: JobRequest, name: str) -> StoredAnnotation:
        annotation = self.cases.annotation(case, revision)
        strangers = sorted(set(annotation.present) - set(request.labels.ids))
        if strangers:
            raise BadAnnotation(
                f"The annotation of case {name} holds the values {strangers}, the job's classes are "
                f"{list(request.labels.ids)}; use the same classes for both."
            )
        return annotation

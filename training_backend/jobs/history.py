"""Jobs as rows and their events: what was asked for, what happened, in an order that never changes.

An event and what it means for its job's row are one transaction. A job that is over takes no more events.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable
from typing import Literal

from slicer_kdseg.protocol import wire
from slicer_kdseg.protocol.errors import Conflict, NotFound
from slicer_kdseg.protocol.messages import (
    FINAL_STATES,
    Event,
    JobRequest,
    JobStatus,
    ModelReady,
    Payload,
    PreviewReady,
    Progress,
    StateChanged,
)
from training_backend.jobs.database import Database

NOT_YET_DONE = 0.99  # 1 is said by 'done' alone, after the model has been stored
Ending = Literal["stop", "cancel"]


class History:
    """``on_event`` is told a job's id after its event can be read by everyone."""

    def __init__(self, database: Database, on_event: Callable[[str], None] = lambda job: None) -> None:
        self._database = database
        self.on_event = on_event

    def new_id(self) -> str:
        return secrets.token_hex(8)

    def add(self, job: str, request: JobRequest, sentence: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO jobs (id, state, method, request, created) VALUES (?, 'queued', ?, ?, ?)",
                (job, request.method, json.dumps(wire.to_json(request)), time.time()),
            )
            record(connection, job, StateChanged("queued", sentence))
        self.on_event(job)

    def status(self, job: str) -> JobStatus:
        return _status(self._row(job))

    def all(self) -> list[JobStatus]:
        return [_status(row) for row in self._database.rows("SELECT * FROM jobs ORDER BY number DESC")]

    def unfinished(self) -> list[JobStatus]:
        """Oldest first."""
        return [status for status in reversed(self.all()) if status.state not in FINAL_STATES]

    def request(self, job: str) -> JobRequest:
        return wire.from_json(JobRequest, json.loads(self._row(job)["request"]))

    def emit(self, job: str, *payloads: Payload) -> None:
        """Put events into a job's history. Raises :class:`Conflict` when the job is over."""
        durable = any(not isinstance(payload, Progress) for payload in payloads)
        with self._database.transaction(durable) as connection:
            for payload in payloads:
                record(connection, job, payload)
        self.on_event(job)

    def events(self, job: str, after: int = 0, limit: int = 1000) -> list[Event]:
        rows = self._database.rows(
            "SELECT id, time, payload FROM events WHERE job = ? AND id > ? ORDER BY id LIMIT ?", (job, after, limit)
        )
        return [Event(r["id"], job, r["time"], wire.payload_from_json(json.loads(r["payload"]))) for r in rows]

    def order_end(self, job: str, ending: Ending) -> None:
        """Note that the user wants the job to end; a cancel outweighs a stop. Raises :class:`Conflict`."""
        status = self.status(job)
        if status.state in FINAL_STATES:
            raise Conflict(f"Job {job} is over already ({status.state}); there is nothing to {ending}.")
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET ending = ?, ending_since = COALESCE(ending_since, ?) "
                "WHERE id = ? AND (ending IS NULL OR ending != 'cancel')",
                (ending, time.time(), job),
            )

    def ending(self, job: str) -> tuple[Ending | None, float]:
        """What the user wants, and since when (seconds since the epoch)."""
        row = self._row(job)
        return row["ending"], row["ending_since"] or 0.0

    def join(self, job: str, case: str, revision: int) -> None:
        """Give a running job a revision. Raises :class:`Conflict` when it is over or knows no such case."""
        status = self.status(job)
        if status.state in FINAL_STATES:
            raise Conflict(f"Job {job} is over ({status.state}) and takes no more annotations; start a new one.")
        if case not in [used.case for used in self.request(job).cases]:
            raise Conflict(f"The case {case[:12]} does not belong to job {job}; start a new job with it.")
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO joined (job, case_id, revision, created) VALUES (?, ?, ?, ?)",
                (job, case, revision, time.time()),
            )

    def joined(self, job: str, after: int = 0) -> list[tuple[int, str, int]]:
        """(id, case, revision) of what has joined, oldest first."""
        rows = self._database.rows(
            "SELECT id, case_id, revision FROM joined WHERE job = ? AND id > ? ORDER BY id", (job, after)
        )
        return [(row["id"], row["case_id"], row["revision"]) for row in rows]

    def count_restart(self, job: str) -> int:
        """How often the worker has died since the job last got further, this time included."""
        row = self._row(job)
        restarts = 1 if row["step"] > row["best_step"] else row["restarts"] + 1
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET restarts = ?, best_step = MAX(best_step, step) WHERE id = ?", (restarts, job)
            )
        return restarts

    def _row(self, job: str) -> sqlite3.Row:
        row = self._database.row("SELECT * FROM jobs WHERE id = ?", (job,))
        if row is None:
            raise NotFound(f"There is no job {job[:40]}; list the jobs to see which there are.")
        return row


def record(connection: sqlite3.Connection, job: str, payload: Payload) -> int:
    """Insert one event and fold it into its job's row, inside the caller's transaction."""
    state = connection.execute("SELECT state FROM jobs WHERE id = ?", (job,)).fetchone()
    if state is None or state["state"] in FINAL_STATES:
        raise Conflict(f"Job {job} is over; nothing more can happen to it.")
    body = json.dumps({"type": type(payload).__name__, **wire.to_json(payload)}, allow_nan=False)
    cursor = connection.execute("INSERT INTO events (job, time, payload) VALUES (?, ?, ?)", (job, time.time(), body))
    if isinstance(payload, StateChanged):
        connection.execute(
            "UPDATE jobs SET state = ?, sentence = ? WHERE id = ?", (payload.state, payload.sentence, job)
        )
        if payload.state in FINAL_STATES:
            fraction = "1" if payload.state == "done" else "fraction"
            connection.execute(f"UPDATE jobs SET fraction = {fraction}, seconds_left = NULL WHERE id = ?", (job,))
    elif isinstance(payload, Progress):
        fraction_now = min(max(payload.fraction, 0.0), NOT_YET_DONE)
        connection.execute(
            "UPDATE jobs SET step = ?, fraction = ?, seconds_left = ? WHERE id = ?",
            (payload.step, fraction_now, payload.seconds_left, job),
        )
    elif isinstance(payload, PreviewReady):
        connection.execute("UPDATE jobs SET preview = ? WHERE id = ?", (payload.number, job))
    elif isinstance(payload, ModelReady):
        connection.execute("UPDATE jobs SET model = ? WHERE id = ?", (payload.number, job))
    return int(cursor.lastrowid or 0)


def _status(row: sqlite3.Row) -> JobStatus:
    names = ("id", "state", "method", "created", "fraction", "seconds_left", "step", "sentence", "model", "preview")
    return JobStatus(**{name: row[name] for name in names})

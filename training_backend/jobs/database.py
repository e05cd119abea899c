"""The SQLite file (WAL) under a data root: every table, and transactions that several processes may run.

The server and its workers each hold one connection. Files are never in here: a row is written after the file
that it speaks of, so that a row without its file cannot exist.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slicer_kdseg.protocol.errors import Busy, Conflict, OutOfSpace

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS cases (
    id TEXT PRIMARY KEY,            -- sha256 of type, shape, affine and voxels
    shape TEXT NOT NULL,            -- JSON [D, H, W]
    affine TEXT NOT NULL,           -- JSON 4 x 4, index to RAS mm
    dtype TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS annotations (
    case_id TEXT NOT NULL REFERENCES cases(id),
    revision INTEGER NOT NULL,      -- from 1 per case; never changed, never reused
    digest TEXT NOT NULL,
    kind TEXT NOT NULL,
    contract TEXT NOT NULL,         -- JSON LabelContract
    present TEXT NOT NULL,          -- JSON list of the class ids that occur
    created REAL NOT NULL,
    PRIMARY KEY (case_id, revision),
    UNIQUE (case_id, digest)
);
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    method TEXT NOT NULL,
    request TEXT NOT NULL,          -- JSON JobRequest
    created REAL NOT NULL,
    fraction REAL NOT NULL DEFAULT 0,
    seconds_left REAL,
    step INTEGER NOT NULL DEFAULT 0,
    sentence TEXT NOT NULL DEFAULT '',
    model INTEGER,
    preview INTEGER NOT NULL DEFAULT 0,
    ending TEXT,                    -- what the user wants: stop, cancel or NULL
    ending_since REAL,
    restarts INTEGER NOT NULL DEFAULT 0,    -- since the last progress
    best_step INTEGER NOT NULL DEFAULT 0    -- highest step at the last unexpected end
);
CREATE TABLE IF NOT EXISTS joined (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL REFERENCES jobs(id),
    case_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL REFERENCES jobs(id),
    time REAL NOT NULL,
    payload TEXT NOT NULL           -- JSON with its type
);
CREATE INDEX IF NOT EXISTS events_of_job ON events (job, id);
CREATE TABLE IF NOT EXISTS previews (
    job TEXT NOT NULL REFERENCES jobs(id),
    number INTEGER NOT NULL,        -- from 1 per job
    case_id TEXT NOT NULL,
    base INTEGER,                   -- the preview that the delta file builds on, NULL without one
    created REAL NOT NULL,
    PRIMARY KEY (job, number)
);
CREATE TABLE IF NOT EXISTS models (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL REFERENCES jobs(id),
    method TEXT NOT NULL,
    created REAL NOT NULL,
    family TEXT NOT NULL,           -- models that segment the same classes; one of them is current
    current INTEGER NOT NULL,
    verified INTEGER NOT NULL,
    sentence TEXT NOT NULL,
    labels TEXT NOT NULL,           -- JSON LabelContract
    scores TEXT NOT NULL            -- JSON class id to score
);
"""


class Database:
    """One connection, shared by the threads of a process behind a lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=20.0, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA busy_timeout = 20000")
        version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, SCHEMA_VERSION):
            self._connection.close()
            raise Conflict(
                f"The data in {path.parent} was written by another version (layout {version}, this version reads "
                f"{SCHEMA_VERSION}); use that version, or start with an empty folder."
            )
        if version == 0:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(_SCHEMA + f"PRAGMA user_version = {SCHEMA_VERSION};")
        self._connection.execute("PRAGMA foreign_keys = ON")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        found = self.rows(sql, values)
        return found[0] if found else None

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing. ``durable`` waits for the disk, so that a power cut takes nothing back.

        A killed process loses no committed row either way; progress events can do without the wait.
        Raises :class:`OutOfSpace`, or :class:`Busy` when another process writes for 20 seconds on end.
        """
        with self._lock:
            connection = self._connection
            try:
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    raise Busy(
                        f"The data in {self.path.parent} are being written to; try again in a moment."
                    ) from error
                if "full" not in str(error) and "disk I/O" not in str(error):
                    raise
                raise OutOfSpace(f"There is no space left in {self.path.parent} ({error}); free some.") from error

"""Previews of a job on disk: each one whole, and as the changes since the one before of the same case.

jobs/<job id>/previews/<n>.frames              labels frame
jobs/<job id>/previews/<n>.delta.frames        changes frame against the row's ``base``
jobs/<job id>/previews/<n>.uncertainty.frames
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from slicer_kdseg.protocol.deltas import changes, encode_changes
from slicer_kdseg.protocol.errors import NotFound
from slicer_kdseg.protocol.frames import decode_array, encode_array
from slicer_kdseg.protocol.messages import PreviewReady, PreviewSource
from slicer_kdseg.protocol.previews import MAX_FRAMES
from training_backend.jobs.database import Database
from training_backend.jobs.files import write_whole
from training_backend.jobs.history import History, record

# Above this share of changed voxels the whole label map is as small as the list of changes.
LARGEST_CHANGED_SHARE = 1 / 16
SMALL_BYTES = 1 << 20  # below that, changes are cheaper to apply than a whole map however many bytes it has


class Previews:
    def __init__(self, database: Database, history: History, root: Path) -> None:
        self._database = database
        self._history = history
        self._root = root
        self._last: dict[tuple[str, str], tuple[int, np.ndarray]] = {}

    def path(self, job: str, number: int, part: str = "") -> Path:
        return self._root / "jobs" / job / "previews" / f"{number}{part}.frames"

    def add(
        self,
        job: str,
        case: str,
        labels: np.ndarray,
        affine: np.ndarray | None,
        source: PreviewSource,
        step: int,
        revision: int,
        uncertainty: np.ndarray | None,
        sentence: str,
    ) -> int:
        """Write a preview and tell of it; returns its number. Only a job's one worker calls this."""
        row = self._database.row("SELECT MAX(number) AS last FROM previews WHERE job = ?", (job,))
        number = (row["last"] or 0) + 1 if row is not None else 1
        about = {"preview": number, "case": case}
        whole = encode_array(labels, "labels", affine, "rle+zlib", about)
        write_whole(self.path(job, number), whole, "a preview")
        base = self._previous(job, case)
        if base is not None and base[1].shape == labels.shape:
            update = changes(base[1], labels)
            if update.voxels > LARGEST_CHANGED_SHARE * labels.size:
                base = None
            else:
                delta = encode_changes(update, about={**about, "since": base[0]})
                write_whole(self.path(job, number, ".delta"), delta, "a preview")
        if uncertainty is not None:
            body = encode_array(uncertainty, "uncertainty", affine, "zlib", about)
            write_whole(self.path(job, number, ".uncertainty"), body, "a preview")
        with self._database.transaction() as connection:
            values = (job, number, case, None if base is None else base[0], time.time())
            connection.execute("INSERT INTO previews VALUES (?, ?, ?, ?, ?)", values)
            record(connection, job, PreviewReady(number, case, source, step, revision, sentence))
        self._last[job, case] = number, labels.copy()
        self._history.on_event(job)
        return number

    def body(self, job: str, number: int, since: int, uncertainty: bool) -> bytes:
        """What travels to a client that holds preview ``since`` (0 = none). Raises :class:`NotFound`."""
        row = self._database.row("SELECT * FROM previews WHERE job = ? AND number = ?", (job, number))
        if row is None:
            raise NotFound(f"Job {job[:40]} has no preview {number}; wait for its event.")
        whole = self.path(job, number)
        if not whole.exists():
            raise NotFound(f"Preview {number} of job {job[:40]} was discarded when the job was cancelled.")
        parts = self._chain(job, number, since)
        if not parts or sum(part.stat().st_size for part in parts) > max(whole.stat().st_size, SMALL_BYTES):
            parts = [whole]
        doubt = self.path(job, number, ".uncertainty")
        if uncertainty and doubt.exists():
            parts.append(doubt)
        return b"".join(part.read_bytes() for part in parts)

    def _chain(self, job: str, number: int, since: int) -> list[Path]:
        """The deltas that lead from ``since`` to ``number``, oldest first; empty when they do not."""
        parts: list[Path] = []
        while since and number > since and len(parts) < MAX_FRAMES - 1:
            row = self._database.row("SELECT base FROM previews WHERE job = ? AND number = ?", (job, number))
            if row is None or row["base"] is None:
                return []
            parts.append(self.path(job, number, ".delta"))
            number = row["base"]
        return parts[::-1] if number == since else []

    def _previous(self, job: str, case: str) -> tuple[int, np.ndarray] | None:
        if (job, case) in self._last:
            return self._last[job, case]
        row = self._database.row("SELECT MAX(number) AS last FROM previews WHERE job = ? AND case_id = ?", (job, case))
        if row is None or row["last"] is None:
            return None
        return row["last"], decode_array(self.path(job, row["last"]).read_bytes()).array

"""Cases and their annotations on disk: images by content address, annotations numbered and never changed.

cases/<case id>/image.frame
cases/<case id>/annotations/<revision>.frames      labels frame, then the grow-cut frame if there is one
"""

from __future__ import annotations

import json
import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slicer_kdseg.protocol import checks, wire
from slicer_kdseg.protocol.digests import annotation_digest, case_id
from slicer_kdseg.protocol.errors import BadAnnotation, BadFrame, BadRequest, NotFound
from slicer_kdseg.protocol.frames import Frame, decode_array, decode_frames
from slicer_kdseg.protocol.header import headers
from slicer_kdseg.protocol.labels import UNLABELLED, LabelContract
from slicer_kdseg.protocol.messages import AnnotationKind, CaseRole
from training_backend.jobs.database import Database
from training_backend.jobs.files import write_whole


@dataclass(frozen=True)
class StoredCase:
    """A case as a training run finds it; ``annotation`` is None for an unlabelled one."""

    case: str
    name: str
    image: Path
    kind: AnnotationKind
    revision: int | None
    annotation: Path | None
    role: CaseRole = "target"


@dataclass(frozen=True)
class StoredAnnotation:
    """What is known of an annotation without opening its file; ``present`` are the class ids that occur."""

    revision: int
    kind: AnnotationKind
    contract: LabelContract
    present: tuple[int, ...]


class Cases:
    def __init__(self, database: Database, root: Path) -> None:
        self._database = database
        self._root = root
        self._uploading = threading.Lock()

    def image_path(self, case: str) -> Path:
        return self._root / "cases" / case / "image.frame"

    def annotation_path(self, case: str, revision: int) -> Path:
        return self._root / "cases" / case / "annotations" / f"{revision}.frames"

    def about(self, case: str) -> dict[str, Any]:
        """Shape, affine and type of a case. Raises :class:`NotFound`."""
        row = self._database.row("SELECT * FROM cases WHERE id = ?", (case,))
        if row is None:
            raise NotFound(f"There is no case {case[:12]}; upload its image first.")
        return {
            "id": case,
            "shape": json.loads(row["shape"]),
            "affine": json.loads(row["affine"]),
            "dtype": row["dtype"],
        }

    def put(self, case: str, body: bytes) -> None:
        """Check and keep an image frame under its content address; a second time changes nothing."""
        checks.check_fits_memory(headers(body, max_frames=1)[0].shape)  # before it is unpacked
        frame = decode_array(body)
        if frame.kind != "image" or frame.affine is None:
            raise BadFrame(f"A case is a frame of kind 'image' with an affine, got kind '{frame.kind}'; send that.")
        checks.check_image(frame.array, frame.affine)
        found = case_id(frame.array, frame.affine)
        if found != case:
            raise BadRequest(f"The image's address is {found[:12]}, not {case[:12]}; send it again.")
        with self._uploading:
            write_whole(self.image_path(case), body, "the image")
            values = json.dumps(frame.array.shape), json.dumps(frame.affine.tolist()), frame.array.dtype.name
            with self._database.transaction() as connection:
                connection.execute("INSERT OR IGNORE INTO cases VALUES (?, ?, ?, ?, ?)", (case, *values, time.time()))

    def put_annotation(self, case: str, body: bytes) -> int:
        """Check and keep an annotation; returns its revision. The same content keeps its number."""
        about = self.about(case)
        frames = decode_frames(body, max_frames=2, max_bytes=2 * math.prod(about["shape"]))
        labels = frames[0]
        growcut = frames[1] if len(frames) == 2 else None
        kind, contract = _described(labels)
        for frame, expected in ((labels, "labels"), (growcut, "growcut")):
            if frame is not None:
                _check_frame(frame, expected, about)
        checks.check_annotation(labels.array, contract, kind, complete=False)
        if growcut is not None:
            _check_growcut(growcut.array, contract)
        present = [int(id_) for id_ in np.unique(labels.array) if id_ != UNLABELLED]
        description = {"kind": kind, "contract": wire.to_json(contract)}
        digest = annotation_digest(labels.array, None if growcut is None else growcut.array, description)
        with self._uploading:
            known = self._database.row(
                "SELECT revision FROM annotations WHERE case_id = ? AND digest = ?", (case, digest)
            )
            if known is not None:
                return int(known["revision"])
            last = self._database.row("SELECT MAX(revision) AS last FROM annotations WHERE case_id = ?", (case,))
            revision = (last["last"] or 0) + 1 if last is not None else 1
            write_whole(self.annotation_path(case, revision), body, "the annotation")
            row = (case, revision, digest, kind, json.dumps(description["contract"]), json.dumps(present), time.time())
            with self._database.transaction() as connection:
                connection.execute("INSERT INTO annotations VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return revision

    def annotation(self, case: str, revision: int) -> StoredAnnotation:
        """Raises :class:`NotFound`."""
        self.about(case)
        row = self._database.row("SELECT * FROM annotations WHERE case_id = ? AND revision = ?", (case, revision))
        if row is None:
            raise NotFound(f"The case {case[:12]} has no annotation revision {revision}; upload the annotation first.")
        contract = wire.from_json(LabelContract, json.loads(row["contract"]))
        return StoredAnnotation(revision, row["kind"], contract, tuple(json.loads(row["present"])))


def read_image(path: Path) -> Frame:
    """The image of a case; ``array`` (D, H, W), ``affine`` to RAS mm."""
    return decode_array(path.read_bytes())


def read_annotation(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels (D, H, W) uint8 with 255 = unlabelled, and grow-cut of the same strokes or None."""
    frames = decode_frames(path.read_bytes(), max_frames=2)
    return frames[0].array, frames[1].array if len(frames) == 2 else None


def _described(labels: Frame) -> tuple[AnnotationKind, LabelContract]:
    kind = labels.extra.get("kind")
    if kind not in ("scribble", "dense"):
        raise BadAnnotation(f"An annotation is of kind 'scribble' or 'dense', got {kind!r:.40}; say which.")
    return kind, wire.from_json(LabelContract, labels.extra.get("contract"), "The label contract")


def _check_frame(frame: Frame, expected: str, about: dict[str, Any]) -> None:
    if frame.kind != expected:
        raise BadFrame(f"Expected a frame of kind '{expected}', got '{frame.kind}'; send labels, then grow-cut.")
    affine = np.array(about["affine"])
    checks.check_same_geometry(tuple(about["shape"]), affine, frame.array.shape, frame.affine)


def _check_growcut(growcut: np.ndarray, contract: LabelContract) -> None:
    strangers = sorted({int(id_) for id_ in np.unique(growcut)} - {*contract.ids, UNLABELLED})
    if growcut.dtype != np.uint8 or strangers:
        raise BadAnnotation(f"Grow-cut must be uint8 of class ids, got {growcut.dtype} with the values {strangers}.")

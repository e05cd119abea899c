"""A backend as an object: one method per thing that can be asked of it. No Qt, no MRML, no torch.

Every method may raise a :class:`KDSegError` whose sentence can be shown as it is. Calls block up to their
time limit: call them from a thread that may wait.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import requests
from requests.adapters import BaseAdapter

from slicer_kdseg.protocol import checks, codecs, wire
from slicer_kdseg.protocol.checks import leads_outside
from slicer_kdseg.protocol.connection import Connection
from slicer_kdseg.protocol.digests import case_id
from slicer_kdseg.protocol.errors import BadRequest, NotFound, NotKDSeg, OutOfSpace, WrongVersion
from slicer_kdseg.protocol.frames import encode_array, encode_frames
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.messages import (
    PROTOCOL_VERSION,
    AnnotationKind,
    BackendInfo,
    Event,
    JobRequest,
    JobStatus,
    ModelInfo,
)
from slicer_kdseg.protocol.previews import PreviewUpdate, decode_preview
from slicer_kdseg.protocol.words import tr as _

T = TypeVar("T")


class BackendClient:
    """``url`` may be what a person types; ``transport`` replaces the network in tests."""

    def __init__(self, url: str, token: str | None = None, transport: BaseAdapter | None = None) -> None:
        self._connection = Connection(url, token, transport)
        self._encodings: tuple[str, ...] | None = None

    @property
    def url(self) -> str:
        return self._connection.url

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> BackendClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def info(self, devices: bool = False, patience_seconds: float = 120.0) -> BackendInfo:
        """The handshake. ``devices=True`` waits until the backend has tried its devices (seconds, once).

        Raises :class:`NotKDSeg`, :class:`WrongVersion`, :class:`NotAllowed` or :class:`BackendUnreachable`.
        """
        data = self._connection.json("GET", f"/v1/info?devices={int(devices)}", read_seconds=patience_seconds)
        if not isinstance(data, dict) or data.get("service") != "kdseg":
            raise NotKDSeg(
                _("What answers at {url} is not a KDSeg backend; check the address and the port.").format(url=self.url)
            )
        if data.get("protocol_version") != PROTOCOL_VERSION:
            raise WrongVersion(
                _(
                    "The backend at {url} (version {version}) speaks protocol {protocol}, this side speaks"
                    " {ours}; update the older of the two."
                ).format(
                    url=self.url,
                    version=data.get("version"),
                    protocol=data.get("protocol_version"),
                    ours=PROTOCOL_VERSION,
                )
            )
        info = wire.from_json(BackendInfo, data)
        self._encodings = info.encodings
        return info

    def end(self) -> None:
        """End a backend that was started for one user; its jobs go on when one starts on the same folder again.

        Raises :class:`NotAllowed` for one that others started.
        """
        self._connection.json("POST", "/v1/end")

    def upload_case(self, array: np.ndarray, affine_ras: np.ndarray) -> str:
        """The case's id, a content address; ``array`` (D, H, W), ``affine_ras`` index (i, j, k) to RAS mm.

        Sent only if the backend does not have it. Raises :class:`BadImage` before a byte leaves, and what
        :meth:`info` raises: strangers and other versions get no image.
        """
        checks.check_image(array, affine_ras)
        encoding = self._image_encoding()
        case = case_id(array, affine_ras)
        try:
            self._connection.json("GET", f"/v1/cases/{case}")
        except NotFound:
            body = encode_array(array, "image", affine_ras, encoding)
            self._connection.upload("PUT", f"/v1/cases/{case}", body)
        return case

    def upload_annotation(
        self,
        case: str,
        labels: np.ndarray,
        contract: LabelContract,
        kind: AnnotationKind = "scribble",
        growcut: np.ndarray | None = None,
        affine_ras: np.ndarray | None = None,
    ) -> int:
        """The revision's number; the same content has the same number.

        ``labels`` (D, H, W) uint8 of class ids, 255 = unlabelled; ``growcut`` the same without gaps, or None;
        with ``affine_ras`` the backend compares the geometry. Raises :class:`BadAnnotation`.
        """
        checks.check_annotation(labels, contract, kind, complete=False)
        encoding = "rle" if self._connection.local else "rle+zlib"
        about = {"kind": kind, "contract": wire.to_json(contract)}
        frames = [encode_array(labels, "labels", affine_ras, encoding, about)]
        if growcut is not None:
            frames.append(encode_array(growcut, "growcut", affine_ras, encoding))
        answer = self._connection.upload("POST", f"/v1/cases/{case}/annotations", encode_frames(frames))
        return int(answer["revision"])

    def start_job(self, request: JobRequest) -> JobStatus:
        return self._ask(JobStatus, "POST", "/v1/jobs", wire.to_json(request))

    def job(self, job: str) -> JobStatus:
        return self._ask(JobStatus, "GET", f"/v1/jobs/{job}")

    def jobs(self) -> list[JobStatus]:
        """All jobs, the newest first."""
        return [wire.from_json(JobStatus, row) for row in self._connection.json("GET", "/v1/jobs")["jobs"]]

    def join_annotation(self, job: str, case: str, revision: int) -> None:
        """Give a running job a newer annotation of one of its cases; it goes on without a restart."""
        self._connection.json("POST", f"/v1/jobs/{job}/annotations", {"case": case, "revision": revision})

    def stop(self, job: str) -> JobStatus:
        """End the job and keep the best model so far."""
        return self._ask(JobStatus, "POST", f"/v1/jobs/{job}/stop")

    def cancel(self, job: str) -> JobStatus:
        """End the job and discard what it has learnt."""
        return self._ask(JobStatus, "POST", f"/v1/jobs/{job}/cancel")

    def history(self, job: str, after: int = 0) -> list[Event]:
        """Events with an id above ``after``: the way without a stream."""
        rows = self._connection.json("GET", f"/v1/jobs/{job}/history?after={after}")["events"]
        return [wire.event_from_json(row) for row in rows]

    def preview(self, job: str, number: int, since: int | None = None, uncertainty: bool = False) -> PreviewUpdate:
        """Preview ``number``; with ``since`` (the last one of that case that the caller holds) only what changed."""
        query = f"?since={since or 0}&uncertainty={int(uncertainty)}"
        return decode_preview(self._connection.download(f"/v1/jobs/{job}/previews/{number}{query}"))

    def models(self) -> list[ModelInfo]:
        """All models, the newest first."""
        return [wire.from_json(ModelInfo, row) for row in self._connection.json("GET", "/v1/models")["models"]]

    def model(self, number: int) -> ModelInfo:
        return self._ask(ModelInfo, "GET", f"/v1/models/{number}")

    def make_current(self, number: int) -> ModelInfo:
        """Roll forward or back to a verified model. Raises :class:`Conflict` for one that is not verified."""
        return self._ask(ModelInfo, "POST", f"/v1/models/{number}/current")

    def predict(self, number: int, case: str) -> JobStatus:
        """Run a model on an uploaded case: a job of method 'predict' whose preview 1 is the result."""
        return self._ask(JobStatus, "POST", f"/v1/models/{number}/predictions", {"case": case})

    def download_model(self, number: int, folder: Path, progress: Callable[[float], None] | None = None) -> Path:
        """Write the model into the new folder ``folder``; it appears whole or not at all."""
        if folder.exists():
            raise BadRequest(
                _("The folder {folder} exists already; choose a new name for the model.").format(folder=folder)
            )
        files = self._connection.json("GET", f"/v1/models/{number}/files")["files"]
        folder.parent.mkdir(parents=True, exist_ok=True)
        waiting = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for done, file in enumerate(files, 1):
                self._download(number, file, waiting)
                if progress is not None:
                    progress(done / len(files))
            waiting.chmod(0o755)
            waiting.rename(folder)
        except OSError as error:
            raise OutOfSpace(
                _("The model could not be written to {folder} ({reason}); free space.").format(
                    folder=folder, reason=error.strerror
                )
            ) from error
        finally:
            shutil.rmtree(waiting, ignore_errors=True)
        return folder

    def stream_events(self, job: str, last_event_id: int, silence_seconds: float) -> requests.Response:
        """The open event stream of a job, for :class:`JobWatcher`; the caller closes it."""
        headers = {"Last-Event-ID": str(last_event_id), "Accept": "text/event-stream"}
        return self._connection.stream(f"/v1/jobs/{job}/events", headers, silence_seconds)

    def _download(self, number: int, file: dict[str, Any], into: Path) -> None:
        name = str(file["path"])
        if leads_outside(name):
            raise BadRequest(
                _("The backend offers a file with the unsafe name '{name}'; it was not written.").format(name=name)
            )
        content = self._connection.download(f"/v1/models/{number}/files/{name}", read_seconds=120.0)
        if hashlib.sha256(content).hexdigest() != file["sha256"]:
            raise BadRequest(
                _("The file '{name}' of model {number} arrived damaged; download the model again.").format(
                    name=name, number=number
                )
            )
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def _image_encoding(self) -> str:
        theirs = self._encodings or self.info().encodings  # a handshake comes before the first image
        if self._connection.local:
            return "raw"  # loopback moves 5 GB/s, zlib 0.2
        return "zstd" if "zstd" in theirs and "zstd" in codecs.ENCODINGS else "zlib"

    def _ask(self, kind: type[T], method: str, path: str, content: Any = None) -> T:
        return wire.from_json(kind, self._connection.json(method, path, content))

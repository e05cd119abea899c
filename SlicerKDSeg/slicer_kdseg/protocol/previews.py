"""A preview on the wire: the whole label map, or the changes since the preview that the client already holds.

    body = labels frame | changes frame, changes frame, ...      (oldest first; all of one case)
           [uncertainty frame]

Every frame's extra says ``{"preview": n, "case": id}``, a changes frame also ``"since": m``: it turns m into n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slicer_kdseg.protocol.deltas import LabelChanges, changes_of
from slicer_kdseg.protocol.errors import BadFrame
from slicer_kdseg.protocol.frames import decode_array
from slicer_kdseg.protocol.header import Header, headers

MAX_FRAMES = 66


@dataclass(frozen=True)
class PreviewUpdate:
    """Either ``labels`` (D, H, W) uint8 of class ids, whole, or ``changes`` against preview ``since``.

    ``uncertainty`` (D, H, W) uint8, 255 = most unsure, if it was asked for and exists.
    """

    number: int
    case: str
    since: int | None = None
    labels: np.ndarray | None = None
    changes: tuple[LabelChanges, ...] = ()
    affine: np.ndarray | None = None
    uncertainty: np.ndarray | None = None

    def apply(self, target: np.ndarray) -> None:
        """Make ``target`` (D, H, W) uint8 this preview, in place. Raises :class:`BadFrame` on another shape."""
        if self.labels is not None:
            if target.shape != self.labels.shape:
                raise BadFrame(f"The preview has shape {self.labels.shape}, its target {target.shape}; make a new one.")
            target[...] = self.labels
        for change in self.changes:
            change.apply(target)


def decode_preview(body: bytes) -> PreviewUpdate:
    """The update in ``body``. Raises :class:`BadFrame`."""
    frames = headers(body, MAX_FRAMES)
    number, case = _place(frames[0])
    uncertainty = None
    if frames[-1].kind == "uncertainty":
        last = frames.pop()
        uncertainty = decode_array(_bytes(body, last, frames)).array
    if len(frames) == 1 and frames[0].kind == "labels":
        frame = decode_array(body[: frames[0].end])
        return PreviewUpdate(number, case, None, frame.array, (), frame.affine, uncertainty)
    since = frames[0].extra.get("since") if frames else None
    if not isinstance(since, int) or any(_place(header)[1] != case for header in frames):
        raise BadFrame("The preview holds neither a label map nor the changes of one case; fetch it again.")
    changes = tuple(changes_of(header, body) for header in frames)
    return PreviewUpdate(_place(frames[-1])[0], case, since, None, changes, None, uncertainty)


def _place(header: Header) -> tuple[int, str]:
    number, case = header.extra.get("preview"), header.extra.get("case")
    if not isinstance(number, int) or not isinstance(case, str):
        raise BadFrame("A preview's frame must say which preview of which case it is; fetch it again.")
    return number, case


def _bytes(body: bytes, header: Header, before: list[Header]) -> bytes:
    return body[before[-1].end if before else 0 : header.end]

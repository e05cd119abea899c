"""The header of an array frame (layout drawn in :mod:`slicer_kdseg.protocol.frames`): written, read and checked.

Whoever sends a frame is not trusted: a :class:`Header` exists only after every number in it has been checked.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicer_kdseg.protocol.codecs import ENCODINGS, parts
from slicer_kdseg.protocol.errors import BadFrame

MAGIC = b"KDSF"
LAYOUT_VERSION = 1
KINDS = ("image", "labels", "growcut", "uncertainty", "changes")
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
MAX_HEADER_BYTES = 1 << 20  # 255 classes with their terminology are 80 kB
MAX_SIDE = 65_535
MAX_ARRAY_BYTES = 4 << 30
_FIXED = struct.Struct("<4sHI")


@dataclass(frozen=True)
class Header:
    """What stands before a payload, checked. ``start`` and ``end`` bound the payload inside the body."""

    kind: str
    dtype: np.dtype
    shape: tuple[int, int, int]
    affine: np.ndarray | None
    encoding: str
    runs: int
    extra: dict[str, Any]
    start: int
    end: int

    @property
    def voxels(self) -> int:
        return math.prod(self.shape)


def pack(
    kind: str,
    dtype: str,
    shape: Sequence[int],
    affine: np.ndarray | None,
    encoding: str,
    payload: bytes | memoryview,
    runs: int = 0,
    extra: dict[str, Any] | None = None,
) -> bytes:
    """Header and payload as one frame; the header is checked as a reader would check it."""
    fields: dict[str, Any] = {
        "kind": kind,
        "dtype": dtype,
        "shape": [int(side) for side in shape],
        "affine": None if affine is None else np.asarray(affine, np.float64).tolist(),
        "encoding": encoding,
        "payload_bytes": len(payload),
        "runs": runs,
        "extra": extra or {},
    }
    _checked(fields, 0, MAX_ARRAY_BYTES)
    header = json.dumps(fields, separators=(",", ":")).encode()
    if len(header) > MAX_HEADER_BYTES:
        raise BadFrame(f"The frame's header has {len(header)} bytes, at most {MAX_HEADER_BYTES} are allowed.")
    return b"".join((_FIXED.pack(MAGIC, LAYOUT_VERSION, len(header)), header, payload))


def headers(data: bytes | memoryview, max_frames: int = 8, max_bytes: int = MAX_ARRAY_BYTES) -> list[Header]:
    """The checked headers of all frames of a body; no payload is unpacked."""
    found: list[Header] = []
    offset = 0
    while offset < len(data) or not found:
        if len(found) == max_frames:
            raise BadFrame(f"There are bytes behind the last of {max_frames} expected frames; send no more than that.")
        header = read_header(data, offset, max_bytes)
        if header.end > len(data):
            missing = header.end - len(data)
            raise BadFrame(f"The frame is cut off: {missing} bytes of its payload are missing; send it again.")
        found.append(header)
        max_bytes -= header.voxels * header.dtype.itemsize
        offset = header.end
    return found


def read_header(data: bytes | memoryview, offset: int = 0, max_bytes: int = MAX_ARRAY_BYTES) -> Header:
    """The header at ``offset``, checked; the payload need not be there yet. Raises :class:`BadFrame`."""
    body = memoryview(data)[offset:]
    if len(body) < _FIXED.size:
        raise BadFrame(f"The frame is cut off: {len(body)} bytes are not even a frame's beginning; send it again.")
    magic, version, length = _FIXED.unpack_from(body)
    if magic != MAGIC:
        raise BadFrame(f"This is not an array frame: it begins with {bytes(magic)!r} instead of {MAGIC!r}.")
    if version != LAYOUT_VERSION:
        raise BadFrame(f"The frame has layout {version}, this end reads {LAYOUT_VERSION}; update the older side.")
    if length > MAX_HEADER_BYTES:
        raise BadFrame(f"The frame announces a header of {length} bytes, at most {MAX_HEADER_BYTES} are allowed.")
    if len(body) < _FIXED.size + length:
        raise BadFrame("The frame is cut off inside its header; send it again.")
    try:
        fields = json.loads(bytes(body[_FIXED.size : _FIXED.size + length]))
    except (ValueError, RecursionError) as error:
        raise BadFrame("The frame's header is not JSON; send the frame again.") from error
    return _checked(fields, offset + _FIXED.size + length, max_bytes)


def _checked(fields: Any, start: int, max_bytes: int) -> Header:
    if not isinstance(fields, dict):
        raise BadFrame("The frame's header is not a JSON object.")
    kind, dtype, shape, encoding = (fields.get(name) for name in ("kind", "dtype", "shape", "encoding"))
    if kind not in KINDS:
        raise BadFrame(f"A frame of kind {kind!r:.40} is unknown; known are {', '.join(KINDS)}.")
    if dtype not in DTYPES:
        raise BadFrame(f"A frame cannot hold values of type {dtype!r:.40}; allowed are {', '.join(DTYPES)}.")
    if not isinstance(shape, list) or len(shape) != 3 or not all(_is_count(side, MAX_SIDE) for side in shape):
        raise BadFrame(f"A frame's shape must be (D, H, W) with sides of 1 to {MAX_SIDE}, got {shape!r:.80}.")
    if min(shape) < 1:
        raise BadFrame(f"The array is empty: its shape is {tuple(shape)}; send at least one voxel.")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > max_bytes:
        raise BadFrame(f"The array of shape {tuple(shape)} has {size} bytes, at most {max_bytes} are allowed; crop it.")
    if encoding not in ENCODINGS:
        raise BadFrame(f"The encoding {encoding!r:.40} is unknown here; this end reads {', '.join(ENCODINGS)}.")
    payload_bytes, runs, extra = fields.get("payload_bytes"), fields.get("runs", 0), fields.get("extra", {})
    if not isinstance(payload_bytes, int) or not _is_count(payload_bytes, 2 * MAX_ARRAY_BYTES):
        raise BadFrame(f"A frame must say how many payload bytes it has, got {payload_bytes!r:.40}.")
    if not isinstance(runs, int) or not _is_count(runs, math.prod(shape)):
        raise BadFrame(f"The frame announces {runs!r:.40} runs, more than its {math.prod(shape)} voxels can have.")
    if not isinstance(extra, dict):
        raise BadFrame(f"A frame's extra must be a JSON object, got {type(extra).__name__}.")
    if parts(encoding)[0] and runs == 0:
        raise BadFrame("The frame is packed as runs but announces none; send it again.")
    little = np.dtype(dtype).newbyteorder("<")
    sides = (shape[0], shape[1], shape[2])
    affine = _checked_affine(fields.get("affine"))
    return Header(kind, little, sides, affine, encoding, runs, extra, start, start + payload_bytes)


def _checked_affine(value: Any) -> np.ndarray | None:
    if value is None:
        return None
    try:
        affine = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadFrame("A frame's affine must be 4 x 4 numbers (index to RAS mm).") from error
    if affine.shape != (4, 4):
        raise BadFrame(f"A frame's affine must be 4 x 4 (index to RAS mm), got shape {affine.shape}.")
    if not np.isfinite(affine).all() or not np.array_equal(affine[3], (0, 0, 0, 1)):
        raise BadFrame("A frame's affine must be finite and end with the row 0 0 0 1; check the image's geometry.")
    if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise BadFrame("A frame's affine is singular: two image axes coincide or a spacing is 0; check its geometry.")
    return affine


def _is_count(value: Any, limit: int) -> bool:
    return type(value) is int and 0 <= value <= limit

"""One array with its geometry as bytes: what images, annotations and previews travel and are stored as.

    offset   bytes  content
    0        4      magic "KDSF"
    4        2      layout version, unsigned little-endian (1)
    6        4      N = length of the header, unsigned little-endian, at most 65,536
    10       N      header: one JSON object, UTF-8
                      kind           image | labels | growcut | uncertainty | changes
                      dtype          one of DTYPES, little-endian
                      shape          [D, H, W]
                      affine         4 x 4 numbers, index (i along W, j along H, k along D) to RAS mm, or null
                      encoding       raw | rle, zlib, zstd, rle+zlib, rle+zstd
                      payload_bytes  P
                      runs           number of runs, rle only
                      extra          free JSON object
    10 + N   P      payload: the array in C order, or for rle `runs` values followed by `runs` lengths (uint32)

A body may hold several frames, one behind the other. Nothing is pickled. Every length is checked before
anything is allocated; whatever does not fit raises :class:`BadFrame` with one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slicer_kdseg.protocol.codecs import compress, decompress, parts
from slicer_kdseg.protocol.errors import BadFrame
from slicer_kdseg.protocol.header import DTYPES, MAX_ARRAY_BYTES, Header, headers, pack
from slicer_kdseg.protocol.runs import to_runs

_RUN = np.dtype("<u4")


@dataclass(frozen=True)
class Frame:
    """``array`` (D, H, W), writable; ``affine`` (4, 4) float64, index (i, j, k) to RAS mm, or None."""

    kind: str
    array: np.ndarray
    affine: np.ndarray | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def encode_array(
    array: np.ndarray,
    kind: str,
    affine: np.ndarray | None = None,
    encoding: str = "zlib",
    extra: dict[str, Any] | None = None,
) -> bytes:
    """``array`` (D, H, W) as one frame. Use ``rle`` for label maps on a local link, ``rle+zlib`` elsewhere."""
    if array.ndim != 3:
        raise BadFrame(f"A frame holds one scalar volume (D, H, W), got shape {array.shape}; pick one channel or time.")
    if array.dtype.newbyteorder("=").name not in DTYPES:
        raise BadFrame(f"A frame cannot hold values of type {array.dtype}; convert to one of {', '.join(DTYPES)}.")
    flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
    run_lengths, compressor = parts(encoding)
    runs = 0
    payload: bytes | memoryview = flat.view(np.uint8).data
    if run_lengths:
        values, lengths = to_runs(flat.view(f"<u{flat.itemsize}"))  # bit patterns: NaN and -0.0 stay what they are
        runs = values.size
        payload = values.tobytes() + lengths.astype(_RUN).tobytes()
    if compressor:
        payload = compress(payload, compressor)
    return pack(kind, flat.dtype.name, array.shape, affine, encoding, payload, runs, extra)


def decode_array(data: bytes | memoryview, max_bytes: int = MAX_ARRAY_BYTES) -> Frame:
    """The one frame in ``data``; ``max_bytes`` bounds the array. Raises :class:`BadFrame`."""
    return decode_frames(data, max_frames=1, max_bytes=max_bytes)[0]


def encode_frames(frames: Sequence[bytes]) -> bytes:
    """Several frames in one body."""
    return b"".join(frames)


def decode_frames(data: bytes | memoryview, max_frames: int = 8, max_bytes: int = MAX_ARRAY_BYTES) -> list[Frame]:
    """All frames of a body; ``max_bytes`` bounds all arrays together. Raises :class:`BadFrame`."""
    return [
        Frame(header.kind, _array(header, memoryview(data)[header.start : header.end]), header.affine, header.extra)
        for header in headers(data, max_frames, max_bytes)
    ]


def _array(header: Header, payload: memoryview) -> np.ndarray:
    run_lengths, compressor = parts(header.encoding)
    if header.kind == "changes":
        raise BadFrame("This frame holds changes, not an array; read it as changes.")
    itemsize = header.dtype.itemsize
    size = header.runs * (itemsize + _RUN.itemsize) if run_lengths else header.voxels * itemsize
    content: bytes | memoryview = payload
    if compressor:
        content = decompress(payload, compressor, size)
    elif len(payload) != size:
        raise BadFrame(f"The payload has {len(payload)} bytes, its header stands for {size}; send the frame again.")
    native = header.dtype.newbyteorder("=")
    if not run_lengths:
        return np.frombuffer(content, header.dtype).reshape(header.shape).astype(native)
    values = np.frombuffer(content, header.dtype, header.runs).astype(native)
    lengths = np.frombuffer(content, _RUN, offset=header.runs * itemsize)
    total = int(lengths.sum(dtype=np.uint64))
    if total != header.voxels or (lengths == 0).any():
        raise BadFrame(f"The runs cover {total} voxels, the shape {header.shape} has {header.voxels}.")
    return np.repeat(values, lengths).reshape(header.shape)

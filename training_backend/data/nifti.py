"""What ITK does not say of a NIfTI file: it reads missing voxels and numbers that are none as 0, silently.

    NIfTI-1  NIfTI-2  content
    0        0        length of the header, 348 or 540; tells the byte order, too
    70       12       voxel type: 16 float32, 64 float64
    72       14       bits per voxel
    108      168      where the voxels begin, float32 in NIfTI-1, int64 in NIfTI-2

A compressed file ends with its uncompressed length modulo 2**32.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

HEADER_BYTES = 540
PLACES = {348: ("70xhh", "108xf"), 540: ("12xhh", "168xq")}
FLOATS = {16: "f4", 64: "f8"}
VOXELS_AT_ONCE = 1 << 18
CUT_OFF = "is cut off: it ends before its last voxel; copy or export it again"


@dataclass(frozen=True)
class Layout:
    """``first``: byte of the first voxel; ``kind``: numpy type of float voxels, empty for others."""

    first: int
    bits: int
    kind: str

    def whole(self, voxels: int) -> int:
        return self.first + voxels * self.bits // 8


def fault(path: Path, voxels: int) -> str:
    """What is wrong with a NIfTI file of ``voxels`` voxels, as the end of a sentence; empty for any other format."""
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return ""
    try:
        with cast(IO[bytes], gzip.open(path) if name.endswith(".gz") else path.open("rb")) as file:
            layout = _layout(file.read(HEADER_BYTES))
            if layout is None:
                return ""
            if layout.kind:
                file.seek(layout.first)
                bad = _not_finite(file, voxels, np.dtype(layout.kind))
                _length(file)  # the check sum lies behind the last voxel
                return f"has {bad} voxels that are NaN or infinite; replace them, for instance by 0" if bad else ""
            whole = layout.whole(voxels)
            return "" if _said_length(path) == whole % 2**32 or _length(file) >= whole else CUT_OFF
    except (EOFError, OSError, zlib.error):
        return CUT_OFF


def _layout(header: bytes) -> Layout | None:
    for order in "<>":
        places = PLACES.get(struct.unpack_from(f"{order}i", header)[0])
        if places is not None:
            kind, bits = struct.unpack_from(order + places[0], header)
            (first,) = struct.unpack_from(order + places[1], header)
            return Layout(int(first), bits, order + FLOATS[kind] if kind in FLOATS else "")
    return None


def _not_finite(file: IO[bytes], voxels: int, kind: np.dtype[Any]) -> int:
    """How many of the next ``voxels`` are NaN or infinite. Raises :class:`EOFError` if the file ends before."""
    bad = 0
    for start in range(0, voxels, VOXELS_AT_ONCE):
        wanted = min(VOXELS_AT_ONCE, voxels - start) * kind.itemsize
        piece = file.read(wanted)
        if len(piece) < wanted:
            raise EOFError
        bad += int(np.count_nonzero(~np.isfinite(np.frombuffer(piece, kind))))
    return bad


def _said_length(path: Path) -> int:
    """From the last four bytes of a compressed file: true unless it has several members or something behind."""
    with path.open("rb") as file:
        file.seek(-4, 2)
        return int(struct.unpack("<I", file.read(4))[0])


def _length(file: IO[bytes]) -> int:
    while file.read(1 << 20):
        pass
    return file.tell()

"""What an image's header announces, held against the file and against memory, before a reader believes it.

A header of a few hundred bytes can announce 10 GB, name another file to read from, or be followed by half of its
voxels: Slicer's readers take memory first, and one that is cut off can end the process.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO

from slicer_kdseg.headless.nrrd import check_whole
from slicer_kdseg.protocol.checks import check_fits_memory
from slicer_kdseg.protocol.errors import BadImage

BLOCK_BYTES = 1 << 20
NIFTI_BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8}
NIFTI_1, NIFTI_2 = 348, 540


def check_announced(path: Path) -> None:
    """Raises :class:`BadImage` or :class:`TooLarge` with a sentence that names the file."""
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        _check_nifti(path)
    elif name.endswith((".nrrd", ".nhdr")):
        check_whole(path, BadImage)


def _check_nifti(path: Path) -> None:
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            file: IO[bytes] = gzip.GzipFile(fileobj=plain) if zipped else plain  # type: ignore[assignment]
            header = file.read(NIFTI_2)
            shape, expected, start = _nifti_header(header, path)
            check_fits_memory(shape)
            there = _bytes_after(file, start + expected, len(header))
    except (OSError, EOFError, zlib.error):
        raise _damaged(path, "it is cut off or damaged") from None
    if there < start + expected:
        raise _damaged(path, f"it holds {max(there - start, 0)} of {expected} bytes of voxels")


def _nifti_header(header: bytes, path: Path) -> tuple[tuple[int, ...], int, int]:
    """Shape (slowest first), bytes of voxels, and where they begin."""
    for order in "<>":
        if len(header) >= NIFTI_1 and struct.unpack_from(f"{order}i", header)[0] == NIFTI_1:
            sides, kind = struct.unpack_from(f"{order}8h", header, 40), struct.unpack_from(f"{order}h", header, 70)[0]
            start = int(min(struct.unpack_from(f"{order}f", header, 108)[0], 1 << 30))
            break
        if len(header) >= NIFTI_2 and struct.unpack_from(f"{order}i", header)[0] == NIFTI_2:
            sides, kind = struct.unpack_from(f"{order}8q", header, 16), struct.unpack_from(f"{order}h", header, 12)[0]
            start = struct.unpack_from(f"{order}q", header, 168)[0]
            break
    else:
        raise _damaged(path, "it is no NIfTI file")
    shape = sides[1 : 1 + max(0, min(sides[0], 7))]
    if not 1 <= sides[0] <= 7 or any(side < 1 for side in shape) or kind not in NIFTI_BYTES:
        raise _damaged(path, f"its header announces {shape} voxels of type {kind}")
    return shape[::-1], math.prod(shape) * NIFTI_BYTES[kind], max(start, NIFTI_1)


def _bytes_after(file: IO[bytes], enough: int, already: int) -> int:
    """Bytes of ``file`` in all, counted no further than ``enough``."""
    total = already
    while total < enough and (block := file.read(BLOCK_BYTES)):
        total += len(block)
    return total


def _damaged(path: Path, what: str) -> BadImage:
    return BadImage(f"'{path.name}' cannot be read as an image: {what}; export it again.")

"""Is a NRRD file whole? Asked before Slicer's readers: one of them ends the process on a file that is cut off."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import BinaryIO

from slicer_kdseg.protocol.checks import check_fits_memory
from slicer_kdseg.protocol.errors import BadAnnotation, BadImage

LONGEST_HEADER_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
Kind = type[BadAnnotation] | type[BadImage]
BYTES_OF = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "int16", "int16_t", "ushort", "unsigned short", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
}
BYTES_OF_IMAGE = {
    **BYTES_OF,
    **dict.fromkeys(("longlong", "long long", "int64", "int64_t", "ulonglong", "uint64", "uint64_t", "double"), 8),
    "float": 4,
}


def check_whole(path: Path, kind: Kind = BadAnnotation) -> None:
    """Raises ``kind`` unless ``path`` is a NRRD label map, or image, with all the voxels that it announces.

    Raises :class:`TooLarge` for one that announces more than memory holds: readers take it before they read.
    """
    bytes_of = BYTES_OF if kind is BadAnnotation else BYTES_OF_IMAGE
    with path.open("rb") as file:
        fields = _header(file, path, kind)
        try:
            sizes = [int(size) for size in fields["sizes"].split()]
            expected = math.prod(sizes) * bytes_of[fields["type"]]
        except (KeyError, ValueError):
            found = f"type '{fields.get('type', '')}', sizes '{fields.get('sizes', '')}'"
            raise _damaged(path, kind, f"its header does not describe voxels of this kind ({found})") from None
        if any(size < 1 for size in sizes):
            raise _damaged(path, kind, f"its header announces the sizes {sizes}")
        if "data file" in fields or "datafile" in fields:
            raise _damaged(path, kind, "its voxels lie in another file")
        check_fits_memory(tuple(sizes))
        there = _content_bytes(file, fields.get("encoding", ""), expected, path, kind)
    if there < expected:
        raise _damaged(path, kind, f"it holds {there} of {expected} bytes of voxels")


def _header(file: BinaryIO, path: Path, kind: Kind) -> dict[str, str]:
    if not file.readline(16).startswith(b"NRRD"):
        raise _damaged(path, kind, "it is no NRRD file")
    fields: dict[str, str] = {}
    while file.tell() < LONGEST_HEADER_BYTES:
        line = file.readline(LONGEST_HEADER_BYTES).decode("utf-8", "replace")
        if not line.endswith("\n"):
            raise _damaged(path, kind, "its header is cut off")
        line = line.strip()
        if not line:
            return fields
        name, colon, value = line.partition(": ")
        if colon and not line.startswith("#"):
            fields[name.lower()] = value.strip()
    raise _damaged(path, kind, "its header does not end")


def _content_bytes(file: BinaryIO, encoding: str, enough: int, path: Path, kind: Kind) -> int:
    """Bytes of voxels that follow, counted no further than ``enough``."""
    if encoding == "raw":
        start = file.tell()
        return file.seek(0, 2) - start
    if encoding not in ("gzip", "gz"):
        raise _damaged(path, kind, f"its encoding '{encoding}' is neither raw nor gzip")
    unzip, total = zlib.decompressobj(31), 0
    try:
        while total < enough and (block := file.read(BLOCK_BYTES)):
            while block and total < enough:
                total += len(unzip.decompress(block, BLOCK_BYTES))
                block = unzip.unconsumed_tail
    except zlib.error:
        raise _damaged(path, kind, "its compressed voxels are damaged") from None
    return total


def _damaged(path: Path, kind: Kind, what: str) -> BadAnnotation | BadImage:
    if kind is BadImage:
        return BadImage(f"'{path.name}' cannot be read as an image: {what}; export it again.")
    return BadAnnotation(f"'{path.name}' cannot be read as a segmentation: {what}; export it again as .seg.nrrd.")

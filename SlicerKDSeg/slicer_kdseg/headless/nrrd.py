"""Is a NRRD file whole? Asked before Slicer's segmentation reader, which ends the process on one that is cut off."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import BinaryIO

from slicer_kdseg.protocol.errors import BadAnnotation

LONGEST_HEADER_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
BYTES_OF = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "int16", "int16_t", "ushort", "unsigned short", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
}


def check_whole(path: Path) -> None:
    """Raises :class:`BadAnnotation` unless ``path`` is a NRRD label map with all the voxels that it announces."""
    with path.open("rb") as file:
        fields = _header(file, path)
        try:
            sizes = [int(size) for size in fields["sizes"].split()]
            expected = math.prod(sizes) * BYTES_OF[fields["type"]]
        except (KeyError, ValueError):
            found = f"type '{fields.get('type', '')}', sizes '{fields.get('sizes', '')}'"
            raise _damaged(path, f"its header does not describe a label map ({found})") from None
        if "data file" in fields or "datafile" in fields:
            raise _damaged(path, "its voxels lie in another file")
        there = _content_bytes(file, fields.get("encoding", ""), expected, path)
    if there < expected:
        raise _damaged(path, f"it holds {there} of {expected} bytes of voxels")


def _header(file: BinaryIO, path: Path) -> dict[str, str]:
    if not file.readline(16).startswith(b"NRRD"):
        raise _damaged(path, "it is no NRRD file")
    fields: dict[str, str] = {}
    while file.tell() < LONGEST_HEADER_BYTES:
        line = file.readline(LONGEST_HEADER_BYTES).decode("utf-8", "replace")
        if not line.endswith("\n"):
            raise _damaged(path, "its header is cut off")
        line = line.strip()
        if not line:
            return fields
        name, colon, value = line.partition(": ")
        if colon and not line.startswith("#"):
            fields[name.lower()] = value.strip()
    raise _damaged(path, "its header does not end")


def _content_bytes(file: BinaryIO, encoding: str, enough: int, path: Path) -> int:
    """Bytes of voxels that follow, counted no further than ``enough``."""
    if encoding == "raw":
        start = file.tell()
        return file.seek(0, 2) - start
    if encoding not in ("gzip", "gz"):
        raise _damaged(path, f"its encoding '{encoding}' is neither raw nor gzip")
    unzip, total = zlib.decompressobj(31), 0
    try:
        while total < enough and (block := file.read(BLOCK_BYTES)):
            while block and total < enough:
                total += len(unzip.decompress(block, BLOCK_BYTES))
                block = unzip.unconsumed_tail
    except zlib.error:
        raise _damaged(path, "its compressed voxels are damaged") from None
    return total


def _damaged(path: Path, what: str) -> BadAnnotation:
    return BadAnnotation(f"'{path.name}' cannot be read as a segmentation: {what}; export it again as .seg.nrrd.")

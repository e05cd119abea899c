"""How payload bytes are packed: raw, zlib, and zstd where this Python has it. Unpacking is always bounded.

zlib is the common ground. zstd (``zstandard`` from PyPI) is three to ten times faster on images and is used
only when both ends list it in ``BackendInfo.encodings``.
"""

from __future__ import annotations

import importlib.util
import io
import zlib
from typing import Any

from slicer_kdseg.protocol.errors import BadFrame

COMPRESSORS: tuple[str, ...] = ("zlib", "zstd") if importlib.util.find_spec("zstandard") else ("zlib",)
ENCODINGS: tuple[str, ...] = ("raw", "rle", *COMPRESSORS, *(f"rle+{name}" for name in COMPRESSORS))


def parts(encoding: str) -> tuple[bool, str]:
    """(run lengths?, compressor or '') of one of ``ENCODINGS``."""
    packing, _, compressor = encoding.rpartition("+")
    if compressor in COMPRESSORS:
        return packing == "rle", compressor
    return compressor == "rle", ""


def compress(data: bytes | memoryview, compressor: str) -> bytes:
    if compressor == "zlib":
        return zlib.compress(data, 1)
    if compressor == "zstd" and "zstd" in COMPRESSORS:
        return bytes(_zstandard().ZstdCompressor(level=1).compress(data))
    raise BadFrame(f"This end cannot write '{compressor}'; it has {', '.join(COMPRESSORS)}.")


def decompress(data: bytes | memoryview, compressor: str, size: int) -> bytes:
    """Exactly ``size`` bytes, or :class:`BadFrame`; never holds more than ``size`` + 1 bytes of output."""
    if compressor == "zlib":
        return _inflate(data, size)
    if compressor == "zstd" and "zstd" in COMPRESSORS:
        return _unzstd(data, size)
    raise BadFrame(f"This end cannot read '{compressor}'; it has {', '.join(COMPRESSORS)}.")


def _inflate(data: bytes | memoryview, size: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise BadFrame(f"The compressed payload is damaged ({error}); send the frame again.") from error
    if len(content) != size or not inflater.eof or inflater.unused_data:
        raise BadFrame(f"The payload does not unpack to exactly {size} bytes; send the frame again.")
    return content


def _unzstd(data: bytes | memoryview, size: int) -> bytes:
    zstandard = _zstandard()
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as reader:
            content = bytes(reader.read(size + 1))
    except zstandard.ZstdError as error:
        raise BadFrame(f"The compressed payload is damaged ({error}); send the frame again.") from error
    if len(content) != size:
        raise BadFrame(f"The payload does not unpack to exactly {size} bytes; send the frame again.")
    return content


def _zstandard() -> Any:
    import zstandard

    return zstandard

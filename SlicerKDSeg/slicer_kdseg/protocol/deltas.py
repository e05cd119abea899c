"""What changed from one label map to the next, small enough to travel on every preview.

    before, after  --changes()-->  LabelChanges  --encode_changes()-->  bytes
    bytes  --decode_changes()-->  LabelChanges  --apply()-->  `before` has become `after`, in place

Only voxels that differ travel, as runs along the last array axis of one new value each. The payload of a
``changes`` frame is three arrays, one behind the other, each in the smallest unsigned type that fits:

    gaps     voxels between the end of the run before (or voxel 0) and the start of this run
    lengths  voxels of this run
    values   the new class id, uint8

Finding the changes reads both arrays once (a known box skips what lies outside it); everything after that
costs in proportion to what changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from slicer_kdseg.protocol.codecs import compress, decompress
from slicer_kdseg.protocol.errors import BadFrame
from slicer_kdseg.protocol.header import MAX_ARRAY_BYTES, Header, headers, pack
from slicer_kdseg.protocol.runs import differing

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
_COUNTS = ("uint8", "uint16", "uint32")


@dataclass(frozen=True)
class LabelChanges:
    """Runs of changed voxels of a (D, H, W) uint8 label map; ``starts`` are flat positions, ascending."""

    shape: tuple[int, int, int]
    starts: np.ndarray
    lengths: np.ndarray
    values: np.ndarray

    @property
    def voxels(self) -> int:
        """How many voxels change."""
        return int(self.lengths.sum())

    @property
    def box(self) -> Box | None:
        """The smallest half-open box ((z0, z1), (y0, y1), (x0, x1)) around all changes, None without any."""
        if self.starts.size == 0:
            return None
        _, height, width = self.shape
        first_row, first_x = np.divmod(self.starts, width)
        last_row, last_x = np.divmod(self.starts + self.lengths - 1, width)
        wraps = bool((first_row != last_row).any())
        x = (0, width) if wraps else (int(first_x.min()), int(last_x.max()) + 1)
        z = (int(first_row[0]) // height, int(last_row[-1]) // height + 1)
        rows = np.concatenate((first_row, last_row)) % height
        crosses = bool((first_row // height != last_row // height).any())
        y = (0, height) if crosses else (int(rows.min()), int(rows.max()) + 1)
        return z, y, x

    def apply(self, target: np.ndarray) -> None:
        """Write the changes into ``target`` (D, H, W) uint8, in place; no other voxel is touched."""
        if target.shape != self.shape or target.dtype != np.uint8:
            found = f"{target.shape} of {target.dtype}"
            raise BadFrame(f"These changes belong to a label map {self.shape} of uint8, got {found}; fetch it whole.")
        positions, values = self.starts, self.values
        if self.voxels != self.starts.size:
            before = np.cumsum(self.lengths) - self.lengths
            positions = np.repeat(self.starts - before, self.lengths) + np.arange(self.voxels)
            values = np.repeat(self.values, self.lengths)
        if target.flags.c_contiguous:
            target.reshape(-1)[positions] = values
        else:
            target[np.unravel_index(positions, self.shape)] = values


def changes(before: np.ndarray, after: np.ndarray, box: Box | None = None) -> LabelChanges:
    """What turns ``before`` into ``after``, both (D, H, W) uint8; ``box`` says that nothing changed outside it."""
    if before.shape != after.shape or before.ndim != 3 or before.dtype != np.uint8 or after.dtype != np.uint8:
        raise BadFrame(
            f"Label maps must be (D, H, W) uint8 of one shape, got {before.shape} {before.dtype} "
            f"and {after.shape} {after.dtype}."
        )
    shape = (after.shape[0], after.shape[1], after.shape[2])
    if box is not None:
        inside = tuple(slice(*side) for side in box)
        old, new = np.ascontiguousarray(before[inside]), np.ascontiguousarray(after[inside])
    else:
        old, new = np.ascontiguousarray(before), np.ascontiguousarray(after)
    flat = new.reshape(-1)
    positions = differing(old.reshape(-1), flat)
    values = flat[positions]
    if box is not None:
        corner = np.array([side[0] for side in box])
        z, y, x = (index + start for index, start in zip(np.unravel_index(positions, new.shape), corner, strict=True))
        positions = (z * shape[1] + y) * shape[2] + x
    if positions.size == 0:
        return LabelChanges(shape, positions, positions, values)
    breaks = np.flatnonzero((np.diff(positions) != 1) | (values[1:] != values[:-1])) + 1
    firsts = np.concatenate(([0], breaks))
    return LabelChanges(shape, positions[firsts], np.diff(firsts, append=positions.size), values[firsts])


def encode_changes(update: LabelChanges, compressor: str = "", about: dict[str, Any] | None = None) -> bytes:
    """``update`` as one frame; ``compressor`` '' on a local link, 'zlib' on a slow one; ``about`` joins its extra."""
    ends = update.starts + update.lengths
    gaps = _smallest(update.starts - np.concatenate(([0], ends[:-1]))[: update.starts.size])
    lengths = _smallest(update.lengths)
    payload = gaps.tobytes() + lengths.tobytes() + update.values.tobytes()
    if compressor:
        payload = compress(payload, compressor)
    extra = {**(about or {}), "gaps": gaps.dtype.name, "lengths": lengths.dtype.name}
    encoding = compressor or "raw"
    return pack("changes", "uint8", update.shape, None, encoding, payload, update.starts.size, extra)


def decode_changes(data: bytes | memoryview, max_bytes: int = MAX_ARRAY_BYTES) -> LabelChanges:
    """The changes in ``data``, every position inside the shape. Raises :class:`BadFrame`."""
    return changes_of(headers(data, 1, max_bytes)[0], data)


def changes_of(header: Header, data: bytes | memoryview) -> LabelChanges:
    """The changes behind one ``header`` of a body. Raises :class:`BadFrame`."""
    gap_type, length_type = header.extra.get("gaps"), header.extra.get("lengths")
    packed_as = header.encoding
    if header.kind != "changes" or gap_type not in _COUNTS or length_type not in _COUNTS or "rle" in packed_as:
        raise BadFrame(f"This frame of kind '{header.kind}' does not hold label changes; fetch the label map whole.")
    runs = header.runs
    widths = np.dtype(gap_type).itemsize, np.dtype(length_type).itemsize
    size = runs * (sum(widths) + 1)
    content: bytes | memoryview = memoryview(data)[header.start : header.end]
    if packed_as != "raw":
        content = decompress(content, packed_as, size)
    elif len(content) != size:
        raise BadFrame(f"The payload has {len(content)} bytes, its header stands for {size}; send the frame again.")
    gaps = np.frombuffer(content, np.dtype(gap_type).newbyteorder("<"), runs).astype(np.int64)
    lengths = np.frombuffer(content[runs * widths[0] :], np.dtype(length_type).newbyteorder("<"), runs)
    lengths = lengths.astype(np.int64)
    values = np.frombuffer(content[runs * sum(widths) :], np.uint8, runs)
    ends = np.cumsum(gaps + lengths)  # at most voxels * 2**33 in sum: no overflow of int64 below MAX_ARRAY_BYTES
    if runs and (ends[-1] > header.voxels or lengths.min() < 1):
        raise BadFrame(f"The changes leave the label map of {header.voxels} voxels; fetch it whole.")
    return LabelChanges(header.shape, ends - lengths, lengths, values)


def _smallest(counts: np.ndarray) -> np.ndarray:
    highest = int(counts.max(initial=0))
    kind = next(name for name in _COUNTS if highest <= np.iinfo(name).max)
    return counts.astype(np.dtype(kind).newbyteorder("<"))

"""DICOM files judged by their headers before anything reads their voxels: one series of one volume, and no lies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from slicer_kdseg.browser.stopping import Stopped
from slicer_kdseg.protocol.checks import check_fits_memory
from slicer_kdseg.protocol.errors import BadImage

NEEDED = ("Rows", "Columns", "BitsAllocated", "SeriesInstanceUID", "ImagePositionPatient", "ImageOrientationPatient")
MOST_SIDE = 16_384
GAP_TOLERANCE = 0.25  # of a slice's thickness
LONGEST_VALUE_BYTES = 1 << 20  # what is longer is only looked up, never loaded
TURNED = 1e-3


@dataclass(frozen=True)
class Series:
    """The slices of one series in the order in which they lie."""

    name: str
    files: tuple[Path, ...]


def looks_like_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_series(files: Iterable[Path], stopped: Callable[[], bool]) -> list[Series]:
    """Every series of images among ``files``, the largest first.

    Raises :class:`BadImage`, :class:`TooLarge`, or :class:`Stopped` once ``stopped()`` is true.
    """
    found: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for path in files:
        if stopped():
            raise Stopped()
        header = _header(path)
        if "PixelData" in header or "Rows" in header:  # else a DICOMDIR, a report
            _judge_one(path, header)
            found[str(header.SeriesInstanceUID)].append((path, header))
    if not found:
        raise BadImage("These DICOM files hold no image; choose the files of one image series.")
    series = [_ordered(slices) for slices in found.values()]
    return sorted(series, key=lambda one: -len(one.files))


def _header(path: Path) -> Any:
    try:
        return pydicom.dcmread(path, defer_size=LONGEST_VALUE_BYTES)
    except (InvalidDicomError, OSError, ValueError, EOFError, AttributeError, KeyError, NotImplementedError):
        raise BadImage(f"'{path.name}' is no whole DICOM file; export the series again.") from None


def _judge_one(path: Path, header: Any) -> None:
    missing = [name for name in NEEDED if header.get(name) is None]
    if missing:
        raise BadImage(f"'{path.name}' lacks {', '.join(missing)}; only slices of an image series can be opened.")
    try:
        rows, columns, bits = int(header.Rows), int(header.Columns), int(header.BitsAllocated)
        position = np.array(header.ImagePositionPatient, float)
        axes = np.array(header.ImageOrientationPatient, float)
        spacing = np.array(header.get("PixelSpacing", [0, 0]), float)
        frames, samples = int(header.get("NumberOfFrames", 1) or 1), int(header.get("SamplesPerPixel", 1) or 1)
    except (TypeError, ValueError):
        raise BadImage(f"The header of '{path.name}' holds values that are no numbers; export it again.") from None
    if samples != 1 or frames != 1:
        raise BadImage(f"'{path.name}' holds colour or several frames; only series of single grey slices are read.")
    if not (0 < rows <= MOST_SIDE and 0 < columns <= MOST_SIDE) or bits not in (8, 16, 32):
        raise BadImage(f"'{path.name}' announces {columns} x {rows} pixels of {bits} bits, which no image has.")
    good = position.shape == (3,) and axes.shape == (6,) and spacing.shape == (2,) and (spacing > 0).all()
    if not good or not np.isfinite([*position, *axes, *spacing]).all():
        raise BadImage(f"'{path.name}' does not say where its pixels lie; export the series again.")
    _judge_pixels(path, header, rows * columns * bits // 8)


def _judge_pixels(path: Path, header: Any, expected: int) -> None:
    """Pixels that are not compressed have to be as many as the header says, and no file is shorter than it says."""
    element = header.get("PixelData")
    if element is None and "PixelData" not in header:
        raise BadImage(f"'{path.name}' holds no pixels; export the series again.")
    try:
        length = len(header.PixelData)
    except (OSError, ValueError, EOFError, TypeError):
        length = 0
    if header.file_meta.TransferSyntaxUID.is_compressed:
        if not length:
            raise BadImage(f"'{path.name}' is cut off; export the series again.")
    elif length < expected:
        raise BadImage(f"'{path.name}' holds {length} of the {expected} bytes of pixels that it announces.")


def _ordered(slices: list[tuple[Path, Any]]) -> Series:
    first = slices[0][1]
    name = str(first.get("SeriesDescription", "") or f"series {first.get('SeriesNumber', '')}".strip())
    axes = np.array(first.ImageOrientationPatient, float)
    for path, header in slices:
        same = (header.Rows, header.Columns) == (first.Rows, first.Columns)
        if not same or np.abs(np.array(header.ImageOrientationPatient, float) - axes).max() > TURNED:
            raise BadImage(f"The slices of '{name}' differ in size or direction ('{path.name}'); choose one series.")
    check_fits_memory((len(slices), int(first.Rows), int(first.Columns)))
    normal = np.cross(axes[:3], axes[3:])
    places = np.array([float(normal @ np.array(header.ImagePositionPatient, float)) for _, header in slices])
    order = np.argsort(places)
    steps = np.diff(places[order])
    if steps.size and (steps < 1e-4).any():
        raise BadImage(f"Two slices of '{name}' lie in one place; choose the files of one volume.")
    if steps.size and np.abs(steps - np.median(steps)).max() > GAP_TOLERANCE * float(np.median(steps)):
        raise BadImage(f"Slices of '{name}' are missing: the steps between them differ; choose all of its files.")
    return Series(name or "series", tuple(slices[n][0] for n in order))

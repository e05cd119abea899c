"""What makes an image or an annotation unfit for training, said in one sentence, or a file's name unsafe. Pure numpy.

The scene asks before a byte leaves, the command line before it starts, the backend before it stores:
all of them here. Arrays are (D, H, W); affines are 4 x 4, index (i, j, k) to RAS mm.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path, PurePosixPath

import numpy as np

from slicer_kdseg.protocol.errors import BadAnnotation, BadImage, TooLarge
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelContract
from slicer_kdseg.protocol.messages import AnnotationKind
from slicer_kdseg.protocol.words import tr as _

MIN_SIDE_VOXELS = 16
# Image in float32, labels, grow-cut, preview and uncertainty, and the working copies of a step.
BYTES_PER_VOXEL = 24
AFFINE_TOLERANCE_MM = 1e-2


def check_image(array: np.ndarray, affine: np.ndarray | None = None) -> None:
    """Raises :class:`BadImage`. One slice (1, H, W) is an image; colour and time series are not."""
    check_image_shape(array.shape)
    if array.dtype == np.uint8 and array.shape[2] in (3, 4) and min(array.shape[:2]) >= MIN_SIDE_VOXELS:
        raise BadImage(
            _("The image of shape {shape} looks like a colour slice; convert it to one grey channel.").format(
                shape=array.shape
            )
        )
    if array.dtype.kind not in "uif":
        raise BadImage(
            _("The image holds values of type {dtype}; convert it to integers or floats.").format(dtype=array.dtype)
        )
    if array.dtype.kind == "f":
        bad = int(array.size - np.count_nonzero(np.isfinite(array)))
        if bad:
            raise BadImage(
                _("The image has {bad} voxels that are NaN or infinite; replace them, for instance by 0.").format(
                    bad=bad
                )
            )
    low, high = array.min(), array.max()
    if low == high:
        raise BadImage(
            _("The image is constant (every voxel is {low}); there is nothing to learn from.").format(low=low)
        )
    if affine is not None:
        check_affine(affine)


def check_image_shape(shape: tuple[int, ...]) -> None:
    """Raises :class:`BadImage` unless ``shape`` is one scalar volume or slice that is large enough."""
    if len(shape) == 4:
        raise BadImage(
            _("The image has four axes {shape}: a colour image or a time series; pick one channel or one time.").format(
                shape=tuple(shape)
            )
        )
    if len(shape) != 3:
        raise BadImage(
            _("The image must have three axes (D, H, W), one slice as (1, H, W); got shape {shape}.").format(
                shape=tuple(shape)
            )
        )
    if min(shape) == 0:
        raise BadImage(_("The image is empty: its shape is {shape}; load it again.").format(shape=tuple(shape)))
    large = sorted(shape)[1:]  # the slice direction may be thin, down to one slice
    if large[0] < MIN_SIDE_VOXELS:
        raise BadImage(
            _("The image of shape {shape} is too small: a slice needs at least {least} x {least} voxels.").format(
                shape=tuple(shape), least=MIN_SIDE_VOXELS
            )
        )


def check_affine(affine: np.ndarray) -> None:
    """Raises :class:`BadImage` unless ``affine`` maps a volume with a volume: 4 x 4, finite, not singular."""
    if affine.shape != (4, 4):
        raise BadImage(_("The affine must be 4 x 4 (index to RAS mm), got shape {shape}.").format(shape=affine.shape))
    if not np.isfinite(affine).all() or not np.array_equal(affine[3], (0, 0, 0, 1)):
        raise BadImage(_("The affine must be finite and end with the row 0 0 0 1; check the image's geometry."))
    if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise BadImage(
            _("The affine is singular: two image axes coincide or a spacing is 0; check the image's geometry.")
        )


def check_fits_memory(shape: tuple[int, ...], available_bytes: int | None = None) -> None:
    """Raises :class:`TooLarge` if training on ``shape`` needs more memory than is free."""
    free = available_memory_bytes() if available_bytes is None else available_bytes
    needed = BYTES_PER_VOXEL * int(np.prod([int(side) for side in shape], dtype=object))
    if free is not None and needed > free:
        raise TooLarge(
            _(
                "The image of shape {shape} needs about {needed:.1f} GB to train on and {free:.1f}"
                " GB are free; crop it, resample it, or use a machine with more memory."
            ).format(shape=tuple(shape), needed=needed / 2**30, free=free / 2**30)
        )


def check_same_geometry(
    image_shape: tuple[int, ...],
    image_affine: np.ndarray | None,
    labels_shape: tuple[int, ...],
    labels_affine: np.ndarray | None,
) -> None:
    """Raises :class:`BadAnnotation` naming both geometries; a missing affine is not compared."""
    if tuple(image_shape) != tuple(labels_shape):
        raise BadAnnotation(
            _(
                "The annotation has shape {labels_shape}, the image {image_shape}; resample the annotation to"
                " the image's grid."
            ).format(labels_shape=tuple(labels_shape), image_shape=tuple(image_shape))
        )
    if image_affine is None or labels_affine is None:
        return
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
    corners[:, :3] *= np.array(image_shape[::-1]) - 1
    apart = float(np.abs(corners @ (image_affine - labels_affine).T).max())
    if apart > AFFINE_TOLERANCE_MM:
        raise BadAnnotation(
            _(
                "The annotation lies up to {apart:.3g} mm beside the image: its affine is {labels_affine}, the"
                " image's {image_affine}; resample the annotation to the image's grid."
            ).format(apart=apart, labels_affine=_rows(labels_affine), image_affine=_rows(image_affine))
        )


def check_annotation(labels: np.ndarray, contract: LabelContract, kind: AnnotationKind, complete: bool = True) -> None:
    """Raises :class:`BadAnnotation`; with ``complete`` every class and the background must have been spoken about.

    A correction of one case among several need not hold every class: pass ``complete=False``.
    """
    if labels.dtype != np.uint8:
        raise BadAnnotation(
            _("Labels must be uint8 with {unlabelled} = unlabelled, got {dtype}; convert them.").format(
                unlabelled=UNLABELLED, dtype=labels.dtype
            )
        )
    counts = np.bincount(labels.reshape(-1), minlength=256)
    found = [int(id_) for id_ in np.flatnonzero(counts) if id_ != UNLABELLED]
    strangers = [id_ for id_ in found if id_ not in contract.ids]
    if strangers:
        raise BadAnnotation(
            _(
                "The annotation holds the values {strangers}, which no class has; the classes are {names}"
                " and {unlabelled} is unlabelled."
            ).format(strangers=strangers, names=_names(contract, contract.ids), unlabelled=UNLABELLED)
        )
    what = "strokes" if kind == "scribble" else "labels"
    if not found:
        raise BadAnnotation(
            _("The annotation is empty: there are no {what}; draw some for every class and the background.").format(
                what=what
            )
        )
    if complete:
        check_classes_present(found, contract, kind)


def check_classes_present(found: list[int], contract: LabelContract, kind: AnnotationKind) -> None:
    """Raises :class:`BadAnnotation` naming the classes of the contract that no annotation of a job holds."""
    missing = [label.id for label in contract.foreground if label.id not in found]
    if missing:
        if kind == "scribble":
            sentence = _("{names} has no voxel in the annotation; draw at least one stroke for each.")
        else:
            sentence = _("{names} has no voxel in the annotation; label it, or remove it from the classes.")
        raise BadAnnotation(sentence.format(names=_names(contract, tuple(missing))))
    if BACKGROUND not in found:
        raise BadAnnotation(
            _("The background has no stroke; draw one outside every class, or let KDSeg add automatic background.")
        )
    if len(set(found)) < 2:
        raise BadAnnotation(_("Only one class has been drawn; draw at least one stroke of a second class."))


def leads_outside(name: str) -> bool:
    """Whether a file's ``name`` in an archive, a scene or a model means a place that is not below its folder."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or ":" in name or "\\" in name


def available_memory_bytes() -> int | None:
    """Memory that can be taken without swapping; None where the system does not say."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return _windows_available_bytes()
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _windows_available_bytes() -> int | None:
    fields = ("length", "load", "total", "available", "a", "b", "c", "d", "e")
    kinds = [ctypes.c_ulong if name in ("length", "load") else ctypes.c_ulonglong for name in fields]
    status = type("Status", (ctypes.Structure,), {"_fields_": list(zip(fields, kinds, strict=True))})()
    status.length = ctypes.sizeof(status)
    filled = getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # noqa: B009
    return int(status.available) if filled else None


def _names(contract: LabelContract, ids: tuple[int, ...]) -> str:
    return ", ".join(f"'{contract.by_id(id_).name}' ({id_})" for id_ in ids)


def _rows(affine: np.ndarray) -> str:
    return "[" + "; ".join(" ".join(f"{value:.4g}" for value in row) for row in affine[:3]) + "]"

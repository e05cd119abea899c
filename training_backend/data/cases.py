"""Image and label files as arrays with an affine; beside the scene's ``geometry.py`` the one place that knows frames.

Arrays are (D, H, W). An affine maps the voxel (i, j, k, 1), with i along W, j along H and k along D,
to millimetres in RAS. ITK files are (i, j, k) in LPS: both turns happen here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from slicer_kdseg.protocol.checks import check_fits_memory, check_image
from slicer_kdseg.protocol.errors import BadAnnotation, BadImage, KDSegError, OutOfSpace
from slicer_kdseg.protocol.labels import UNLABELLED
from training_backend.data.nifti import fault

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
STRAIGHT = 0.9
SUFFIXES = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".nhdr")


@dataclass(frozen=True)
class Volume:
    """One file: voxels (D, H, W), where they lie, and the header's own key-value pairs."""

    array: np.ndarray
    affine: np.ndarray
    header: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One patient's image (D, H, W) float32 with what is known about it, all on one grid.

    ``scribbles`` and ``labels`` are (D, H, W) uint8 of class ids, ``UNLABELLED`` where nobody has
    spoken; a case without either takes part as unlabelled.
    """

    name: str
    image: np.ndarray
    affine: np.ndarray
    scribbles: np.ndarray | None = None
    labels: np.ndarray | None = None
    path: Path | None = None

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        return spacing_mm(self.affine)


def spacing_mm(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel size along the array's axes (D, H, W)."""
    i, j, k = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return k, j, i


def as_read(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A view of ``array`` (D, H, W) turned as radiologists look at it, whatever the file's own axes.

    Slices run from feet to head, rows from front to back, columns from the patient's right to the left.
    """
    order, signs = _nearest_axes(affine)
    turned = array.transpose(order)
    return turned[tuple(slice(None, None, sign) for sign in signs)]


def as_read_spacing_mm(affine: np.ndarray) -> tuple[float, float, float]:
    order, _ = _nearest_axes(affine)
    steps = spacing_mm(affine)
    return steps[order[0]], steps[order[1]], steps[order[2]]


def turned_like(
    arrays: Sequence[np.ndarray], affine: np.ndarray, like: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Arrays (D, H, W) of one grid with their axes running as those of ``like`` do, and the affine that goes with it.

    Where the axes of either lie more than 25 degrees off the body's, as in cardiac views, it is not known which
    belong together: the arrays come back as they are.
    """
    if min(_straightness(affine), _straightness(like)) < STRAIGHT:
        return list(arrays), affine
    (order, signs), (wanted, wanted_signs) = _nearest_axes(affine), _nearest_axes(like)
    steps = [sign * other for sign, other in zip(signs, wanted_signs, strict=True)]
    from_new = np.zeros((4, 4))
    from_new[3, 3] = 1.0
    for own, new, step in zip(order, wanted, steps, strict=True):
        from_new[2 - own, 2 - new] = step
        from_new[2 - own, 3] = arrays[0].shape[own] - 1 if step < 0 else 0
    turned = []
    for array in arrays:
        flipped = array.transpose(order)[tuple(slice(None, None, step) for step in steps)]
        turned.append(np.ascontiguousarray(flipped.transpose(np.argsort(wanted))))
    return turned, affine @ from_new


def _straightness(affine: np.ndarray) -> float:
    """Least cosine between an axis of the grid and the body's axis nearest to it."""
    cosines = np.abs(affine[:3, :3]) / np.linalg.norm(affine[:3, :3], axis=0)
    return float(cosines.max(axis=0).min())


def _nearest_axes(affine: np.ndarray) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Which array axis runs along S, A and R, and the step that makes each run up, back and left."""
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    free = {0, 1, 2}
    found = {}
    for world in (2, 1, 0):
        column = max(free, key=lambda c: abs(cosines[world, c]))
        free.remove(column)
        found[world] = (2 - column, 1 if cosines[world, column] > 0 else -1)
    (s, up), (a, front), (r, right) = found[2], found[1], found[0]
    return (s, a, r), (up, -front, -right)


def stem(path: Path) -> str:
    """The file name without its image suffix, so that ``a.nii.gz`` and ``a.seg.nrrd`` belong together."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem


def image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.lower().endswith(SUFFIXES))


def check_file(path: Path) -> None:
    """Raises :class:`BadImage` for what is no file, or neither NIfTI nor NRRD by its name."""
    check_name(path)
    if not path.is_file():
        raise BadImage(f"There is no file '{path}'; check the path.")
    if not path.name.lower().endswith(SUFFIXES):
        raise BadImage(f"'{path.name}' is neither NIfTI nor NRRD; convert it to one of {', '.join(SUFFIXES)}.")


def check_name(path: Path) -> None:
    """ITK ends the process on a path that is not UTF-8. Raises :class:`BadImage`."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise BadImage(f"The path {str(path)!r} is not written in UTF-8; rename it.") from None


def read_image(path: Path) -> Volume:
    """An image as float32. Raises :class:`BadImage` with a sentence that names the file."""
    volume = _read(path)
    with _named(path):
        check_image(volume.array, volume.affine)
    return Volume(np.ascontiguousarray(volume.array, np.float32), volume.affine, volume.header)


def read_labels(path: Path) -> Volume:
    """A label map as uint8 with the file's own values. Raises :class:`BadAnnotation` if they are no label values."""
    volume = _read(path)
    rounded = np.rint(volume.array)
    if volume.array.dtype.kind not in "iu" and not np.array_equal(rounded, volume.array):
        raise BadAnnotation(f"'{path.name}' holds fractions or NaN, not label values; save it as a label map.")
    if rounded.min() < 0 or rounded.max() > UNLABELLED:
        found = f"{int(rounded.min())}..{int(rounded.max())}"
        raise BadAnnotation(f"'{path.name}' holds label values {found}; label values lie in 0..{UNLABELLED}.")
    return Volume(np.ascontiguousarray(rounded, np.uint8), volume.affine, volume.header)


def write_labels(path: Path, labels: np.ndarray, like: Path, header: dict[str, str] | None = None) -> None:
    """Write labels (D, H, W) uint8 with the geometry of the file ``like``, its number of axes included.

    Raises :class:`OutOfSpace` when the file cannot be written.
    """
    check_name(path)
    reader = _information(like)
    image = sitk.GetImageFromArray(np.ascontiguousarray(labels, np.uint8))
    axes = reader.GetDimension()
    if axes == 2:
        image = image[:, :, 0]
    image.SetSpacing(reader.GetSpacing()[: min(axes, 3)])
    image.SetOrigin(reader.GetOrigin()[: min(axes, 3)])
    direction = np.asarray(reader.GetDirection()).reshape(axes, axes)[: min(axes, 3), : min(axes, 3)]
    image.SetDirection(direction.ravel().tolist())
    for key, value in (header or {}).items():
        image.SetMetaData(key, value)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(path), useCompression=True)
    except (OSError, RuntimeError):
        raise OutOfSpace(f"'{path}' could not be written; free some space, or choose another folder.") from None


def write_volume(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write (D, H, W) voxels with a RAS affine of orthogonal axes, left-handed ones included."""
    lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), useCompression=True)


def on_grid_of(labels: Volume, image: Volume, fill: int, names: tuple[str, str]) -> np.ndarray:
    """``labels`` on the image's grid; a label map that Slicer cropped is put back at its place, ``fill`` around it.

    Raises :class:`BadAnnotation`, naming both files, when the two lie on different grids.
    """
    offset = np.linalg.solve(image.affine[:3, :3], labels.affine[:3, 3] - image.affine[:3, 3])
    start = np.rint(offset).astype(int)[::-1]
    stop = start + labels.array.shape
    same_axes = np.allclose(
        labels.affine[:3, :3], image.affine[:3, :3], rtol=0, atol=1e-3 * min(spacing_mm(image.affine))
    )
    if (
        not same_axes
        or np.abs(offset - np.rint(offset)).max() > 0.01
        or (start < 0).any()
        or (stop > image.array.shape).any()
    ):
        raise BadAnnotation(
            f"'{names[0]}' ({_grid(labels)}) and its image '{names[1]}' ({_grid(image)}) lie on different grids;"
            " draw or resample the labels on the image's own grid."
        )
    if labels.array.shape == image.array.shape:
        return labels.array
    whole = np.full(image.array.shape, fill, np.uint8)
    whole[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = labels.array
    return whole


def _grid(volume: Volume) -> str:
    size = " x ".join(map(str, volume.array.shape[::-1]))
    step = " x ".join(f"{s:.3g}" for s in spacing_mm(volume.affine)[::-1])
    origin = ", ".join(f"{x:.1f}" for x in volume.affine[:3, 3])
    return f"{size} voxels of {step} mm from ({origin})"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors about voxels say which file they are about."""
    try:
        yield
    except KDSegError as error:
        raise type(error)(f"'{path.name}': {error.sentence}") from None


def _information(path: Path) -> sitk.ImageFileReader:
    check_file(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as failure:
        reason = str(failure).strip().splitlines()[-1].split("ERROR:")[-1].strip()
        raise BadImage(f"'{path.name}' cannot be read as NIfTI or NRRD ({reason}); export it again.") from None
    return reader


def _read(path: Path) -> Volume:
    reader = _information(path)
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    if components > 1:
        raise BadImage(
            f"'{path.name}' has {components} values per voxel (colour, vectors or overlapping segments);"
            " give one scalar value per voxel."
        )
    if any(extent > 1 for extent in size[3:]):
        shape = " x ".join(map(str, size))
        raise BadImage(f"'{path.name}' has {len(size)} axes ({shape}); split the series and give one volume a case.")
    with _named(path):
        check_fits_memory(size[:3])
    if wrong := fault(path, math.prod(size)):
        raise BadImage(f"'{path.name}' {wrong}.")
    try:
        image = reader.Execute()
    except RuntimeError:
        raise BadImage(f"'{path.name}' has a header but its voxels cannot be read; it may be cut off.") from None
    while image.GetDimension() > 3:
        image = image[(slice(None),) * (image.GetDimension() - 1) + (0,)]
    array = sitk.GetArrayFromImage(image)
    header = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.startswith("Segment")}
    return Volume(array.reshape((1,) * (3 - array.ndim) + array.shape), _affine(image), header)


def _affine(image: sitk.Image) -> np.ndarray:
    axes = image.GetDimension()
    lps = np.eye(4)
    direction = np.asarray(image.GetDirection()).reshape(axes, axes)
    lps[:axes, :axes] = direction * np.asarray(image.GetSpacing())
    lps[:axes, 3] = image.GetOrigin()
    return LPS_TO_RAS @ lps

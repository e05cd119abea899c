"""Where voxels lie: with the backend's ``data/cases.py`` the only place that knows axis order and frames.

Arrays are (D, H, W). The voxel ``array[k, j, i]`` has the index (i, j, k), and an affine (4, 4) maps
(i, j, k, 1) to millimetres in RAS: column 0 of the affine is one step along W, column 2 one along D.
VTK keeps i fastest, so its buffers become (D, H, W) without a copy. Nothing here assumes right-handed
or orthogonal axes, equal spacing or more than one slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import get_vtk_array_type, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from slicer_kdseg.protocol.errors import BadAnnotation, BadImage
from slicer_kdseg.protocol.words import tr as _

Box = tuple[slice, slice, slice]
LATTICE_TOLERANCE_VOXELS = 0.05  # text headers keep about seven digits


@dataclass(frozen=True, eq=False)
class Grid:
    """The voxels of one volume: ``shape`` (D, H, W) and ``affine`` (4, 4), index (i, j, k) to RAS mm."""

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along the array's axes (D, H, W)."""
        i, j, k = (float(length) for length in np.linalg.norm(self.affine[:3, :3], axis=0))
        return k, j, i

    def fits(self, other: Grid) -> bool:
        """Whether both have the same voxels, up to a hundredth of a millimetre."""
        return self.shape == other.shape and bool(np.allclose(self.affine, other.affine, atol=0.01))

    def to_ras(self, voxels: np.ndarray) -> np.ndarray:
        """Array positions (N, 3) in the order (d, h, w) to RAS mm (N, 3)."""
        ijk = np.atleast_2d(np.asarray(voxels, float))[:, ::-1]
        return ijk @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_voxels(self, ras_mm: np.ndarray) -> np.ndarray:
        """RAS mm (N, 3) to fractional array positions (N, 3) in the order (d, h, w)."""
        offset = np.atleast_2d(np.asarray(ras_mm, float)) - self.affine[:3, 3]
        return np.linalg.solve(self.affine[:3, :3], offset.T).T[:, ::-1]

    def slice_centre_ras(self, axis: int, index: int) -> tuple[float, float, float]:
        """The middle of slice ``index`` along array axis ``axis``: where a view should look."""
        centre = [(extent - 1) / 2 for extent in self.shape]
        centre[axis] = index
        r, a, s = (float(x) for x in self.to_ras(np.array([centre]))[0])
        return r, a, s

    def describe(self) -> str:
        size = " x ".join(map(str, self.shape[::-1]))
        step = " x ".join(f"{s:.3g}" for s in self.spacing_mm[::-1])
        origin = ", ".join(f"{x:.1f}" for x in self.affine[:3, 3])
        return f"{size} voxels of {step} mm from ({origin})"


def array_of_volume(volume: Any) -> np.ndarray:
    """The node's own voxels (D, H, W), not a copy. Raises :class:`BadImage` unless it is one scalar volume."""
    image = volume.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or image.GetNumberOfPoints() == 0:
        raise BadImage(
            _("The volume '{volume}' holds no voxels; load the image again.").format(volume=volume.GetName())
        )
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise BadImage(
            _(
                "The volume '{volume}' has {components} values per voxel (colour, vectors or a time"
                " series); choose or extract one scalar volume."
            ).format(volume=volume.GetName(), components=components)
        )
    return array_of_image(image)


def grid_of_volume(volume: Any) -> Grid:
    """Where the node's voxels lie, in the node's own frame (a parent transform is not applied)."""
    matrix = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    depth, height, width = array_of_volume(volume).shape
    return Grid((depth, height, width), _array_of_matrix(matrix))


def array_of_image(image: vtkImageData) -> np.ndarray:
    """The image's own voxels (D, H, W), not a copy."""
    width, height, depth = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(depth, height, width)


def plain_image(array: np.ndarray) -> vtkImageData:
    """A copy of ``array`` (D, H, W) as image data with unit spacing at the origin."""
    image = vtkImageData()
    _allocate(image, (0, 0, 0), array.shape, array.dtype)
    array_of_image(image)[...] = array
    return image


def new_volume(
    scene: Any, name: str, array: np.ndarray, affine: np.ndarray, kind: str = "vtkMRMLScalarVolumeNode"
) -> Any:
    """A volume node with a copy of ``array`` (D, H, W) at ``affine`` (index to RAS mm)."""
    volume = scene.AddNewNodeByClass(kind, name)
    volume.SetIJKToRASMatrix(_matrix_of_array(affine))
    volume.SetAndObserveImageData(plain_image(array))
    volume.CreateDefaultDisplayNodes()
    return volume


def new_labelmap(grid: Grid, box: Box | None = None, dtype: np.dtype | type = np.uint8) -> Any:
    """A zeroed ``vtkOrientedImageData`` over ``box`` of ``grid``, or over all of it."""
    box = box or whole(grid.shape)
    image = slicer.vtkOrientedImageData()
    _allocate(image, tuple(s.start for s in box), tuple(s.stop - s.start for s in box), np.dtype(dtype))
    image.SetImageToWorldMatrix(_matrix_of_array(grid.affine))
    array_of_image(image)[...] = 0
    return image


def whole(shape: tuple[int, ...]) -> Box:
    depth, height, width = shape
    return slice(0, depth), slice(0, height), slice(0, width)


def box_of(mask: np.ndarray) -> Box | None:
    """The smallest box around the true voxels of ``mask`` (D, H, W), or None if there are none."""
    spans = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if hit.size == 0:
            return None
        spans.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return spans[0], spans[1], spans[2]


def voxels_on(image: Any, grid: Grid, names: tuple[str, str]) -> tuple[Box, np.ndarray] | None:
    """The box of ``grid`` that an oriented labelmap covers, and its voxels there as a view in the grid's axes.

    Segmentations are often cropped, and Slicer's reader turns the slices of a left-handed image round but not
    those of its segmentation: both are followed. None if the two do not meet. Anything that would need
    resampling raises :class:`BadAnnotation`, naming (labels, image).
    """
    own, array = grid_of_image(image), array_of_image(image)
    turn = np.linalg.solve(grid.affine[:3, :3], own.affine[:3, :3])[::-1, ::-1]  # own (d, h, w) to grid (d, h, w)
    axes = np.rint(turn)
    ends = grid.to_voxels(own.to_ras(np.array([[0, 0, 0], np.array(own.shape) - 1])))
    first = np.rint(ends.min(axis=0)).astype(int)
    permutes = (np.abs(axes).sum(axis=0) == 1).all() and (np.abs(axes).sum(axis=1) == 1).all()
    if not permutes or max(np.abs(turn - axes).max(), np.abs(ends - np.rint(ends)).max()) > LATTICE_TOLERANCE_VOXELS:
        raise BadAnnotation(
            _(
                "The labels '{labels}' ({labels_grid}) and the image '{image}' ({image_grid}) lie"
                " on different grids; draw on this image, or resample the labels to it first."
            ).format(labels=names[0], labels_grid=own.describe(), image=names[1], image_grid=grid.describe())
        )
    array = array.transpose([int(source) for source in np.abs(axes).argmax(axis=1)])
    array = np.flip(array, tuple(axis for axis in range(3) if axes[axis].sum() < 0))
    low, high = np.maximum(first, 0), np.minimum(first + array.shape, grid.shape)
    if (low >= high).any():
        return None
    depth, height, width = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    inside = tuple(slice(int(a), int(b)) for a, b in zip(low - first, high - first, strict=True))
    return (depth, height, width), array[inside]


def grid_of_image(image: Any) -> Grid:
    """Where an oriented labelmap's array lies: voxel (0, 0, 0) of the array is the corner of its extent."""
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = _array_of_matrix(matrix)
    x, _, y, _, z, _ = image.GetExtent()
    affine[:3, 3] += affine[:3, :3] @ np.array([x, y, z], float)
    width, height, depth = image.GetDimensions()
    return Grid((depth, height, width), affine)


def reference_grid(segmentation: Any) -> Grid | None:
    """The voxels of the image that a vtkSegmentation was made for, as its file or its maker has noted them."""
    name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    noted, image = segmentation.GetConversionParameter(name), slicer.vtkOrientedImageData()
    if not noted or not slicer.vtkSegmentationConverter.DeserializeImageGeometry(noted, image, False):
        return None
    return grid_of_image(image)


def _allocate(image: vtkImageData, start: tuple[int, ...], shape: tuple[int, ...], dtype: np.dtype) -> None:
    (z, y, x), (depth, height, width) = start, shape
    image.SetExtent(x, x + width - 1, y, y + height - 1, z, z + depth - 1)
    image.AllocateScalars(get_vtk_array_type(dtype), 1)


def _array_of_matrix(matrix: vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def _matrix_of_array(affine: np.ndarray) -> vtkMatrix4x4:
    if np.shape(affine) != (4, 4):
        raise BadImage(f"An affine must be 4 x 4, got {np.shape(affine)}.")
    matrix = vtkMatrix4x4()
    matrix.DeepCopy([float(x) for x in np.asarray(affine).ravel()])
    return matrix

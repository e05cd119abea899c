"""The same image and labels through NRRD, NIfTI and MRML: identical voxels and world positions."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from slicer_kdseg.headless.boot import HeadlessSlicer
from slicer_kdseg.headless.files import load_segmentation, load_volume, save_node, save_scene
from slicer_kdseg.headless.files import open_scene as open_saved_scene
from slicer_kdseg.protocol.errors import BadAnnotation, BadImage
from slicer_kdseg.protocol.labels import UNLABELLED, LabelClass, LabelContract
from slicer_kdseg.scene.annotation import Annotation, new_annotation
from slicer_kdseg.scene.geometry import (
    Grid,
    array_of_image,
    array_of_volume,
    grid_of_volume,
    new_labelmap,
    new_volume,
    voxels_on,
)
from slicer_kdseg.scene.painting import Painter
from training_backend.data.cases import write_volume

TWO_CLASSES = LabelContract((LabelClass(0, "background"), LabelClass(1, "one"), LabelClass(7, "seven")))


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Oblique, left-handed, up to 1:20 anisotropic, down to one slice."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(2, 6), st.integers(2, 7)))
    quaternion = np.add(draw(st.tuples(*[st.floats(-1, 1)] * 4)), (1e-3, 0, 0, 2e-3))
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    flips = draw(st.tuples(*[st.sampled_from((-1, 1))] * 3))
    spacing = (draw(st.floats(0.25, 2)), draw(st.floats(0.25, 2)), draw(st.sampled_from((0.5, 1.0, 5.0))))
    affine = np.eye(4)
    affine[:3, :3] = turn * flips * spacing
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return Grid(shape, affine)


def image_and_labels(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    image = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    labels = np.full(shape, UNLABELLED, np.uint8)
    labels.flat[::3] = 1
    labels.flat[1::5] = 7
    labels.flat[0], labels.flat[-1] = 7, 0
    return image, labels


def positions_by_value(array: np.ndarray, grid: Grid) -> np.ndarray:
    """RAS mm (N, 3) of the voxels of ``array``, ordered by their (distinct) values."""
    voxels = np.array(np.unravel_index(np.argsort(array, axis=None), array.shape)).T
    return grid.to_ras(voxels)


def assert_same(volume: Any, image: np.ndarray, grid: Grid) -> None:
    """The same values at the same places; Slicer may store a left-handed image's slices the other way round."""
    found = array_of_volume(volume)
    assert np.array_equal(np.sort(found, axis=None), np.sort(image, axis=None))
    np.testing.assert_allclose(
        positions_by_value(found, grid_of_volume(volume)), positions_by_value(image, grid), atol=2e-3
    )


def places(mask: np.ndarray, grid: Grid) -> np.ndarray:
    """RAS mm (N, 3) of the true voxels, in the order in which they are stored."""
    return grid.to_ras(np.argwhere(mask))


def itk_positions_by_value(path: Path) -> np.ndarray:
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    voxels = np.array(np.unravel_index(np.argsort(array, axis=None), array.shape)).T
    lps = np.array([image.TransformIndexToPhysicalPoint([int(x) for x in voxel[::-1]]) for voxel in voxels])
    return lps * (-1, -1, 1)


@given(grid=grids(), suffix=st.sampled_from((".nrrd", ".nii.gz")), slicer_wrote=st.booleans())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_image_is_the_same_in_every_format(
    a_slicer: HeadlessSlicer, grid: Grid, suffix: str, slicer_wrote: bool
) -> None:
    image, _ = image_and_labels(grid.shape)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"image{suffix}"
        if slicer_wrote:
            save_node(a_slicer, new_volume(a_slicer.scene, "image", image, grid.affine), path)
        else:
            write_volume(path, image, grid.affine)
        assert_same(load_volume(a_slicer, path), image, grid)
        np.testing.assert_allclose(itk_positions_by_value(path), positions_by_value(image, grid), atol=2e-3)
    a_slicer.scene.Clear(False)


@given(grid=grids())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_strokes_come_back_where_they_were_drawn(a_slicer: HeadlessSlicer, grid: Grid) -> None:
    image, labels = image_and_labels(grid.shape)
    volume = new_volume(a_slicer.scene, "image", image, grid.affine)
    annotation = new_annotation(a_slicer.scene, volume, TWO_CLASSES)
    painter = Painter(a_slicer.scene, annotation)
    painter.paint_labels(labels)
    assert np.array_equal(annotation.read().labels, labels)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "strokes.seg.nrrd"
        save_node(a_slicer, annotation.node, path)
        again = Annotation(volume, load_segmentation(a_slicer, path))
        assert np.array_equal(again.read().labels, labels)
        assert again.contract == annotation.contract
        scene = Path(folder) / "scene.mrb"
        painter.close()
        save_scene(a_slicer, scene)
        open_saved_scene(a_slicer, scene)
        kept = a_slicer.scene.GetFirstNodeByName("image"), a_slicer.scene.GetFirstNodeByName("image annotation")
        assert_same(kept[0], image, grid)
        for id_ in (0, 1, 7):
            found, drawn = (
                places(Annotation(*kept).read().labels == id_, grid_of_volume(kept[0])),
                places(labels == id_, grid),
            )
            assert len(found) == len(drawn)
            assert (cKDTree(found).query(drawn)[0] < 2e-3).all()
            assert (cKDTree(drawn).query(found)[0] < 2e-3).all()
    a_slicer.scene.Clear(False)


def test_world_positions_agree_with_itk(a_slicer: HeadlessSlicer, tmp_path: Path, sample_folder: Path) -> None:
    volume = load_volume(a_slicer, sample_folder / "CTChest4.nrrd")
    itk = sitk.ReadImage(str(sample_folder / "CTChest4.nrrd"))
    left, posterior, superior = itk.TransformIndexToPhysicalPoint((5, 17, 30))
    at = grid_of_volume(volume).to_ras(np.array([[30, 17, 5]]))[0]
    np.testing.assert_allclose(at, (-left, -posterior, superior), atol=1e-4)
    assert array_of_volume(volume)[30, 17, 5] == itk[5, 17, 30]


def test_voxels_and_world_are_inverse() -> None:
    affine = np.array([[0, 0, -5.0, 10], [0.5, 0, 0, -3], [0, 2.0, 0, 7], [0, 0, 0, 1]])
    grid = Grid((3, 4, 5), affine)
    voxels = np.array([[2, 1, 4], [0, 3, 0]])
    np.testing.assert_allclose(grid.to_voxels(grid.to_ras(voxels)), voxels)
    assert grid.spacing_mm == (5.0, 2.0, 0.5)
    assert grid.slice_centre_ras(0, 2) == tuple(grid.to_ras(np.array([[2, 1.5, 2]]))[0])


def test_labels_beside_the_image_are_refused_by_name(a_volume: Any) -> None:
    grid = grid_of_volume(a_volume)
    moved = Grid(grid.shape, grid.affine.copy())
    moved.affine[0, 3] += 0.4
    with pytest.raises(BadAnnotation, match=r"'mine'.*'abdomen'.*different grids"):
        voxels_on(new_labelmap(moved), grid, ("mine", "abdomen"))


def test_a_cropped_labelmap_is_put_at_its_place(a_volume: Any) -> None:
    grid = grid_of_volume(a_volume)
    box = (slice(2, 4), slice(5, 9), slice(7, 20))
    found = voxels_on(new_labelmap(grid, box), grid, ("a", "b"))
    assert found is not None
    assert found[0] == box
    assert found[1].shape == (2, 4, 13)


@given(grid=grids(), order=st.permutations((0, 1, 2)), flips=st.tuples(*[st.booleans()] * 3))
@settings(max_examples=40, deadline=None)
def test_labels_stored_along_other_axes_are_followed(grid: Grid, order: list[int], flips: tuple[bool, ...]) -> None:
    values = np.arange(1, np.prod(grid.shape) + 1, dtype=np.int16).reshape(grid.shape)
    turned = values.transpose(order)
    step = np.zeros((3, 3))
    start = np.zeros(3)
    for axis, source in enumerate(order):
        step[source, axis] = -1 if flips[axis] else 1
        start[source] = grid.shape[source] - 1 if flips[axis] else 0
    turned = np.flip(turned, [axis for axis in range(3) if flips[axis]])
    affine = np.eye(4)
    affine[:3, :3] = grid.affine[:3, :3] @ step[::-1, ::-1]
    affine[:3, 3] = grid.to_ras(start[None])[0]
    image = new_labelmap(Grid(turned.shape, affine), dtype=np.int16)
    array_of_image(image)[...] = turned
    found = voxels_on(image, grid, ("labels", "image"))
    assert found is not None
    assert np.array_equal(found[1], values)


def test_colour_and_empty_volumes_are_refused(a_scene: Any) -> None:
    empty = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(BadImage, match="'nothing' holds no voxels"):
        array_of_volume(empty)
    colour = new_volume(a_scene, "photo", np.zeros((2, 4, 4), np.uint8), np.eye(4))
    colour.GetImageData().AllocateScalars(3, 3)
    with pytest.raises(BadImage, match="'photo' has 3 values per voxel"):
        array_of_volume(colour)

"""Files to arrays and back: geometry kept, bad files refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.errors import BadAnnotation, BadImage, TooLarge
from training_backend.data import cases
from training_backend.data.cases import read_image, read_labels, write_labels, write_volume
from training_backend.data.folder import read_case_folder


def a_rotation(seed: int) -> np.ndarray:
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return rotation


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    spacing=st.tuples(*[st.floats(0.3, 12.0)] * 3),
    flips=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    suffix=st.sampled_from([".nii.gz", ".nrrd"]),
)
def test_voxels_and_world_positions_survive_nifti_and_nrrd(tmp_path_factory, seed, spacing, flips, suffix):
    affine = np.eye(4)
    affine[:3, :3] = a_rotation(seed) * np.asarray(flips) * np.asarray(spacing)
    affine[:3, 3] = np.random.default_rng(seed).uniform(-300, 300, 3)
    array = np.random.default_rng(seed).integers(-1000, 1000, (4, 17, 19)).astype(np.int16)
    path = tmp_path_factory.mktemp("round") / f"image{suffix}"
    write_volume(path, array, affine)
    back = read_image(path)
    np.testing.assert_array_equal(back.array, array)
    np.testing.assert_allclose(back.affine, affine, atol=2e-3)


def test_affine_is_ras_and_the_array_is_slices_rows_columns(tmp_path):
    image = sitk.Image(19, 17, 5, sitk.sitkInt16)
    image.SetPixel(1, 2, 3, 9)
    image.SetSpacing((1.0, 2.0, 4.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    volume = read_image(tmp_path / "a.nrrd")
    assert volume.array.shape == (5, 17, 19)
    assert volume.array[3, 2, 1] == 9
    np.testing.assert_allclose(volume.affine @ [1, 2, 3, 1], [-11.0, -24.0, 42.0, 1.0])
    assert cases.spacing_mm(volume.affine) == (4.0, 2.0, 1.0)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_labels_are_written_in_the_input_geometry(tmp_path, suffix):
    affine = np.diag([-0.7, 0.7, -5.0, 1.0])
    affine[:3, 3] = 11.5, -70.25, 33
    write_volume(tmp_path / f"in{suffix}", np.zeros((3, 20, 18), np.float32), affine)
    labels = np.random.default_rng(0).integers(0, 3, (3, 20, 18)).astype(np.uint8)
    write_labels(tmp_path / f"out{suffix}", labels, like=tmp_path / f"in{suffix}")
    one, other = sitk.ReadImage(str(tmp_path / f"in{suffix}")), sitk.ReadImage(str(tmp_path / f"out{suffix}"))
    assert one.GetSize() == other.GetSize()
    assert one.GetOrigin() == other.GetOrigin()
    assert one.GetSpacing() == other.GetSpacing()
    assert one.GetDirection() == other.GetDirection()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(other), labels)


def test_a_single_2d_slice_is_a_volume_of_depth_one_and_is_written_back_as_2d(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(400, dtype=np.int16).reshape(20, 20)), str(tmp_path / "s.nrrd"))
    volume = read_image(tmp_path / "s.nrrd")
    assert volume.array.shape == (1, 20, 20)
    write_labels(tmp_path / "o.nrrd", np.ones((1, 20, 20), np.uint8), like=tmp_path / "s.nrrd")
    assert sitk.ReadImage(str(tmp_path / "o.nrrd")).GetSize() == (20, 20)


def test_a_4d_series_is_refused_and_a_4d_file_of_one_volume_is_read(tmp_path):
    for length in (1, 2):
        volume = sitk.GetImageFromArray(np.arange(7 * 16 * 18, dtype=np.int16).reshape(7, 16, 18))
        series = sitk.JoinSeries([volume] * length)
        sitk.WriteImage(series, str(tmp_path / f"{length}.nii.gz"))
    assert read_image(tmp_path / "1.nii.gz").array.shape == (7, 16, 18)
    with pytest.raises(BadImage, match="4 axes"):
        read_image(tmp_path / "2.nii.gz")


def test_colour_text_and_missing_files_are_refused(tmp_path):
    sitk.WriteImage(sitk.Image([5, 6, 7], sitk.sitkVectorUInt8, 3), str(tmp_path / "rgb.nrrd"))
    (tmp_path / "text.nii.gz").write_text("no image")
    with pytest.raises(BadImage, match="3 values per voxel"):
        read_image(tmp_path / "rgb.nrrd")
    with pytest.raises(BadImage, match=r"'text\.nii\.gz' cannot be read"):
        read_image(tmp_path / "text.nii.gz")
    with pytest.raises(BadImage, match="no file"):
        read_image(tmp_path / "none.nrrd")


def test_a_file_cut_off_in_its_voxels_is_refused(tmp_path):
    write_volume(tmp_path / "a.nrrd", np.random.default_rng(0).normal(size=(20, 30, 30)), np.eye(4))
    whole = (tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "a.nrrd").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadImage, match="cut off"):
        read_image(tmp_path / "a.nrrd")


def test_an_image_larger_than_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    write_volume(tmp_path / "a.nrrd", np.zeros((20, 30, 30), np.float32), np.eye(4))
    monkeypatch.setattr(checks, "available_memory_bytes", lambda: 1000)
    with pytest.raises(TooLarge, match=r"'a\.nrrd'.*crop it"):
        read_image(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((3, 20, 20), np.nan), "NaN"),
        (np.full((3, 20, 20), 7.0), "constant"),
        (np.random.default_rng(0).normal(size=(3, 8, 20)), "too small"),
    ],
)
def test_images_that_cannot_be_learnt_from_are_refused_by_name(tmp_path, array, words):
    write_volume(tmp_path / "a.nrrd", array.astype(np.float32), np.eye(4))
    with pytest.raises(BadImage, match=rf"'a\.nrrd'.*{words}"):
        read_image(tmp_path / "a.nrrd")


def test_one_to_twenty_anisotropy_is_an_image(tmp_path):
    write_volume(tmp_path / "a.nrrd", np.random.default_rng(0).normal(size=(3, 20, 20)), np.diag([0.5, 0.5, 10.0, 1]))
    assert read_image(tmp_path / "a.nrrd").array.shape == (3, 20, 20)


def test_fractions_are_no_labels(tmp_path):
    write_volume(tmp_path / "a.nrrd", np.full((3, 4, 5), 0.5, np.float32), np.eye(4))
    with pytest.raises(BadAnnotation, match="fractions"):
        read_labels(tmp_path / "a.nrrd")


def a_folder(root: Path, scribbles: np.ndarray, affine: np.ndarray | None = None, book: dict | None = None) -> Path:
    write_volume(root / "images" / "anna.nii.gz", np.random.default_rng(0).normal(size=(3, 20, 20)), np.eye(4))
    write_volume(root / "images" / "ben.nii.gz", np.random.default_rng(1).normal(size=(3, 20, 20)), np.eye(4))
    write_volume(root / "scribbles" / "anna.nii.gz", scribbles, np.eye(4) if affine is None else affine)
    if book is not None:
        (root / "labels.json").write_text(json.dumps(book))
    return root


def some_scribbles(unlabelled: int = 4) -> np.ndarray:
    strokes = np.full((3, 20, 20), unlabelled, np.uint8)
    strokes[:, 2, 2:8], strokes[:, 10, 2:8], strokes[:, 15, 2:8] = 0, 1, 2
    return strokes


BOOK = {"classes": {"1": {"name": "liver", "color": "#ff0000"}, "2": {"name": "spleen"}}, "unlabelled": 4}


def test_a_case_folder_gives_contract_scribbles_and_unlabelled_cases(tmp_path):
    folder = read_case_folder(a_folder(tmp_path, some_scribbles(), book=BOOK))
    anna, ben = folder.cases
    assert [label.name for label in folder.contract.foreground] == ["liver", "spleen"]
    assert folder.contract.by_id(1).color == (1.0, 0.0, 0.0)
    assert sorted(np.unique(anna.scribbles)) == [0, 1, 2, 255]
    assert ben.scribbles is None
    assert ben.labels is None


def test_without_labels_json_the_unlabelled_value_is_found_and_said(tmp_path):
    folder = read_case_folder(a_folder(tmp_path, some_scribbles()))
    assert sorted(np.unique(folder.cases[0].scribbles)) == [0, 1, 2, 255]
    assert "4" in folder.notes[0]


def test_unlabelled_is_never_zero(tmp_path):
    with pytest.raises(BadAnnotation, match=r"labels\.json"):
        read_case_folder(a_folder(tmp_path, np.where(some_scribbles() == 4, 0, some_scribbles())))


def test_values_outside_the_contract_are_named(tmp_path):
    strokes = some_scribbles()
    strokes[0, 0, 0] = 9
    with pytest.raises(BadAnnotation, match=r"\[9\]"):
        read_case_folder(a_folder(tmp_path, strokes, book=BOOK))


def test_other_geometry_names_both_files(tmp_path):
    with pytest.raises(BadAnnotation, match=r"'anna\.nii\.gz'.*'anna\.nii\.gz'.*different grids"):
        read_case_folder(a_folder(tmp_path, some_scribbles(), affine=np.diag([1.0, 1.0, 2.0, 1.0]), book=BOOK))


def test_a_broken_labels_json_says_what_to_write(tmp_path):
    with pytest.raises(BadAnnotation, match="write"):
        read_case_folder(a_folder(tmp_path, some_scribbles(), book={"classes": ["liver"]}))


def test_a_cropped_slicer_segmentation_is_put_back_and_its_zero_is_unlabelled(tmp_path):
    write_volume(tmp_path / "images" / "a.nrrd", np.random.default_rng(0).normal(size=(4, 20, 20)), np.eye(4))
    cropped = np.zeros((2, 6, 6), np.uint8)
    cropped[:, 1, 1:5], cropped[:, 3, 1:5] = 1, 2
    image = sitk.GetImageFromArray(cropped)
    image.SetOrigin((-3.0, -5.0, 1.0))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    for number, name in enumerate(["Background", "liver"]):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
        image.SetMetaData(f"Segment{number}_Color", "0.1 0.5 0.9")
    (tmp_path / "scribbles").mkdir()
    sitk.WriteImage(image, str(tmp_path / "scribbles" / "a.seg.nrrd"))
    folder = read_case_folder(tmp_path)
    scribbles = folder.cases[0].scribbles
    assert scribbles.shape == (4, 20, 20)
    assert (scribbles == 0).sum() == (scribbles == 2).sum() == 8
    assert scribbles[1, 6, 4] == 0
    assert scribbles[1, 8, 4] == 2
    assert folder.contract.by_id(2).name == "liver"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (1, -1, 1)])
def test_a_volume_is_read_from_feet_to_head_front_to_back_right_to_left(order, flips):
    affine = np.eye(4)
    affine[:3, :3] = np.diag([1.0, 2.0, 3.0]) @ np.eye(3)[:, list(order)] @ np.diag(flips).astype(float)
    array = np.random.default_rng(0).normal(size=(4, 5, 6))
    seen = cases.as_read(array, affine)

    def ras(place: tuple[int, ...]) -> np.ndarray:
        d, h, w = (int(n) for n in np.argwhere(array == seen[place])[0])
        return affine[:3, :3] @ [w, h, d]

    np.testing.assert_allclose(ras((1, 0, 0)) - ras((0, 0, 0)), [0, 0, 3])
    np.testing.assert_allclose(ras((0, 1, 0)) - ras((0, 0, 0)), [0, -2, 0])
    np.testing.assert_allclose(ras((0, 0, 1)) - ras((0, 0, 0)), [-1, 0, 0])
    assert cases.as_read_spacing_mm(affine) == (3.0, 2.0, 1.0)

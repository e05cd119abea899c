"""Grow-cut against Slicer's own filter, whole strokes held out, phantoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training_backend.data.annotator import annotate
from training_backend.data.cases import read_image, read_labels
from training_backend.data.growcut import growcut, growcut_near, near
from training_backend.data.phantom import phantom
from training_backend.data.preprocess import Preprocess
from training_backend.data.strokes import hold_out, stroke_numbers


def dice(one: np.ndarray, other: np.ndarray, id_: int) -> float:
    return 2 * ((one == id_) & (other == id_)).sum() / ((one == id_).sum() + (other == id_).sum())


def crosses(labels: np.ndarray, every: int = 4) -> np.ndarray:
    """A short horizontal stroke through the first voxels of every class on every n-th slice."""
    strokes = np.full(labels.shape, 255, np.uint8)
    for z in range(1, len(labels), every):
        for id_ in np.unique(labels[z]):
            rows, columns = np.nonzero(labels[z] == id_)
            middle = np.flatnonzero(rows == rows[len(rows) // 2])[:8]
            strokes[z, rows[middle], columns[middle]] = id_
    return strokes


def slicer_growcut(image: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    slicer = pytest.importorskip("slicer")
    from vtk import VTK_SHORT, VTK_UNSIGNED_CHAR
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    def as_image(array: np.ndarray, kind: int):
        data = slicer.vtkOrientedImageData()
        data.SetDimensions(array.shape[::-1])
        data.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True, array_type=kind))
        return data

    levels = ((image - image.min()) / (image.max() - image.min()) * 1000).astype(np.int16)
    grow = slicer.vtkImageGrowCutSegment()
    grow.SetIntensityVolume(as_image(np.pad(levels, 1, mode="edge"), VTK_SHORT))
    seeds = np.where(strokes == 255, 0, strokes + 1).astype(np.uint8)
    grow.SetSeedLabelVolume(as_image(np.pad(seeds, 1), VTK_UNSIGNED_CHAR))
    grow.Update()
    shape = [extent + 2 for extent in image.shape]
    grown = vtk_to_numpy(grow.GetOutput().GetPointData().GetScalars()).reshape(shape)[1:-1, 1:-1, 1:-1].astype(np.int16)
    return np.where(grown == 0, 255, grown - 1).astype(np.uint8)


def the_ct() -> tuple[np.ndarray, np.ndarray]:
    slicerio = pytest.importorskip("slicerio")
    folder = Path(slicerio.__file__).parent / "data"
    return read_image(folder / "CTChest4.nrrd").array, read_labels(folder / "Segmentation.seg.nrrd").array


@pytest.mark.parametrize("source", [phantom, the_ct])
def test_growcut_is_the_one_in_slicer(source):
    image, labels = source()
    strokes = crosses(labels)
    ours, theirs = growcut(image, strokes), slicer_growcut(image, strokes)
    for id_ in np.unique(labels):
        assert dice(ours, theirs, id_) > 0.99


def test_growcut_finds_the_phantom_and_keeps_the_strokes():
    image, labels = phantom()
    strokes = crosses(labels)
    grown = growcut(image, strokes)
    assert grown.dtype == np.uint8
    assert all(dice(grown, labels, id_) > 0.8 for id_ in range(4))
    np.testing.assert_array_equal(grown[strokes != 255], strokes[strokes != 255])


def test_near_the_strokes_it_grows_the_same_and_far_away_nothing():
    image, labels = phantom((24, 96, 96))
    strokes = crosses(labels)
    strokes[:, 50:] = 255
    drawn = np.argwhere(strokes != 255)
    box, inside = near(strokes), np.zeros(strokes.shape, bool)
    inside[box] = True
    assert box[2].start == max(0, drawn[:, 2].min() - max(3, round(0.1 * np.ptp(drawn[:, 2] + 1))))
    grown, whole = growcut_near(image, strokes), growcut(image, strokes)
    assert (grown[~inside] == 255).all()
    assert 0 < inside.mean() < 0.9
    assert (grown[inside] == whole[inside]).mean() > 0.99
    assert near(np.full(strokes.shape, 255, np.uint8)) is None


def test_the_box_can_be_that_of_other_strokes():
    image, labels = phantom()
    strokes = crosses(labels)
    fewer = np.where(np.arange(48) < 24, strokes, 255).astype(np.uint8)
    inside = np.zeros(strokes.shape, bool)
    inside[near(strokes)] = True
    assert ((growcut_near(image, fewer, among=strokes) != 255) == inside).all()
    assert (growcut_near(image, fewer) != 255).sum() < inside.sum()


@pytest.mark.parametrize("shape", [(1, 32, 32), (2, 32, 32), (40, 2, 40)])
def test_growcut_takes_thin_stacks(shape):
    image = np.zeros(shape, np.float32)
    image[..., shape[2] // 2 :] = 100
    strokes = np.full(shape, 255, np.uint8)
    strokes[0, 0, 2], strokes[0, 0, -3] = 0, 1
    np.testing.assert_array_equal(growcut(image, strokes), (image > 0).astype(np.uint8))


def test_growcut_without_any_stroke_stays_unlabelled():
    assert (growcut(phantom()[0], np.full((24, 48, 48), 255, np.uint8)) == 255).all()


def test_whole_strokes_are_held_out_and_nothing_is_lost():
    strokes = annotate(phantom()[1], seed=0, every=2)
    training, held = hold_out(strokes, seed=3)
    assert not ((training != 255) & (held != 255)).any()
    np.testing.assert_array_equal(np.minimum(training, held), strokes)
    numbers, owners = stroke_numbers(strokes)
    assert len(owners) == 4
    for own in owners.values():
        out = [n for n in own if (held[numbers == n] != 255).any()]
        assert 1 <= len(out) <= max(1, round(0.2 * len(own)))
        assert all((held[numbers == n] != 255).all() for n in out)
    np.testing.assert_array_equal(hold_out(strokes, seed=3)[1], held)
    assert not np.array_equal(hold_out(strokes, seed=4)[1], held)


def test_a_class_with_two_strokes_keeps_both():
    strokes = np.full((5, 20, 20), 255, np.uint8)
    strokes[0, 2, 2:9], strokes[2, 2, 2:9] = 1, 1
    assert (hold_out(strokes)[1] == 255).all()


def test_nothing_is_held_out_where_no_share_is_asked_for():
    strokes = annotate(phantom()[1], seed=0, every=2)
    training, held = hold_out(strokes, share=0.0)
    np.testing.assert_array_equal(training, strokes)
    assert (held == 255).all()


def test_strokes_drawn_on_sagittal_slices_stay_whole():
    strokes = np.full((30, 30, 12), 255, np.uint8)
    strokes[3:20, 5:8, 2], strokes[3:20, 5:8, 3] = 1, 1
    numbers, _ = stroke_numbers(strokes)
    assert numbers.max() == 2


CHANNEL_OF = np.where(np.arange(256) < 3, np.arange(256), -1)


def a_column(*ids: int, size: int = 16) -> np.ndarray:
    """One slice (1, size, size) with strokes down its columns 4, 5, ..., one an id."""
    strokes = np.full((1, size, size), 255, np.uint8)
    for place, id_ in enumerate(ids):
        strokes[:, :, 4 + place] = id_
    return strokes


@pytest.mark.parametrize("ids", [(1, 0), (0, 1), (255, 1, 0, 0)])
def test_where_strokes_meet_in_one_voxel_foreground_beats_background(ids):
    how = Preprocess(2, 0, (1.0, 4.0, 4.0))
    reduced = how.labels(a_column(*ids), (1.0, 1.0, 1.0), CHANNEL_OF)
    assert reduced.shape == (1, 4, 4)
    assert (reduced[0, :, 1] == 1).all()
    assert (reduced[0, :, [0, 2, 3]] == -1).all()


def test_strokes_of_a_coarser_case_fill_the_voxels_that_they_cover():
    how = Preprocess(3, 0, (1.0, 1.0, 1.0))
    drawn = a_column(1, 0).repeat(4, axis=0)
    fine = how.labels(drawn, (3.0, 2.0, 2.0), CHANNEL_OF).numpy()
    expected = drawn.repeat(3, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    assert np.array_equal(fine, CHANNEL_OF[expected])


def test_strokes_of_a_case_coarser_one_way_and_finer_another_survive():
    how = Preprocess(3, 0, (1.0, 1.0, 4.0))
    mixed = how.labels(a_column(1, 0).repeat(4, axis=0), (3.0, 1.0, 1.0), CHANNEL_OF)
    assert mixed.shape == (12, 16, 4)
    assert (mixed[:, :, 1] == 1).all()
    assert (mixed[:, :, [0, 2, 3]] == -1).all()

from __future__ import annotations

import time

import numpy as np
import pytest

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.scene import growcut as growcut_module
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume
from slicer_kdseg.scene.growcut import GrowCut


def grower_of(annotation: Annotation) -> GrowCut:
    return GrowCut(array_of_volume(annotation.volume), grid_of_volume(annotation.volume).spacing_mm)


def test_it_finds_the_two_organs(an_annotation_with_strokes: Annotation) -> None:
    grown = grower_of(an_annotation_with_strokes).grow(an_annotation_with_strokes.read().labels)
    assert (grown[2:8, 9:19, 9:19] == 1).mean() > 0.98
    assert (grown[2:8, 23:33, 27:41] == 4).mean() > 0.98
    assert (grown[4, 1:6, 4:40] == 0).all()


def test_later_strokes_give_what_a_fresh_run_gives(an_annotation_with_strokes: Annotation) -> None:
    labels = an_annotation_with_strokes.read().labels
    grower = grower_of(an_annotation_with_strokes)
    first = grower.grow(labels)
    before = first.copy()
    labels[5, 36, 10:30] = 0
    later = grower.grow(labels)
    assert np.array_equal(first, before), "an earlier result was overwritten by the filter"
    assert (later != grower_of(an_annotation_with_strokes).grow(labels)).mean() < 0.001


def test_a_stroke_taken_away_or_renamed_is_forgotten(an_annotation_with_strokes: Annotation) -> None:
    labels = an_annotation_with_strokes.read().labels
    grower = grower_of(an_annotation_with_strokes)
    grower.grow(labels)
    labels[labels == 4] = UNLABELLED
    labels[labels == 1] = 4
    grown = grower.grow(labels)
    assert np.array_equal(grown, grower_of(an_annotation_with_strokes).grow(labels))
    assert not (grown == 1).any()


def test_strokes_outside_the_first_box_are_reached(an_annotation_with_strokes: Annotation) -> None:
    labels = an_annotation_with_strokes.read().labels
    early = np.full_like(labels, UNLABELLED)
    early[3, 10:20, 10:20] = labels[3, 10:20, 10:20]
    early[3, 8, 10:18] = 0
    grower = grower_of(an_annotation_with_strokes)
    assert (grower.grow(early)[9] == UNLABELLED).all()
    assert (grower.grow(labels)[6, 23:33, 27:41] == 4).mean() > 0.98


@pytest.mark.parametrize("shape", [(1, 40, 40), (2, 20, 20), (40, 1, 30)])
def test_thin_images_grow_too(shape: tuple[int, int, int]) -> None:
    image = np.zeros(shape, np.float32)
    image[..., shape[2] // 2 :] = 10
    strokes = np.full(shape, UNLABELLED, np.uint8)
    strokes[::4, :, 2] = 0
    strokes[::4, :, -3] = 3
    grown = GrowCut(image, (1.0, 1.0, 1.0)).grow(strokes)
    assert (grown[..., : shape[2] // 2] == 0).all()
    assert (grown[..., shape[2] // 2 :] == 3).all()


def test_a_large_box_is_grown_coarsely_and_keeps_the_strokes(
    an_annotation_with_strokes: Annotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growcut_module, "MOST_VOXELS", 4000)
    labels = an_annotation_with_strokes.read().labels
    grown = grower_of(an_annotation_with_strokes).grow(labels)
    drawn = labels != UNLABELLED
    assert np.array_equal(grown[drawn], labels[drawn])
    assert (grown[3:7, 10:18, 10:18] == 1).mean() > 0.9


def test_no_stroke_is_a_sentence(an_empty_annotation: Annotation) -> None:
    with pytest.raises(BadAnnotation, match="no stroke to grow from"):
        grower_of(an_empty_annotation).grow(an_empty_annotation.read().labels)


@pytest.mark.alone
def test_the_first_preview_of_the_chest_ct_is_early(the_chest_ct: object) -> None:
    strokes = np.full((34, 128, 128), UNLABELLED, np.uint8)
    strokes[::5, 60, 20:50] = 1
    strokes[::5, 60, 80:110] = 2
    strokes[::5, 5, :] = 0
    began = time.thread_time()
    grower = GrowCut(array_of_volume(the_chest_ct), grid_of_volume(the_chest_ct).spacing_mm)
    grower.grow(strokes)
    assert time.thread_time() - began < 3
    seconds = []
    for slice_ in (7, 12, 17):
        strokes[slice_, 70, 20:50] = 1
        began = time.thread_time()
        grower.grow(strokes)
        seconds.append(time.thread_time() - began)
    assert max(seconds) < 0.5

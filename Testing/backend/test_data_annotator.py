"""The simulated annotator draws inside the right class, everywhere a person would, and corrects the worst."""

from __future__ import annotations

import numpy as np

from training_backend.data.annotator import annotate, correct
from training_backend.data.phantom import phantom


def test_first_strokes_lie_in_their_class_and_speak_of_every_class():
    _, labels = phantom()
    strokes = annotate(labels, seed=1, every=4)
    drawn = strokes != 255
    np.testing.assert_array_equal(strokes[drawn], labels[drawn])
    assert set(np.unique(strokes)) == {0, 1, 2, 3, 255}
    assert 0.001 < drawn.mean() < 0.05
    assert len(np.flatnonzero(drawn.any((1, 2)))) <= 7
    np.testing.assert_array_equal(strokes, annotate(labels, seed=1, every=4))


def test_a_class_between_the_drawn_slices_is_still_drawn():
    labels = np.zeros((20, 32, 32), np.uint8)
    labels[2:18, 8:20, 8:20] = 1
    labels[9, 24:28, 4:20] = 2
    assert 2 in annotate(labels, every=7)


def test_strokes_follow_the_asked_axis():
    labels = np.moveaxis(phantom()[1], 0, 2)
    strokes = annotate(labels, every=6, axis=2)
    assert len(np.flatnonzero((strokes != 255).any((0, 1)))) <= 5


def test_a_correction_goes_to_the_worst_class_where_it_is_wrong():
    _, labels = phantom()
    preview = labels.copy()
    preview[10:14][preview[10:14] == 3] = 0
    strokes = annotate(labels, every=5)
    correction = correct(labels, preview, strokes, slices=2)
    assert correction.class_id == 3
    assert set(correction.slices) <= {10, 11, 12, 13}
    new = (correction.strokes != 255) & (strokes == 255)
    assert new.any()
    assert (preview[new] != labels[new]).all()
    np.testing.assert_array_equal(correction.strokes[new], labels[new])
    np.testing.assert_array_equal(correction.strokes[~new], strokes[~new])


def test_nothing_is_drawn_on_a_perfect_preview():
    _, labels = phantom()
    strokes = annotate(labels)
    correction = correct(labels, labels, strokes)
    assert correction.slices == ()
    np.testing.assert_array_equal(correction.strokes, strokes)

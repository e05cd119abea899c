"""What strokes and image say before any network has learnt: several grow-cuts, and a net stacked on them."""

import numpy as np
import pytest

from slicer_kdseg.protocol.labels import UNLABELLED
from training_backend.cli.demo import the_sample
from training_backend.data.annotator import annotate
from training_backend.data.appearance import appearance
from training_backend.data.cases import read_image, spacing_mm
from training_backend.data.phantom import phantom
from training_backend.methods.first_teachers import FirstTeachers, Stacking
from training_backend.methods.votes import Seen, mostly_annotated, votes

SPACING = (6.0, 1.0, 1.0)


def mean_dice(belief: np.ndarray, truth: np.ndarray) -> float:
    said = belief.argmax(axis=0)
    pairs = [(said == id_, truth == id_) for id_ in np.unique(truth) if id_]
    return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]))


def test_votes_are_shares_of_one_and_silent_nowhere_near_strokes():
    image, labels = phantom((10, 48, 48))
    vote = votes(Seen(image, annotate(labels, seed=0), SPACING), 4)
    assert vote.shape == (4, 10, 48, 48)
    assert vote.min() >= 0.0
    assert vote.sum(axis=0).max() == pytest.approx(1.0)


def test_foreground_nearer_to_a_background_stroke_becomes_background():
    image = np.zeros((3, 48, 48), np.float32)
    strokes = np.full(image.shape, UNLABELLED, np.uint8)
    strokes[:, 10, 10:30] = 1
    strokes[:, 40, 10:30] = 0
    case = Seen(image, strokes, (1.0, 1.0, 1.0))
    assert mostly_annotated(case)
    vote = votes(case, 2)
    assert (vote[1, :, 30:, 12:28] == 0).all()
    assert (vote[1, :, 8:13, 12:28] > 0.5).all()


def test_stacking_finds_the_thin_bones_that_growing_loses():
    sample = the_sample()
    volume = read_image(sample.image)
    case = Seen(volume.array.astype(np.float32), annotate(sample.reference, seed=3), spacing_mm(volume.affine))
    assert not mostly_annotated(case)
    (belief,) = FirstTeachers(8, Stacking(), seed=0).believe([case])
    assert mean_dice(belief.numpy(), sample.reference) > mean_dice(votes(case, 8), sample.reference) + 0.02


def test_stacking_that_does_not_win_leaves_the_votes():
    image, labels = phantom((20, 48, 48))
    case = Seen(image, annotate(labels, seed=0, every=4), SPACING)
    (belief,) = FirstTeachers(4, Stacking(win=0.0), seed=0).believe([case])
    assert np.array_equal(belief.numpy(), votes(case, 4))


def test_two_annotated_slices_are_not_enough_to_stack_and_still_believed():
    image, labels = phantom((20, 48, 48))
    strokes = annotate(labels, seed=0, every=1)
    strokes[:9], strokes[10:] = UNLABELLED, UNLABELLED
    (belief,) = FirstTeachers(4, Stacking(), seed=0).believe([Seen(image, strokes, SPACING)])
    assert np.isfinite(belief.numpy()).all()
    assert belief.shape == (4, 20, 48, 48)


def test_appearance_is_standardised_and_blurs_alike_in_mm():
    image, _ = phantom((10, 24, 24))
    rows = appearance(image, SPACING)
    assert rows.shape[0] == image.size
    assert np.abs(rows.mean(axis=0)).max() < 1e-3
    assert np.isfinite(rows).all()


def test_several_sparse_cases_share_the_nets_of_one_fold_each():
    pairs = [phantom((20, 48, 48), seed=number) for number in range(3)]
    cases = [Seen(image, annotate(labels, seed=0, every=4), SPACING) for image, labels in pairs]
    teachers = FirstTeachers(4, Stacking(steps=5, win=100.0), seed=0)
    assert len(teachers.believe(cases)) == 3
    assert len(teachers.nets) == 4

"""What strokes and image say before any network has learnt: several grow-cuts, and a net stacked on them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli.demo import the_sample
from training_backend.data.annotator import annotate
from training_backend.data.appearance import appearance
from training_backend.data.cases import read_image, spacing_mm
from training_backend.data.growcut import growcut, near
from training_backend.data.phantom import CONTRACT, phantom
from training_backend.jobs.examiner import Examiner
from training_backend.jobs.material import Material
from training_backend.jobs.training_case import TrainingCase
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


def test_what_was_grown_at_full_resolution_replaces_the_plain_way():
    image, labels = phantom()
    strokes = np.where(np.arange(len(labels))[:, None, None] % 8 == 4, annotate(labels, seed=0), UNLABELLED)
    seen = Seen(image.astype(np.float32), strokes.astype(np.uint8), SPACING)
    fine = np.full(image.shape, UNLABELLED, np.uint8)
    fine[2:6] = 3
    plain, better = votes(seen, 4), votes(replace(seen, grown=fine), 4)
    np.testing.assert_array_equal(better[:, 6:], plain[:, 6:])
    assert (better[3, 2:6] >= 0.5).all()
    assert (plain[3, 2:6] < 0.5).any()


def test_the_votes_of_a_coarsely_seen_case_know_its_own_resolution():
    image, labels = phantom((10, 64, 64))
    strokes = np.where(np.arange(10)[:, None, None] % 4 == 1, annotate(labels, seed=0, every=1), UNLABELLED)
    case = TrainingCase(
        "a" * 64, "phantom", image, np.diag([1.0, 1.0, 6.0, 1.0]), "scribble", 1, strokes.astype(np.uint8)
    )
    asked: list[Seen] = []

    def of(slice_size: int) -> Seen:
        settings = resolve("scribble", "fast", {"slice_size": slice_size})
        material = Material([case], CONTRACT, settings, Examiner(CONTRACT, False))
        material._teachers.believe = lambda cases: asked.extend(cases) or [torch.zeros(4, 1, 1, 1)]
        material._prepared([case])
        return asked.pop()

    assert of(slice_size=64).grown is None
    coarse = of(slice_size=32)
    assert coarse.grown is not None
    assert coarse.grown.shape == coarse.image.shape
    assert np.mean(coarse.grown == labels[:, ::2, ::2]) > 0.6


def test_foreground_that_grew_out_of_the_strokes_box_is_not_believed():
    image = np.zeros((9, 64, 64), np.float32)
    image[:, 20:44] = 100
    strokes = np.full(image.shape, UNLABELLED, np.uint8)
    strokes[4, 30:33, 10:20], strokes[4, 2:4, 5:20] = 1, 0
    (belief,) = FirstTeachers(2, Stacking(), seed=0).believe([Seen(image, strokes, (1.0, 1.0, 1.0))])
    assert belief[1, 4, 32, 15] == 1
    assert (growcut(image, strokes)[:, 32, 60] == 1).all(), "it did grow there"
    assert (belief[:, :, 32, 60] == 0).all()
    assert (belief[0, :, 2, 60] == 1).all(), "background is believed everywhere"


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


def test_stacking_that_has_lost_is_tried_again_with_many_more_strokes_only(monkeypatch):
    image, labels = phantom((20, 48, 48))
    strokes = annotate(labels, seed=0, every=4)
    fewer = np.where(np.arange(20)[:, None, None] < 10, strokes, UNLABELLED).astype(np.uint8)
    teachers, tries = FirstTeachers(4, Stacking(steps=5, win=0.0), seed=0), []
    monkeypatch.setattr(teachers, "_learn", lambda parts, win: tries.append(parts))
    for drawn in (fewer, fewer, strokes):
        teachers.believe([Seen(image, drawn, SPACING)])
    assert len(tries) == 2
    assert len(tries[1]) > 0


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
    teachers = FirstTeachers(4, Stacking(steps=5, win_several=100.0), seed=0)
    assert len(teachers.believe(cases)) == 3
    assert len(teachers.nets) == 4


def test_nets_of_several_cases_win_sooner_than_those_of_one():
    pairs = [phantom((20, 48, 48), seed=number) for number in range(2)]
    cases = [Seen(image, annotate(labels, seed=0, every=4), SPACING) for image, labels in pairs]
    how = Stacking(steps=5, win=0.0, win_several=100.0)
    alone, together = FirstTeachers(4, how, seed=0), FirstTeachers(4, how, seed=0)
    alone.believe(cases[:1])
    together.believe(cases)
    assert (len(alone.nets), len(together.nets)) == (0, 4)


def test_background_has_its_odds_in_volumes_and_not_those_among_strokes():
    pairs = [phantom((20, 48, 48), seed=number) for number in range(2)]
    cases = [Seen(image, annotate(labels, seed=0, every=4), SPACING) for image, labels in pairs]
    of_strokes, of_volumes = (
        FirstTeachers(4, Stacking(steps=50, win_several=100.0, prior=prior), seed=0).believe(cases)
        for prior in (0.0, 0.5)
    )
    boxes = [(slice(None), *near(case.strokes)) for case in cases]
    labelled = np.concatenate([own[box].argmax(dim=0).flatten() for own, box in zip(of_strokes, boxes, strict=True)])
    drawn = np.concatenate([case.strokes[case.strokes != UNLABELLED] for case in cases])
    odds = [(own == 0).sum() / (own != 0).sum() for own in (labelled, drawn)]
    assert odds[0] > odds[1]
    for before, after, box in zip(of_strokes, of_volumes, boxes, strict=True):
        there = (before[box][0] > 1e-3) & (before[box][1] > 1e-3)
        ratio = (after[box][0] / after[box][1])[there] / (before[box][0] / before[box][1])[there]
        assert ratio.numpy() == pytest.approx(np.sqrt(odds[0] / odds[1]), rel=1e-3)
        assert after.sum(dim=0).numpy() == pytest.approx(before.sum(dim=0).numpy(), abs=1e-5)


def test_strokes_without_background_leave_the_odds_alone():
    pairs = [phantom((20, 48, 48), seed=number) for number in range(2)]
    drawn = [(image, annotate(labels, seed=0, every=4)) for image, labels in pairs]
    cases = [Seen(image, np.where(own == 0, UNLABELLED, own).astype(np.uint8), SPACING) for image, own in drawn]
    of_strokes, of_volumes = (
        FirstTeachers(4, Stacking(steps=5, win_several=100.0, prior=prior), seed=0).believe(cases)
        for prior in (0.0, 0.5)
    )
    for before, after in zip(of_strokes, of_volumes, strict=True):
        assert np.isfinite(after.numpy()).all()
        assert torch.equal(before, after)

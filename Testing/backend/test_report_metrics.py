"""Scores by hand, by an independent reference, and the rule for empty classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from training_backend.report.metrics import dice_by_class, mean_interval, score

SPACING = (4.0, 1.0, 2.0)


def a_box(start: int, stop: int) -> np.ndarray:
    labels = np.zeros((10, 24, 24), np.uint8)
    labels[3:6, start:stop, 5:15] = 1
    return labels


def test_dice_by_hand():
    assert score(a_box(4, 14), a_box(9, 19), SPACING, (1,)).by_class[1].dice == pytest.approx(0.5)
    assert dice_by_class(a_box(4, 14), a_box(9, 19), (1, 2)) == {1: 0.5}


def test_a_shift_of_three_rows_is_three_millimetres_far_and_half_within_tolerance():
    scores = score(a_box(4, 14), a_box(7, 17), SPACING, (1,))
    assert scores.by_class[1].hd95_mm == pytest.approx(3.0)
    assert scores.tolerance_mm == 1.0
    generous = score(a_box(4, 14), a_box(7, 17), SPACING, (1,), tolerance_mm=3.0)
    assert generous.by_class[1].surface_dice == pytest.approx(1.0)
    assert 0 < scores.by_class[1].surface_dice < 1


def test_hd95_against_an_independent_reference():
    rng = np.random.default_rng(2)
    one, other = (ndimage.gaussian_filter(rng.normal(size=(12, 30, 30)), 2) > 0.02 for _ in range(2))

    def border(mask: np.ndarray) -> np.ndarray:
        return mask & ~ndimage.binary_erosion(mask)

    def far(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.percentile(ndimage.distance_transform_edt(~border(b), sampling=SPACING)[border(a)], 95))

    found = score(one.astype(np.uint8), other.astype(np.uint8), SPACING, (1,)).by_class[1].hd95_mm
    assert found == pytest.approx(max(far(one, other), far(other, one)), rel=0.02)


def test_a_class_absent_from_both_has_no_value_and_is_counted():
    scores = score(a_box(4, 14), a_box(4, 14), SPACING, (1, 2))
    assert scores.absent == (2,)
    assert 2 not in scores.by_class
    assert scores.mean_dice == 1.0


@pytest.mark.parametrize("swapped", [False, True])
def test_a_class_absent_from_one_scores_zero_and_the_image_diagonal(swapped):
    pair = (a_box(4, 14), np.zeros((10, 24, 24), np.uint8))
    scored = score(*(pair[::-1] if swapped else pair), SPACING, (1,)).by_class[1]
    assert scored.dice == 0
    assert scored.surface_dice == 0
    assert scored.hd95_mm == pytest.approx(np.linalg.norm([40, 24, 48]))


def test_names_travel_with_ids():
    contract = LabelContract((LabelClass(0, "background"), LabelClass(7, "liver"), LabelClass(1, "box")))
    named = score(a_box(4, 14), a_box(4, 14), SPACING, (1, 7)).dice_by_name(contract)
    assert named == {"box": 1.0, "mean": 1.0}


def test_the_interval_holds_the_mean_and_narrows():
    few, many = mean_interval([0.6, 0.7, 0.9]), mean_interval([0.6, 0.7, 0.9] * 30)
    assert few[0] < 0.7333 < few[1]
    assert many[1] - many[0] < few[1] - few[0]

"""Whether cases lie alike in their images, told from what is drawn on them."""

import numpy as np

from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.settings import View, resolve
from training_backend.data.phantom import CONTRACT, phantom
from training_backend.data.pose import lie_alike
from training_backend.jobs.examiner import Examiner
from training_backend.jobs.material import Material
from training_backend.jobs.training_case import TrainingCase

SPACING = (6.0, 1.0, 1.0)


def two_organs(angle: float, shape: tuple[int, int, int] = (6, 64, 64)) -> np.ndarray:
    """Strokes of two classes, the second 20 mm from the first in the direction of ``angle`` degrees."""
    strokes = np.full(shape, UNLABELLED, np.uint8)
    y, x = 32 + 20 * np.sin(np.radians(angle)), 32 + 20 * np.cos(np.radians(angle))
    strokes[2, 30:34, 30:34] = 1
    strokes[3, int(y) - 2 : int(y) + 2, int(x) - 2 : int(x) + 2] = 2
    strokes[:, :2] = 0
    return strokes


def test_organs_in_the_same_places_lie_alike_and_turned_or_shifted_ones_do_not():
    assert lie_alike([two_organs(angle) for angle in (0, 5, -5)], [SPACING] * 3, across=0)
    assert not lie_alike([two_organs(angle) for angle in (0, 40, -40)], [SPACING] * 3, across=0)
    shifted = [np.roll(two_organs(0), steps, axis=1) for steps in (0, 10, -10)]
    assert not lie_alike(shifted, [SPACING] * 3, across=0)


def test_a_shift_through_the_slices_and_their_axis_change_nothing():
    shifted = [np.roll(two_organs(0), steps, axis=0) for steps in (0, 1, 2)]
    assert lie_alike(shifted, [SPACING] * 3, across=0)
    turned = [np.moveaxis(strokes, 0, 2) for strokes in shifted]
    assert lie_alike(turned, [(1.0, 1.0, 6.0)] * 3, across=2)


def test_a_field_of_view_that_is_larger_on_all_sides_changes_nothing():
    larger = np.pad(two_organs(0), ((0, 0), (16, 16), (16, 16)), constant_values=UNLABELLED)
    assert lie_alike([two_organs(0), larger], [SPACING] * 2, across=0)


def test_nothing_is_known_of_one_case_or_one_class():
    assert not lie_alike([two_organs(0)], [SPACING], across=0)
    one = np.where(two_organs(0) == 2, UNLABELLED, two_organs(0)).astype(np.uint8)
    assert not lie_alike([one, one], [SPACING] * 2, across=0)


def test_students_of_strokes_on_cases_that_lie_alike_are_told_the_place():
    image = phantom((6, 64, 64))[0]

    def view(method: str, *annotations: np.ndarray) -> View:
        kind = "scribble" if method == "scribble" else "dense"
        cases = [
            TrainingCase(str(n) * 64, "phantom", image, np.diag([1.0, 1.0, 6.0, 1.0]), kind, 1, annotation)
            for n, annotation in enumerate(annotations)
        ]
        return Material(cases, CONTRACT, resolve(method), Examiner(CONTRACT, kind == "dense")).view

    assert view("scribble", two_organs(0), two_organs(3)).position
    assert not view("scribble", two_organs(0), two_organs(60)).position
    assert not view("supervised", two_organs(0), two_organs(3)).position

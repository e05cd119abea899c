"""Every unfit image or annotation gets a sentence that says what was found."""

from __future__ import annotations

import numpy as np
import pytest

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.errors import BadAnnotation, BadImage, TooLarge
from slicer_kdseg.protocol.labels import LabelClass, LabelContract

CONTRACT = LabelContract((LabelClass(0, "background"), LabelClass(1, "liver"), LabelClass(2, "rib")))


def an_image(shape=(5, 20, 20)) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(5, 20, 20), (1, 16, 16), (20, 20, 1), (300, 16, 16)])
def test_volumes_and_single_slices_are_images(shape):
    checks.check_image(an_image(shape), np.eye(4))


def with_value(value: float) -> np.ndarray:
    image = an_image()
    image[1, 2, 3] = value
    return image


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (an_image((20, 20)), "three axes"),
        (an_image((5, 20, 20, 3)), "four axes"),
        (np.zeros((64, 64, 3), np.uint8), "colour slice"),
        (an_image((0, 20, 20)), "empty"),
        (an_image((5, 20, 15)), "too small"),
        (an_image((1, 15, 400)), "too small"),
        (np.full((5, 20, 20), 7, np.int16), "constant"),
        (with_value(np.nan), "1 voxels that are NaN"),
        (with_value(np.inf), "1 voxels that are NaN or infinite"),
        (an_image().astype(np.complex64), "complex64"),
    ],
)
def test_unfit_images_are_named(image, sentence):
    with pytest.raises(BadImage, match=sentence):
        checks.check_image(image)


@pytest.mark.parametrize(
    ("affine", "sentence"),
    [(np.eye(3), "4 x 4"), (np.full((4, 4), np.nan), "finite"), (np.diag([1, 0, 1, 1]), "singular")],
)
def test_unfit_affines_are_named(affine, sentence):
    with pytest.raises(BadImage, match=sentence):
        checks.check_image(an_image(), affine)


def test_left_handed_oblique_and_anisotropic_geometries_are_fine():
    for affine in (np.diag([-1.0, 1, 1, 1]), np.diag([0.5, 0.5, 10, 1.0])):
        checks.check_image(an_image(), affine)


def test_an_image_larger_than_memory_is_refused_with_both_sizes():
    with pytest.raises(TooLarge, match=r"11\.2 GB to train on and 1\.0 GB"):
        checks.check_fits_memory((500, 1000, 1000), available_bytes=1 << 30)
    assert checks.available_memory_bytes() > 0


def test_other_geometry_names_both():
    with pytest.raises(BadAnnotation, match=r"\(5, 20, 21\), the image \(5, 20, 20\)"):
        checks.check_same_geometry((5, 20, 20), None, (5, 20, 21), None)
    moved = np.eye(4)
    moved[0, 3] = 3
    with pytest.raises(BadAnnotation, match=r"up to 3 mm beside .*1 0 0 3.*1 0 0 0"):
        checks.check_same_geometry((5, 20, 20), np.eye(4), (5, 20, 20), moved)
    checks.check_same_geometry((5, 20, 20), np.eye(4), (5, 20, 20), np.eye(4) + 1e-7)


def strokes(*ids: int) -> np.ndarray:
    labels = np.full((5, 20, 20), 255, np.uint8)
    for row, id_ in enumerate(ids):
        labels[2, row, :5] = id_
    return labels


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (strokes(), "empty"),
        (strokes(0, 1), r"'rib' \(2\) has no voxel"),
        (strokes(1, 2), "automatic background"),
        (strokes(0), r"'liver' \(1\), 'rib' \(2\)"),
        (strokes(0, 1, 2, 9), r"values \[9\], which no class has"),
        (strokes(0, 1, 2).astype(np.int16), "uint8"),
    ],
)
def test_unfit_annotations_are_named(labels, sentence):
    with pytest.raises(BadAnnotation, match=sentence):
        checks.check_annotation(labels, CONTRACT, "scribble")


def test_a_correction_need_not_hold_every_class():
    checks.check_annotation(strokes(2), CONTRACT, "scribble", complete=False)
    checks.check_annotation(strokes(0, 1, 2), CONTRACT, "scribble")

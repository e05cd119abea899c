"""Warping against SimpleITK, and whether an atlas finds its way onto another phantom."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from training_backend.data.items import hot
from training_backend.data.phantom import phantom
from training_backend.data.preprocess import standardise
from training_backend.data.registration import Placement, register
from training_backend.data.warp import points_mm, resized, smoothed
from training_backend.losses.local_correlation import bending, local_correlation

SHAPE, SPACING = (12, 16, 20), (3.0, 1.5, 1.0)


def an_itk_image(array: np.ndarray) -> sitk.Image:
    """The array with the middle of its volume at 0 mm, as the project's points have it."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin([-(n - 1) / 2 * mm for n, mm in zip(SHAPE[::-1], SPACING[::-1], strict=True)])
    return image


def a_placement(matrix=None, shift=(0.0, 0.0, 0.0), displacement=None) -> Placement:
    matrix = torch.eye(3) if matrix is None else torch.as_tensor(matrix, dtype=torch.float32)
    bent = torch.zeros(3, *SHAPE) if displacement is None else displacement
    return Placement(matrix, torch.tensor(shift), bent, torch.ones(SHAPE))


def test_a_warp_is_simpleitk_s_warp_with_the_axes_turned_round():
    rng = np.random.default_rng(0)
    volume = rng.normal(size=SHAPE).astype(np.float32)
    matrix = np.eye(3) + rng.normal(scale=0.08, size=(3, 3))
    shift = (1.3, -0.7, 0.4)
    bent = smoothed(torch.from_numpy(rng.normal(scale=4.0, size=(1, 3, *SHAPE)).astype(np.float32)), 1.5)[0]
    ours = a_placement(matrix, shift, bent).carry(torch.from_numpy(volume)[None], SPACING, SHAPE, SPACING)[0].numpy()

    turned = np.flip(matrix, (0, 1))
    affine = sitk.AffineTransform(turned.ravel().tolist(), shift[::-1])
    placed = points_mm(SHAPE, SPACING).numpy() @ matrix.T + shift + bent.movedim(0, -1).numpy()
    field = (placed - points_mm(SHAPE, SPACING).numpy())[..., ::-1].astype(np.float64)
    vectors = sitk.GetImageFromArray(np.ascontiguousarray(field), isVector=True)
    vectors.CopyInformation(an_itk_image(volume))
    whole = sitk.DisplacementFieldTransform(vectors)
    theirs = sitk.GetArrayFromImage(sitk.Resample(an_itk_image(volume), whole, sitk.sitkLinear, np.nan))
    inside = np.isfinite(theirs)
    assert inside.mean() > 0.4
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=2e-4)

    straight = a_placement(matrix, shift).carry(torch.from_numpy(volume)[None], SPACING, SHAPE, SPACING)[0].numpy()
    theirs = sitk.GetArrayFromImage(sitk.Resample(an_itk_image(volume), affine, sitk.sitkLinear, np.nan))
    inside = np.isfinite(theirs)
    np.testing.assert_allclose(straight[inside], theirs[inside], atol=2e-4)


def test_nothing_moved_gives_the_labels_back_bit_for_bit():
    _, labels = phantom(SHAPE)
    carried = a_placement().carry(hot(torch.from_numpy(labels.astype(np.int8)), 4), SPACING, SHAPE, SPACING)
    assert np.array_equal(carried.argmax(dim=0).numpy(), labels)


def test_local_correlation_like_numpy():
    a, b = (np.random.default_rng(seed).normal(size=(6, 7, 8)).astype(np.float32) for seed in (0, 1))
    got = local_correlation(*(torch.from_numpy(x)[None, None] for x in (a, b)), 3)[0, 0, 3, 3, 4].item()
    left, right = (x[2:5, 2:5, 3:6].ravel() for x in (a, b))
    covariance = ((left - left.mean()) * (right - right.mean())).mean()
    assert got == pytest.approx(covariance / np.sqrt(left.var() * right.var() + 1e-2), rel=1e-3)
    image = torch.from_numpy(a)[None, None]
    assert local_correlation(image, 3 * image + 1, 5).mean() > 0.98
    assert local_correlation(image, -image, 5).mean() < -0.9


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_a_window_is_no_longer_than_a_thin_stack(depth):
    image = torch.randn(1, 1, depth, 9, 9, generator=torch.Generator().manual_seed(0))
    assert local_correlation(image, 3 * image + 1, 7).mean() > 0.98
    assert local_correlation(image, -image, 7).mean() < -0.9


def test_a_slice_alone_is_as_alike_as_a_stack_of_it():
    slices = [torch.randn(1, 1, 1, 9, 9, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    stacks = [one.expand(-1, -1, 7, -1, -1) for one in slices]
    torch.testing.assert_close(local_correlation(*slices, 7).expand_as(stacks[0]), local_correlation(*stacks, 7))


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_thin_stacks_are_placed(depth):
    image = standardise(torch.from_numpy(phantom((depth, 24, 24), noise=10.0)[0]))
    placement = register(image, image.roll(2, 1), (8.0, 1.0, 1.0), (8.0, 1.0, 1.0))
    carried = placement.carry(image[None], (8.0, 1.0, 1.0), image.shape, (8.0, 1.0, 1.0))[0]
    assert (carried - image.roll(2, 1)).abs().mean() < 0.7 * (image - image.roll(2, 1)).abs().mean()


def test_bending_by_hand():
    slope = torch.zeros(1, 3, 4, 4, 4)
    slope[:, 0] = 2.0 * torch.arange(4.0)[None, :, None, None]  # 2 mm a voxel of 4 mm: slope 0.5
    assert bending(slope, (4.0, 1.0, 1.0)).item() == pytest.approx(0.25 / 3)
    assert bending(slope[:, :, :1], (4.0, 1.0, 1.0)).item() == 0.0
    assert bending(slope[:, :, :1, :1, :1], (4.0, 1.0, 1.0)).item() == 0.0


def test_smoothing_keeps_what_is_even_and_resizing_what_is_linear():
    even = torch.full((1, 2, 5, 6, 7), 3.0)
    torch.testing.assert_close(smoothed(even, 1.0), even)
    assert resized(even, (3, 6, 9)).shape == (1, 2, 3, 6, 9)


def test_an_atlas_finds_its_way_onto_a_moved_phantom_of_another_size():
    image, labels = phantom((20, 40, 40), noise=10.0)
    moved, truth = phantom((22, 44, 38), noise=10.0, seed=3)
    moved, truth = np.roll(moved, 3, axis=1), np.roll(truth, 3, axis=1)
    mm = (2.0, 1.0, 1.0)
    placement = register(*(standardise(torch.from_numpy(x)) for x in (image, moved)), mm, mm)
    belief = hot(torch.from_numpy(labels.astype(np.int8)), 4)
    carried = placement.carry(belief, mm, truth.shape, mm).argmax(dim=0).numpy()
    stayed = Placement(torch.eye(3), torch.zeros(3), torch.zeros(3, 2, 2, 2), torch.ones(2, 2, 2))
    before = stayed.carry(belief, mm, truth.shape, mm).argmax(dim=0).numpy()

    def dice(found: np.ndarray) -> float:
        pairs = [(found == k, truth == k) for k in (1, 2, 3)]
        return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]))

    assert dice(carried) > 0.9
    assert dice(carried) > dice(before) + 0.1

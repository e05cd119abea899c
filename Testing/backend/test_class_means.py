"""Pictures of pure shape and views in other contrasts, against plain loops and by what must not happen."""

import numpy as np
import pytest
import torch

from training_backend.data.augment import draw_views, grid_of, sample
from training_backend.data.class_means import class_means, draw_intensities, painted
from training_backend.data.recontrast import draw_contrasts, recontrasted


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def an_image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=rng())


def labels_of(batch: int, classes: int, *space: int, present: int | None = None) -> torch.Tensor:
    """One-hot (B, K+1, *space) of random labels, of which the last classes are absent."""
    drawn = torch.randint(0, present or classes, (batch, *space), generator=rng(1))
    return torch.nn.functional.one_hot(drawn, classes).movedim(-1, 1).float()


def by_loop(image: np.ndarray, target: np.ndarray) -> np.ndarray:
    picture = np.zeros_like(image)
    for b in range(image.shape[0]):
        labels = target[b].argmax(axis=0)
        known = target[b].sum(axis=0) > 0
        for c in range(image.shape[1]):
            for k in range(target.shape[1]):
                here = (labels == k) & known
                if here.any():
                    picture[b, c][here] = image[b, c][here].mean()
    return picture


def class_mean_image(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return painted(class_means(image, target), target)


@pytest.mark.parametrize(
    ("channels", "classes", "present", "space"),
    [(1, 4, 4, (9, 7)), (1, 4, 2, (9, 7)), (1, 4, 1, (9, 7)), (3, 3, 3, (5, 6)), (2, 3, 3, (4, 5, 6))],
    ids=["2-D", "absent classes", "one class", "several channels", "3-D"],
)
def test_the_class_mean_image_is_what_a_loop_makes(channels, classes, present, space):
    image, target = an_image(2, channels, *space), labels_of(2, classes, *space, present=present)
    np.testing.assert_allclose(class_mean_image(image, target), by_loop(image.numpy(), target.numpy()), atol=1e-5)


def test_background_is_a_class_and_an_absent_one_has_mean_zero():
    image, target = an_image(1, 1, 6, 6) + 5.0, labels_of(1, 3, 6, 6, present=2)
    means = class_means(image, target)[0, 0]
    assert means[0].item() == pytest.approx(image[0, 0][target[0, 0] > 0].mean().item())
    assert means[2].item() == 0.0


def test_unlabelled_voxels_never_enter_a_mean():
    image, target = an_image(1, 1, 6, 6), labels_of(1, 3, 6, 6)
    target[:, :, :2] = 0
    means = class_means(image, target)
    image[:, :, :2] = 1e6
    assert torch.equal(class_means(image, target), means)
    assert (class_mean_image(image, target)[:, :, :2] == 0).all()


def test_the_average_is_taken_of_the_turned_view_not_turned_itself():
    image, target = an_image(1, 1, 24, 24), torch.zeros(1, 2, 24, 24)
    target[:, 1, 8:16, 8:16] = 1
    target[:, 0] = 1 - target[:, 1]
    grid = grid_of(draw_views(torch.tensor([[24.0, 24.0]]), (24, 24), 2.0, rng()), (24, 24), torch.device("cpu"))
    turned_first = class_mean_image(sample(image, grid, outside="border"), sample(target, grid))
    turned_last = sample(class_mean_image(image, target), grid, outside="border")
    assert not torch.allclose(turned_first, turned_last, atol=1e-3)


def test_drawn_intensities_keep_their_classes_apart():
    drawn = draw_intensities(200, 1, 4, rng()).sort(dim=2).values
    assert drawn.diff(dim=2).min() > 0.25
    orders = draw_intensities(200, 1, 4, rng()).argsort(dim=2)[:, 0]
    assert len({tuple(order) for order in orders.tolist()}) == 24


def test_a_painted_picture_holds_one_value_a_class():
    target = labels_of(2, 4, 8, 8)
    picture = painted(draw_intensities(2, 1, 4, rng()), target)
    assert [len(own.unique()) for own in picture] == [4, 4]


@pytest.mark.parametrize("space", [(12, 12), (6, 8, 8)])
def test_new_contrasts_change_the_means_and_keep_what_is_not_chosen(space):
    image, target = an_image(6, 1, *space), labels_of(6, 3, *space)
    changed = recontrasted(image, target, draw_contrasts(6, 3, len(space), 1.0, rng()))
    assert changed.shape == image.shape
    assert (class_means(changed, target) - class_means(image, target)).abs().mean() > 0.2
    assert torch.equal(recontrasted(image, target, draw_contrasts(6, 3, len(space), 0.0, rng())), image)


def test_new_contrasts_are_the_same_from_the_same_randomness():
    image, target = an_image(3, 1, 8, 8), labels_of(3, 3, 8, 8)
    views = [recontrasted(image, target, draw_contrasts(3, 3, 2, 0.5, rng(7))) for _ in range(2)]
    assert torch.equal(*views)

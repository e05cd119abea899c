"""Assistants in the likeness, at the size and under the names of the targets."""

import numpy as np
import pytest

from slicer_kdseg.protocol.labels import UNLABELLED, LabelClass, LabelContract
from slicer_kdseg.protocol.renaming import renamed, shared_names
from training_backend.data.alignment import ALIGNMENTS, Labelled, aligned, contrast_agreement
from training_backend.data.assistants import Assistant, fitted, size_ratio
from training_backend.data.cases import spacing_mm, turned_like
from training_backend.data.phantom import phantom

ALONG = np.diag([1.0, 1.0, 6.0, 1.0])


def two_kinds() -> tuple[Labelled, Labelled]:
    """A target and an assistant whose contrast is partly inverted."""
    image, labels = phantom((6, 48, 48))
    other, other_labels = phantom((6, 48, 48), seed=3)
    return Labelled(500.0 - 0.5 * other, other_labels.astype(np.int8)), Labelled(image, labels.astype(np.int8))


def test_classmap_gives_every_class_the_target_s_mean_and_leaves_labels_alone():
    assistant, target = two_kinds()
    before = assistant.labels.copy(), assistant.image.copy(), target.image.copy()
    mapped = aligned(assistant, target, "classmap")
    for channel in range(4):
        wanted = target.image[target.labels == channel].mean()
        assert mapped[assistant.labels == channel].mean() == pytest.approx(wanted, rel=0.01, abs=0.5)
    kept = assistant.labels, assistant.image, target.image
    assert all(np.array_equal(a, b) for a, b in zip(before, kept, strict=True))
    assert mapped.dtype == np.float32


def test_classmap_paints_no_border_of_a_class_that_the_other_side_hardly_shows():
    assistant, target = two_kinds()
    few = np.where(target.labels == 3, 0, target.labels)
    few[0, 0, :4] = 3
    mapped = aligned(assistant, Labelled(target.image, few), "classmap")
    rod = assistant.labels == 3
    unmapped = aligned(assistant, target, "hist")
    assert abs((mapped - unmapped)[rod].mean()) < 0.25 * abs(
        mapped[rod].mean() - target.image[target.labels == 3].mean()
    )


def test_classmap_is_smooth_where_classes_meet():
    assistant, target = two_kinds()
    flat = Labelled(np.zeros_like(assistant.image), assistant.labels)
    step = np.abs(np.diff(aligned(flat, target, "classmap"), axis=2)).max()
    assert step < 0.75 * (target.image[target.labels == 1].mean() - target.image[target.labels == 0].mean())


def test_contrasts_agree_or_not():
    assistant, target = two_kinds()
    alike = Labelled(*phantom((6, 48, 48), seed=5))
    assert contrast_agreement([assistant], [target]) < -0.5
    assert contrast_agreement([alike], [target, target]) > 0.95
    assert contrast_agreement([alike], [Labelled(target.image, np.zeros_like(target.labels))]) == 0.0


def test_hist_gives_the_target_s_distribution():
    assistant, target = two_kinds()
    mapped = aligned(assistant, target, "hist")
    shares = [0.1, 0.5, 0.9]
    assert np.quantile(mapped, shares) == pytest.approx(np.quantile(target.image, shares), rel=0.02, abs=3)


def test_fourier_swaps_the_mean_and_keeps_the_detail():
    assistant, target = two_kinds()
    mapped = aligned(assistant, target, "fourier")
    assert mapped.mean() == pytest.approx(target.image.mean(), rel=0.02)
    detail = [np.diff(image, axis=2).ravel() for image in (mapped, assistant.image)]
    assert np.corrcoef(*detail)[0, 1] > 0.99


def test_none_changes_nothing_and_every_alignment_keeps_the_shape():
    assistant, target = two_kinds()
    larger = Labelled(np.pad(target.image, [(0, 1), (0, 5), (0, 9)]), np.pad(target.labels, [(0, 1), (0, 5), (0, 9)]))
    assert np.array_equal(aligned(assistant, target, "none"), assistant.image)
    for how in ALIGNMENTS:
        assert aligned(assistant, larger, how).shape == assistant.image.shape


def test_classes_meet_by_name_whatever_their_numbers():
    ours = LabelContract((LabelClass(0, "background"), LabelClass(1, "ball"), LabelClass(2, "shell")))
    theirs = LabelContract(
        (LabelClass(0, "background"), LabelClass(1, "Shell "), LabelClass(4, "ball"), LabelClass(7, "rod"))
    )
    labels = np.array([0, 1, 4, 7, UNLABELLED], np.uint8)
    assert renamed(labels, theirs, ours).tolist() == [0, 2, 1, UNLABELLED, UNLABELLED]
    assert shared_names(theirs, ours) == ["ball", "shell"]


def test_assistants_come_in_the_targets_size_and_field_of_view():
    image, labels = (np.pad(array, [(0, 0), (10, 10), (10, 10)]) for array in phantom((6, 48, 48)))
    target = Assistant(image, labels, ALONG)
    wide = [np.pad(array, [(0, 0), (99, 60), (60, 99)]) for array in phantom((6, 96, 96), seed=1)]
    assistant = Assistant(wide[0], wide[1], np.diag([1.5, 1.5, 6.0, 1.0]))
    assert size_ratio([target], [assistant], 0, 2) == pytest.approx(1 / 3, rel=0.05)
    (cut,) = fitted([assistant], [target], 0, 2, match_size=True)
    assert spacing_mm(cut.affine)[1:] == pytest.approx((0.5, 0.5), rel=0.05)
    assert spacing_mm(cut.affine)[0] == 6.0
    extent = np.array(cut.image.shape) * spacing_mm(cut.affine)
    assert extent == pytest.approx([36, 68, 68], abs=4)
    assert (cut.labels > 0).sum() == (assistant.labels > 0).sum()


def test_a_cut_keeps_every_voxel_where_it_was():
    wide = [np.pad(array, [(0, 0), (30, 10), (10, 30)]) for array in phantom((6, 48, 48), seed=1)]
    affine = np.array([[0.0, 2.0, 0, 5], [3.0, 0, 0, -7], [0, 0, 6.0, 1], [0, 0, 0, 1]])
    target = Assistant(*phantom((6, 48, 48)), np.diag([3.0, 2.0, 6.0, 1.0]))
    assistant = Assistant(wide[0], wide[1], affine)
    (cut,) = fitted([assistant], [target], 0, 2, match_size=False)
    assert cut.image.shape != assistant.image.shape

    def centre_mm(case: Assistant) -> np.ndarray:
        return case.affine[:3] @ [*np.argwhere(case.labels == 1).mean(0)[::-1], 1.0]

    assert centre_mm(cut) == pytest.approx(centre_mm(assistant))


@pytest.mark.parametrize(
    ("order", "signs"), [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1)), ((1, 2, 0), (1, -1, -1))]
)
def test_axes_run_as_the_targets_do_and_every_voxel_stays_where_it_is(order, signs):
    image, labels = phantom((6, 20, 30))
    like = np.array([[-1.0, 0, 0, 3], [0, 2.0, 0, 5], [0, 0, 6.0, -9], [0, 0, 0, 1]])
    index = np.eye(4)[:, [*(2 - np.array(order)[::-1]), 3]]
    stored = [array.transpose(order)[tuple(slice(None, None, sign) for sign in signs)] for array in (image, labels)]
    for axis, sign in enumerate(signs):
        if sign < 0:
            index[:3, 3] += index[:3, 2 - axis] * (stored[0].shape[axis] - 1)
            index[:3, 2 - axis] *= -1
    (back, _), affine = turned_like(stored, like @ index, like)
    assert np.array_equal(back, image)
    assert affine == pytest.approx(like)


def test_oblique_stacks_are_left_as_they_are():
    image, labels = phantom((6, 20, 30))
    turn = np.array([[0.7, -0.7, 0, 0], [0.7, 0.7, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1]])
    arrays, affine = turned_like([image[::-1], labels[::-1]], turn, ALONG)
    assert np.array_equal(arrays[0], image[::-1])
    assert affine is turn


def test_sizes_that_cannot_be_compared_are_left_alone():
    image, labels = phantom((6, 48, 48))
    target = Assistant(image, np.where(labels == 1, 1, 0).astype(np.uint8), ALONG)
    other = Assistant(image, np.where(labels == 2, 2, 0).astype(np.uint8), ALONG)
    assert size_ratio([target], [other], 0, 2) == 1.0

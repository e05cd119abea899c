"""What the switches of the scribble method add: corrected views, unlabelled cases, deep heads, two decoders."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.messages import JobRequest
from slicer_kdseg.protocol.settings import resolve, view_for
from training_backend.data import preprocess
from training_backend.data.annotator import annotate
from training_backend.data.items import Items, PreparedCase, hot
from training_backend.data.phantom import CONTRACT, phantom
from training_backend.engine.budget import Budget
from training_backend.engine.desk import Orders
from training_backend.engine.loop import Moment, train
from training_backend.engine.schedules import warm_then_linear
from training_backend.jobs.training import Training
from training_backend.jobs.training_case import TrainingCase
from training_backend.losses.partial_cross_entropy import UNSPOKEN
from training_backend.methods import METHODS
from training_backend.methods.agreement import confident_target, draw_box, pasted
from training_backend.methods.method import Messenger
from training_backend.methods.scribble import membership

SPACING = (6.0, 1.0, 1.0)
SMALL = {"steps": 4, "channels": 4, "levels": 3, "batch": 2, "slice_size": 48}
DMPLS = {"second_decoder": 0.5, "first_teachers": "none", "target_ce": 0.0, "target_dice": 0.0, "correction": 0.0}


class QuietDesk:
    """Listens to nothing and cancels once it has been asked often enough."""

    def __init__(self, cancel_after: int | None = None) -> None:
        self.cancel_after, self.asked = cancel_after, 0

    def orders(self) -> Orders:
        self.asked += 1
        return Orders("cancel" if self.cancel_after is not None and self.asked > self.cancel_after else None)

    def emit(self, payload) -> None: ...

    def preview(self, *parts) -> None: ...

    def candidate(self, *parts) -> None: ...


def a_method(scribbled: int = 1, others: int = 0, **differences):
    """The method over scribbled phantoms, one and the same, and others without any annotation."""
    settings = resolve("scribble", "fast", SMALL | differences)
    view = view_for(settings, 1)
    image, labels = phantom((6, 48, 48))
    how = preprocess.fit([image.shape], [SPACING], settings, view)
    channels = how.labels(labels, SPACING, np.arange(256))
    strokes = torch.where(torch.rand(channels.shape, generator=torch.Generator().manual_seed(0)) < 0.1, channels, -1)
    cases = [PreparedCase("a", how.image(image, SPACING), strokes, hot(channels, len(CONTRACT.ids)))] * scribbled
    silent = torch.full_like(strokes, UNSPOKEN)
    for number in range(others):
        other = how.image(phantom((6, 48, 48), seed=1 + number)[0], SPACING)
        cases.append(PreparedCase(f"u{number}", other, silent, hot(silent, len(CONTRACT.ids)), "unlabelled"))
    return METHODS["scribble"](settings, Items(cases, how.dims, torch.device("cpu")), how, view, Messenger())


def test_several_scribbled_cases_are_turned_further_than_one():
    settings = resolve("scribble")
    assert view_for(settings, 1).rotation * view_for(settings, 1).augmentation == pytest.approx(8.0)
    assert view_for(settings, 2).rotation == 60.0
    assert view_for(resolve("supervised"), 2).rotation == 20.0
    assert view_for(resolve("scribble", differences={"rotation": 10}), 2).rotation == 10.0


def test_the_target_of_an_unlabelled_view_counts_as_much_as_the_teacher_is_sure():
    probability = torch.tensor([[1.0, 0.75, 0.5], [0.0, 0.25, 0.5]]).view(1, 2, 3)
    target = confident_target(probability, power=1.0, confidence=0.5)
    np.testing.assert_allclose(target.sum(dim=1).numpy(), [[1.0, 0.5, 0.0]], atol=1e-6)
    np.testing.assert_allclose(target[0, :, 1].numpy(), [0.375, 0.125], atol=1e-6)


@pytest.mark.parametrize(("scribbled", "seconds", "begins"), [(1, 60.0, 0.4), (2, 60.0, 1.0), (2, 300.0, 0.4)])
def test_a_teacher_of_several_cases_waits_a_minute(scribbled, seconds, begins):
    method = a_method(scribbled=scribbled, others=2, steps=None, seconds=seconds, unlabelled_from=0.4)
    assert [stage.until for stage in method.stages()] == [begins, 1.0]
    assert ("unlabelled" in method.imitate(Moment(step=1, fraction=0.9))) == (begins < 0.9)


@pytest.mark.parametrize("window", [(48, 64), (32, 48, 40)])
def test_a_box_lies_inside_the_window_and_shows_the_other_batch(window):
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        box = draw_box(torch.Size(window), rng)
        assert all(0 <= side.start < side.stop <= size for side, size in zip(box, window, strict=True))
    mixed = pasted(torch.zeros(3, 2, *window), torch.ones(2, 2, *window), box)
    inside = float(np.prod([side.stop - side.start for side in box]))
    assert mixed[:2].sum() == 2 * 2 * inside
    assert mixed[2].sum() == 0


def test_unlabelled_cases_teach_the_student_and_never_the_teacher():
    method = a_method(others=2, unlabelled=1.0, unlabelled_from=0.0, confidence=0.0)
    terms = method.imitate(Moment(step=1, fraction=0.9))
    terms["unlabelled"].backward()
    assert all(parameter.grad is None for parameter in method.learner.teacher.parameters())
    assert sum(float(p.grad.abs().sum()) for p in method.learner.student.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize(
    ("cases", "weight", "fraction"), [(0, 1.0, 0.9), (2, 0.0, 0.9), (2, 1.0, 0.3)], ids=["none", "off", "too early"]
)
def test_nothing_is_said_of_unlabelled_cases(cases, weight, fraction):
    terms = a_method(others=cases, unlabelled=weight, unlabelled_from=0.4).imitate(Moment(step=1, fraction=fraction))
    assert "unlabelled" not in terms


def test_a_teacher_that_may_not_correct_is_not_asked(monkeypatch):
    method = a_method(correction=0.0, correct_from=0.0)
    monkeypatch.setattr("training_backend.methods.scribble.predict", lambda *_, **__: pytest.fail("asked"))
    assert set(method.distil(Moment(0, 0.9))) == {"target_ce", "target_dice", "partial_ce"}


def test_a_budget_that_a_correction_has_lengthened_takes_no_belief_beyond_itself(monkeypatch):
    """The fraction then falls back to before the teacher's stage, which has begun all the same."""
    method = a_method(correct_from=0.8)
    shares = []
    monkeypatch.setattr(
        "training_backend.methods.scribble.corrected",
        lambda belief, _word, _trust, share: (shares.append(share), belief)[1],
    )
    for fraction in (0.2, 0.8, 1.0):
        method._correct(Moment(0, fraction))
    assert shares == pytest.approx([0.0, 0.15, 0.4])


def test_the_student_s_rate_rises_once_the_teacher_of_shape_has_learnt():
    method = a_method(shape=0.5, shape_share=0.2)
    _, *own = method.stages()
    assert [stage.rate(0.2) for stage in own] == [warm_then_linear(0.0)] * 2
    assert own[-1].rate(0.6) == pytest.approx(warm_then_linear(0.5))
    assert next(iter(a_method().stages())).rate(0.3) == warm_then_linear(0.3)


def test_voxels_belong_to_the_class_of_their_stroke_or_of_a_confident_teacher():
    strokes = torch.tensor([[[0, UNSPOKEN, UNSPOKEN, 1]]])
    teacher = torch.tensor([[1.0, 0.0, 0.0, 9.0], [0.0, 0.0, 0.2, 0.0], [0.0, 9.0, 0.0, 0.0]]).view(1, 3, 1, 4)
    members = membership(strokes, teacher, torch.Size((1, 4)))
    assert members[0, :, 0].T.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_deep_supervision_reaches_every_head():
    method = a_method(deep_supervision=1.0, levels=4)
    method.imitate(Moment(0, 0.0))["deep_supervision"].backward()
    heads = list(method.learner.student.heads)
    assert len(heads) == 2
    assert all(head.weight.grad.abs().sum() > 0 for head in heads)


def test_both_decoders_learn_and_share_an_encoder():
    method = a_method(**DMPLS)
    terms = method.label_for_each_other(Moment(0, 0.5))
    assert set(terms) == {"partial_ce", "second_decoder"}
    torch.stack(list(terms.values())).sum().backward()
    second, encoder = list(method.second.parameters()), list(method.learner.student.net.model[0].parameters())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in [*second[:2], *encoder[:1]])
    before = [p.detach().clone() for p in second]
    assert {r.stage for r in train(method.stages(), Budget(60, steps=2))} == {"two_decoders"}
    assert any(not torch.equal(old, new) for old, new in zip(before, method.second.parameters(), strict=True))


def test_the_second_decoder_starts_with_weights_of_its_own():
    method = a_method(**DMPLS)
    ours = method.learner.student.net.model[2].state_dict()
    theirs = method.second.ups[0].state_dict()
    assert any(not torch.equal(ours[key], theirs[key]) for key in ours if key.endswith("conv.weight"))


@pytest.mark.parametrize(
    "differences",
    [{"correct_from": 0.2, "unlabelled": 1.0, "unlabelled_from": 0.3}, DMPLS],
    ids=["unlabelled cases", "two decoders"],
)
def test_a_run_that_is_cut_ends_as_an_uninterrupted_one(tmp_path, monkeypatch, differences):
    monkeypatch.setattr("training_backend.jobs.training.CHECKPOINT_SECONDS", 0.0)
    image, labels = phantom((6, 48, 48))
    affine = np.diag([1.0, 1.0, 6.0, 1.0])
    drawn = TrainingCase("a" * 64, "drawn", image, affine, "scribble", 1, annotate(labels))
    bare = replace(
        drawn, id="b" * 64, image=phantom((6, 48, 48), seed=2)[0], annotation=np.full_like(labels, UNLABELLED)
    )
    settings = resolve("scribble", "fast", SMALL | {"steps": 10} | differences)

    def a_life(folder: str, desk) -> np.ndarray:
        cases = [replace(drawn), replace(bare)]
        training = Training(tmp_path / folder, JobRequest("scribble", CONTRACT, ()), settings, cases, desk)
        training.run()
        return np.concatenate([p.detach().numpy().ravel() for p in training.method.learner.student.parameters()])

    whole = a_life("whole", QuietDesk())
    a_life("cut", QuietDesk(cancel_after=7))
    np.testing.assert_array_equal(a_life("cut", QuietDesk()), whole)

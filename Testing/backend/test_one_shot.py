"""One labelled phantom and unlabelled ones: who learns from whom, who is shown, and what happens without others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.messages import JobRequest, Warned
from slicer_kdseg.protocol.settings import resolve, view_for
from training_backend.cli import bench_one_shot
from training_backend.data import preprocess
from training_backend.data.augment import draw_views, grid_of
from training_backend.data.cases import Case
from training_backend.data.folder import CaseFolder
from training_backend.data.items import Items, PreparedCase, hot
from training_backend.data.phantom import CONTRACT, phantom
from training_backend.engine.budget import Budget
from training_backend.engine.desk import Orders, Revision
from training_backend.engine.loop import Moment, train
from training_backend.engine.schedules import warm_then_linear
from training_backend.jobs.training import Training
from training_backend.jobs.training_case import TrainingCase
from training_backend.losses.feature_hint import feature_hint
from training_backend.methods.learner import levels
from training_backend.methods.method import Messenger
from training_backend.methods.one_shot import OneShot
from training_backend.methods.propagation import agreement
from training_backend.methods.reconstruction import corrupted

SIZE, SPACING, AFFINE = (16, 32, 32), (2.0, 1.0, 1.0), np.diag([1.0, 1.0, 2.0, 1.0])
SMALL = {"steps": 6, "channels": 4, "levels": 3, "fine_level": False, "threads": 1}
HINTED = {"hint": 1.0, "synthetic": 1.0, "atlas_share": 0.0, "teacher_share": 0.5}


def a_method(others: int = 2, messenger: Messenger | None = None, **differences) -> OneShot:
    settings = resolve("one_shot", "fast", SMALL | differences)
    view = view_for(settings, 1)
    pairs = [phantom(SIZE, noise=10.0, seed=seed) for seed in range(1 + others)]
    how = preprocess.fit([SIZE], [SPACING], settings, view)
    prepared = []
    for number, (image, labels) in enumerate(pairs):
        known = labels if number == 0 else np.full_like(labels, UNLABELLED)
        channel_of = np.full(256, -1)
        channel_of[:4] = np.arange(4)
        channels = how.labels(known, SPACING, channel_of)
        part = "annotated" if number == 0 else "unlabelled"
        prepared.append(PreparedCase(str(number), how.image(image, SPACING), channels, hot(channels, 4), part))
    items = Items(prepared, how.dims, torch.device("cpu"))
    return OneShot(settings, items, how, view, messenger or Messenger())


def the_cases(others: int) -> tuple[list[TrainingCase], list[np.ndarray]]:
    pairs = [phantom(SIZE, noise=10.0, seed=seed) for seed in range(1 + others)]
    nothing = np.full(SIZE, UNLABELLED, np.uint8)
    cases = [
        TrainingCase(f"{n}" * 64, f"phantom {n}", image, AFFINE, "dense", 1, nothing if n else labels)
        for n, (image, labels) in enumerate(pairs)
    ]
    return cases, [labels for _, labels in pairs]


class CaseDesk:
    """Keeps previews by case and what was said; ``script`` maps a number of questions asked to orders."""

    def __init__(self, script: dict[int, Orders] | None = None) -> None:
        self.script, self.asked = script or {}, 0
        self.previews: dict[str, list[tuple[str, np.ndarray]]] = {}
        self.said: list[str] = []
        self.cards: list[dict] = []

    def orders(self) -> Orders:
        self.asked += 1
        ends = [order for asked, order in self.script.items() if order.end and asked <= self.asked]
        return self.script.get(self.asked, ends[0] if ends else Orders())

    def emit(self, payload) -> None:
        if isinstance(payload, Warned):
            self.said.append(payload.sentence)

    def preview(self, case, labels, source, step, revision, uncertainty=None, sentence="") -> None:
        self.previews.setdefault(case, []).append((source, labels.copy()))

    def candidate(self, folder: Path, scores, not_worse, sentence) -> None:
        self.cards.append({"card": (folder / "model.json").read_text() if (folder / "model.json").exists() else ""})


def a_training(folder: Path, desk: CaseDesk, others: int = 2, **differences) -> Training:
    cases, _ = the_cases(others)
    settings = resolve("one_shot", "fast", SMALL | differences)
    return Training(folder, JobRequest("one_shot", CONTRACT, ()), settings, cases, desk)


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    pairs = [(found == k, truth == k) for k in (1, 2, 3)]
    return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]))


def state(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten().float() for value in module.state_dict().values()])


def test_the_hint_by_hand_and_like_numpy():
    student, teacher = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]]), torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])
    assert feature_hint(student, teacher).item() == pytest.approx((0 + 1) / 2)
    assert feature_hint(student, teacher, torch.tensor([[[[3.0, 1.0]]]])).item() == pytest.approx(0.25)
    a, b = (np.random.default_rng(seed).normal(size=(2, 3, 4, 5)).astype(np.float32) for seed in (0, 1))
    flat = [(x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()) for x, y in zip(a, b, strict=True)]
    whole = feature_hint(torch.from_numpy(a), torch.from_numpy(b), whole=True).item()
    assert whole == pytest.approx(1 - np.mean(flat), rel=1e-4)


def test_the_hint_has_a_gradient_for_the_student_and_none_for_the_teacher():
    """The published code detached both: its hint taught nobody."""
    for whole in (False, True):
        student, teacher = (torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
        student.requires_grad_()
        teacher.requires_grad_()
        feature_hint(student, teacher, whole=whole).backward()
        assert student.grad is not None
        assert student.grad.abs().sum() > 0
        assert teacher.grad is None


def test_an_image_is_corrupted_in_half_of_its_blocks():
    image = torch.full((4, 1, 24, 24, 24), 5.0)
    remains = corrupted(image, torch.Generator().manual_seed(0))
    assert 0.4 < (remains == 0).float().mean() < 0.6
    assert remains[remains != 0].mean() == pytest.approx(5.0, abs=0.05)


def test_elastic_views_bend_and_tilt_and_leave_other_methods_views_alone():
    sizes, window = torch.tensor([[16.0, 32.0, 32.0]]), (16, 32, 32)
    plain, bent = (
        draw_views(sizes, window, 1.0, torch.Generator().manual_seed(0), elastic=elastic) for elastic in (0.0, 0.1)
    )
    assert plain.bend is None
    assert bent.bend is not None
    grids = [grid_of(views, window, torch.device("cpu")) for views in (plain, replace(plain, bend=bent.bend))]
    assert (grids[0] - grids[1]).abs().max() > 0.05
    assert bent.theta[0, 0, 1:3].abs().sum() > 0


def test_warped_atlas_labels_and_case_stay_aligned_under_one_view():
    """The atlas's image is its own label map here, so what is seen of both must be the same picture."""
    method = a_method(registered=2, elastic=0.1)
    method.propagation.run(Messenger())
    items, learner = method.items, method.learner
    items.image[0, :1] = items.belief[0, 1:2].float()
    image, labels = (own[None] for own in method.propagation.shaped(1, 2, 0.7, 0.3))
    views = learner.views(torch.tensor([1]), torch.Generator().manual_seed(0), Moment(0, 0.0))
    ours = learner.seen(image, labels, torch.tensor([1]), views)
    torch.testing.assert_close(ours.clean[:, :1], ours.target[:, 1:2], atol=1e-2, rtol=0)
    case = learner.seen(labels[:, :1], labels, torch.tensor([1]), views)
    inside = case.target.sum(dim=1, keepdim=True) > 0.999
    torch.testing.assert_close(case.clean[inside], case.target[:, :1][inside], atol=2e-3, rtol=0)


def test_the_teacher_learns_first_and_is_bit_identical_afterwards():
    method = a_method(**HINTED, hint_ramp=0.0)
    assert method.reconstruction is not None
    teacher, student, projector = method.reconstruction.network, method.learner.student, method.reconstruction.projector
    begun, untaught = state(teacher), state(student)
    seen = {}
    for report in train(method.stages(), Budget(60.0, steps=6)):
        seen[report.step] = (report, state(teacher), state(student), state(projector))
    assert [report.stage for report, *_ in seen.values()] == ["teacher"] * 3 + ["student"] * 3
    assert not torch.equal(seen[3][1], begun)
    assert torch.equal(seen[3][2], untaught)
    assert torch.equal(seen[6][1], seen[3][1])
    assert not torch.equal(seen[6][2], untaught)
    assert not torch.equal(seen[6][3], seen[3][3])
    assert all(own.grad is None or not own.requires_grad for own in teacher.parameters())
    assert set(seen[6][0].losses) == {"target_ce", "target_dice", "hint"}


def test_the_hint_alone_reaches_the_student():
    method = a_method(**HINTED, hint_ramp=0.0)
    list(train(method.stages(), Budget(60.0, steps=6)))
    method.learner.student.zero_grad()
    terms = method.teach(Moment(9, 1.0))
    (gradient, *_) = torch.autograd.grad(terms["hint"], next(iter(method.learner.student.parameters())))
    assert gradient.abs().sum() > 0


def test_a_second_teacher_averages_itself_alone():
    method = a_method(**HINTED, shape=1.0, shape_share=0.5, steps=8)
    for report in train(method.stages(), Budget(60.0, steps=8)):
        if report.step == 5:
            assert report.stage == "teacher"
            assert torch.equal(state(method.shape.kept), state(method.shape.network))


def test_a_lost_class_is_reported_and_not_averaged_away():
    _, labels = phantom(SIZE)
    carried = hot(torch.from_numpy(labels.astype(np.int8)), 4)
    same = agreement(carried, carried)
    assert (same.dice, same.lost) == (1.0, ())
    without = torch.from_numpy(np.where(labels == 3, 0, labels).astype(np.int8))
    found = agreement(hot(without, 4), carried)
    assert found.lost == (3,)
    assert found.dice < 0.7


def test_the_student_takes_over_only_where_it_agrees():
    shown: dict[str, list[int]] = {"carried": [], "student": []}
    messenger = Messenger(
        show=lambda place, probability, sentence: shown["carried"].append(place),
        hand_over=lambda place, probability, sentence: shown["student"].append(place),
    )
    method = a_method(messenger=messenger)
    list(train(method.stages(), Budget(60.0, steps=2)))
    assert shown["carried"] == [1, 2]
    assert shown["student"] == []
    truth = {place: method.propagation.labels(place) for place in (1, 2)}
    method._hand_over({1: truth[1], 2: truth[2].flip(0)})
    assert shown["student"] == [1]
    assert (method.notes["gate_cases"], method.notes["gate_passed"]) == (2, 1)


def test_before_it_is_believed_the_labelled_case_alone_teaches():
    method = a_method(believe_from=0.5, correct_from=0.5, atlas_share=0.0)
    parts: list[str] = []
    draw = method.learner.draw
    method.learner.draw = lambda moment, part="annotated", among=None: parts.append(part) or draw(moment, part, among)
    list(train(method.stages(), Budget(60.0, steps=6)))
    assert parts == ["annotated"] * 3 + ["unlabelled"] * 3


def test_where_student_and_carried_over_label_differ_a_voxel_can_count_nothing():
    method = a_method(others=1, disputed=0.0, correct_from=0.0, agreement=0.0)
    method.propagation.run(Messenger())
    carried = method.propagation.labels(1)
    said = carried.clone()
    said[:, ::2] = carried[:, ::2].flip(0)
    method._asked = lambda: {1: said}
    method._round(0.0)
    differ = carried.argmax(dim=0) != said.argmax(dim=0)
    assert differ[::2].any()
    weight = method.items.target[1].float().sum(dim=0)
    assert weight[differ].max() == 0
    assert weight[~differ].min() > 0.99
    method.settings.agreement = 0.9
    method._round(1.0)
    torch.testing.assert_close(method.items.target[1].float(), carried, atol=1e-3, rtol=0)


def test_carrying_over_leaves_time_for_the_student():
    gone, said = iter([0.0, 0.6, 0.6]), []
    messenger = Messenger(say=said.append, gone=lambda: next(gone))
    method = a_method(others=3, messenger=messenger)
    list(train(method.stages(), Budget(60.0, steps=2)))
    assert method.propagation.places == [1]
    assert "1 of 3" in said[0]


def test_schedules_begin_when_the_labels_have_been_carried_over():
    method = a_method(messenger=Messenger(gone=lambda: 0.4), believe_from=0.5)
    student = next(iter(method.stages()))
    assert student.rate(0.4) == warm_then_linear(0.0)
    assert student.rate(0.7) == pytest.approx(warm_then_linear(0.5))
    hinted = a_method(messenger=Messenger(gone=lambda: 0.4), **HINTED)
    teacher = next(iter(hinted.stages()))
    assert teacher.until == pytest.approx(0.7), "half of what is left"
    assert teacher.rate(0.4) == warm_then_linear(0.0)


def test_without_unlabelled_cases_it_trains_and_says_what_it_cannot_do(tmp_path):
    desk = CaseDesk()
    training = a_training(tmp_path, desk, others=0)
    training.run()
    assert training.step == 6
    assert len(desk.cards) >= 1
    assert any("cannot learn how other patients look" in sentence for sentence in desk.said)


def test_a_stack_of_six_slices_is_carried_over_to_others_and_learnt(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.SIZE", (6, 32, 32))
    monkeypatch.setattr(f"{__name__}.AFFINE", np.diag([1.0, 1.0, 6.0, 1.0]))
    desk = CaseDesk()
    training = a_training(tmp_path, desk)
    training.run()
    assert training.step == 6
    assert [desk.previews[n * 64][0][0] for n in "12"] == ["propagated"] * 2


@pytest.mark.parametrize(
    ("cut", "differences"),
    [(2, {}), (9, {}), (2, HINTED), (9, HINTED)],
    ids=["before the correction", "after a correction", "in the teacher's stage", "in the hinted student's"],
)
def test_a_run_cut_in_any_stage_ends_as_an_uninterrupted_one(tmp_path, monkeypatch, cut, differences):
    monkeypatch.setattr("training_backend.jobs.training.CHECKPOINT_SECONDS", 0.0)

    def a_life(folder: str, desk: CaseDesk) -> Training:
        training = a_training(tmp_path / folder, desk, **(differences | {"steps": 14}))
        training.run()
        return training

    whole = a_life("whole", CaseDesk())
    first = a_life("cut", CaseDesk({cut + 4: Orders(end="cancel")}))
    assert 0 < first.step < 14
    second = a_life("cut", CaseDesk())
    assert second.step == 14
    for one, other in ((second.method.learner.student, whole.method.learner.student),):
        torch.testing.assert_close(state(one), state(other), atol=0, rtol=0)
    assert torch.equal(state(second.method.learner.teacher), state(whole.method.learner.teacher))


def test_a_corrected_case_becomes_a_teacher_of_its_own(tmp_path):
    cases, truths = the_cases(2)
    desk = CaseDesk({6: Orders(revisions=(Revision(cases[1].id, 2, truths[1], None),))})
    training = a_training(tmp_path, desk, steps=10)
    training.run()
    assert training.method.propagation.places == [2]
    items = training.material.items
    assert items.places("annotated") == [0, 1]
    assert items.target[1].sum() == pytest.approx(np.prod(SIZE), rel=1e-3)


def test_others_are_segmented_after_two_minutes_at_most(tmp_path):
    """Labels are carried over first, the student follows, and a stranger is segmented as well."""
    desk = CaseDesk()
    cases, truths = the_cases(4)
    settings = resolve("one_shot", "fast", {"seconds": 25.0, "clock": "cpu", "threads": 1})
    training = Training(tmp_path, JobRequest("one_shot", CONTRACT, ()), settings, cases, desk)
    training.run()
    for case, truth in zip(cases[1:], truths[1:], strict=True):
        sources = [source for source, _ in desk.previews[case.id]]
        assert sources[0] == "propagated"
        assert sources[-1] == "student"
        assert dice(desk.previews[case.id][-1][1], truth) > 0.85
    assert training.method.notes["gate_passed"] == 4


def a_folder(count: int) -> CaseFolder:
    image, labels = phantom(SIZE)
    return CaseFolder(CONTRACT, tuple(Case(f"case {n:02d}", image, AFFINE, None, labels) for n in range(count)))


def test_the_bench_never_tests_a_patient_whose_labels_were_learnt_from():
    many, few = a_folder(130), a_folder(12)
    for folder, sizes, setting in ((many, (40, 60), "unseen"), (few, (11, 11), "transductive")):
        roles = bench_one_shot.split(folder, 1)
        assert (len(roles.unlabelled), len(roles.tested), roles.setting) == (*sizes, setting)
        assert all(case.labels is None for case in roles.unlabelled)
        assert roles.atlas.name not in {case.name for case in (*roles.unlabelled, *roles.tested)}
        for variant in bench_one_shot.TRAINED:
            labelled = {
                case.name for case in bench_one_shot.taught(folder, roles, variant).cases if case.labels is not None
            }
            if variant.name != "full_masks":
                assert labelled == {roles.atlas.name}
            elif setting == "unseen":
                assert not labelled & {case.name for case in roles.tested}
    assert {roles.atlas.name for roles in (bench_one_shot.split(many, n) for n in range(5))}.isdisjoint(
        case.name for case in bench_one_shot.split(many, 0).tested
    )


def test_a_fine_level_is_one_more_for_volumes_and_none_for_slices():
    settings = resolve("one_shot")
    assert levels(settings, 3) == ((8, 16, 32, 64, 128), ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)))
    assert levels(settings, 2) == ((16, 32, 64, 128), ())
    method = a_method(others=0, fine_level=True)
    assert method.learner.shape.divisor() == (4, 4, 4)
    assert method.learner.student(torch.randn(1, 1, 8, 8, 8)).shape == (1, 4, 8, 8, 8)


def test_the_upper_bound_has_the_same_network_and_views():
    fast = resolve("one_shot")
    for name, value in (bench_one_shot.SAME_NETWORK | bench_one_shot.SAME_VIEWS).items():
        assert getattr(fast, name) == value

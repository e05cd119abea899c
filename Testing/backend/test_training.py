"""A whole run on phantoms whose right answer is known: previews, corrections, resuming, the gate."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import UNLABELLED, LabelClass, LabelContract
from slicer_kdseg.protocol.messages import HeldOut, JobRequest, RevisionJoined, StateChanged, Suggestion
from slicer_kdseg.protocol.settings import resolve
from training_backend.data.annotator import annotate
from training_backend.data.phantom import CONTRACT, phantom
from training_backend.engine.desk import Orders, Revision
from training_backend.export.model import load_model
from training_backend.jobs.training import Training, chosen
from training_backend.jobs.training_case import TrainingCase

AFFINE = np.diag([1.0, 1.0, 6.0, 1.0])
QUICK = {"channels": 8, "levels": 4, "batch": 4, "slice_size": 48, "threads": 1}


class ListDesk:
    """Keeps everything that a run says; ``script`` maps a number of questions asked to an order."""

    def __init__(self, script: dict[int, Orders] | None = None) -> None:
        self.script = script or {}
        self.asked = 0
        self.events: list = []
        self.previews: list = []
        self.candidates: list = []

    def orders(self) -> Orders:
        self.asked += 1
        ends = [order for asked, order in self.script.items() if order.end and asked <= self.asked]
        return self.script.get(self.asked, ends[0] if ends else Orders())

    def emit(self, payload) -> None:
        self.events.append(payload)

    def preview(self, case, labels, source, step, revision, uncertainty=None, sentence="") -> None:
        self.previews.append((source, labels.copy(), step, revision, uncertainty, sentence))

    def candidate(self, folder: Path, scores, not_worse, sentence) -> None:
        self.candidates.append((load_model(folder, "cpu"), not_worse, sentence))

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([2 * ((a == k) & (b == k)).sum() / ((a == k).sum() + (b == k).sum()) for k in (1, 2, 3)]))


@pytest.fixture(scope="module")
def a_scribbled_phantom() -> tuple[TrainingCase, np.ndarray]:
    image, labels = phantom((10, 48, 48))
    strokes = annotate(labels, seed=0)
    return TrainingCase("a" * 64, "phantom", image, AFFINE, "scribble", 1, strokes), labels


def a_training(folder: Path, case: TrainingCase, desk: ListDesk, method: str = "scribble", **settings) -> Training:
    request = JobRequest(method, CONTRACT, ())
    return Training(folder, request, resolve(method, "fast", QUICK | settings), [replace(case)], desk)


def test_a_run_shows_grow_cut_first_and_ends_with_a_model_that_predicts(tmp_path, a_scribbled_phantom):
    case, truth = a_scribbled_phantom
    desk = ListDesk()
    a_training(tmp_path, case, desk, seconds=15.0, clock="cpu").run()
    source, first, step, revision, _, _ = desk.previews[0]
    assert (source, step, revision) == ("growcut", 0, 1)
    assert desk.of(HeldOut)
    assert desk.of(Suggestion)
    assert [event.state for event in desk.of(StateChanged)] == ["preparing", "training", "validating"]
    model, not_worse, _ = desk.candidates[-1]
    assert not_worse
    assert dice(model.predict(case.image, AFFINE), truth) > 0.85
    assert dice(first, truth) > 0.6
    other, other_truth = phantom((10, 48, 48), seed=5)
    assert dice(model.predict(other, AFFINE), other_truth) > 0.8


def test_a_correction_joins_the_running_job_and_is_learnt(tmp_path, a_scribbled_phantom):
    case, truth = a_scribbled_phantom
    corrected = case.annotation.copy()
    corrected[5, 20:30, 20:30] = truth[5, 20:30, 20:30]
    desk = ListDesk({6: Orders(revisions=(Revision(case.id, 2, corrected, None),))})
    training = a_training(tmp_path, case, desk, steps=12, release=0.0)
    training.run()
    (joined,) = desk.of(RevisionJoined)
    assert (joined.case, joined.revision) == (case.id, 2)
    assert joined.step < 12
    assert (training.material.items.strokes_of(0)[5, 20:30, 20:30].numpy() == truth[5, 20:30, 20:30]).all()
    assert desk.previews[-1][3] == 2


def test_a_correction_has_time_to_teach_even_if_taking_it_in_used_up_the_budget(tmp_path, a_scribbled_phantom):
    case, _ = a_scribbled_phantom
    desk = ListDesk({6: Orders(revisions=(Revision(case.id, 2, case.annotation, None),))})
    training = a_training(tmp_path, case, desk, seconds=15.0, clock="cpu")
    join = training._join

    def slow(revisions):
        if revisions:
            training.budget.seconds_spent_before += 1000.0
        join(revisions)

    training._join = slow
    training.run()
    (joined,) = desk.of(RevisionJoined)
    assert training.step > joined.step + 5
    assert desk.previews[-1][3] == 2


def test_a_correction_that_comes_with_the_last_look_is_learnt_too(tmp_path, a_scribbled_phantom):
    case, _ = a_scribbled_phantom

    class Late(ListDesk):
        def emit(self, payload) -> None:
            super().emit(payload)
            if isinstance(payload, StateChanged) and payload.state == "validating" and not self.script:
                self.script[self.asked + 1] = Orders(revisions=(Revision(case.id, 2, case.annotation, None),))

    desk = Late()
    training = a_training(tmp_path, case, desk, seconds=8.0, clock="cpu")
    training.run()
    (joined,) = desk.of(RevisionJoined)
    assert training.step > joined.step + 5
    assert desk.previews[-1][3] == 2
    assert [event.state for event in desk.of(StateChanged)][-3:] == ["validating", "training", "validating"]


def test_held_out_strokes_are_not_taught_until_they_are_released(tmp_path, a_scribbled_phantom):
    case, _ = a_scribbled_phantom
    desk = ListDesk({3: Orders(end="cancel")})
    training = a_training(tmp_path, case, desk, steps=50)
    training.run()
    held = training.examiner.held[case.id] != UNLABELLED
    assert held.any()
    assert (training.material.items.strokes_of(0).numpy()[held] == -1).all()
    released = a_training(tmp_path / "b", case, ListDesk(), steps=4, release=0.5)
    released.run()
    assert (released.material.items.strokes_of(0).numpy()[held] == case.annotation[held]).all()


def test_the_first_teachers_are_asked_again_only_where_the_student_keeps_its_time(tmp_path, monkeypatch):
    image, labels = phantom((12, 48, 48))
    case = TrainingCase("a" * 64, "sparse", image, AFFINE, "scribble", 1, annotate(labels, seed=0, every=4))
    for share, again in ((0.0, False), (100.0, True)):
        monkeypatch.setattr("training_backend.jobs.training.ASKING_SHARE", share)
        training = a_training(tmp_path / str(again), case, ListDesk(), seconds=4.0, clock="cpu", release=0.2)
        training.run()
        assert training.material.released
        assert training.material.asked_again == again


def test_a_bad_student_spoils_nothing(tmp_path, a_scribbled_phantom):
    """It has learnt no class, so its word does not count, even when it alone is asked for."""
    case, truth = a_scribbled_phantom
    desk = ListDesk()
    a_training(tmp_path, case, desk, steps=2, learning_rate=1e-6, consult=0.0).run()
    assert dice(desk.candidates[-1][0].predict(case.image, AFFINE), truth) < 0.5
    assert dice(desk.previews[-1][1], truth) >= dice(desk.previews[0][1], truth) - 0.01


def test_grow_cut_stays_where_nobody_has_learnt_anything(tmp_path, a_scribbled_phantom):
    case, _ = a_scribbled_phantom
    desk = ListDesk()
    a_training(tmp_path, case, desk, steps=2, learning_rate=1e-6, first_teachers="none").run()
    source, shown, _, _, _, sentence = desk.previews[-1]
    assert source == "growcut"
    assert np.array_equal(shown, desk.previews[0][1])
    assert "Grow-cut stays" in sentence
    assert "has not learnt all strokes yet" in sentence


def test_grow_cut_stays_where_the_working_resolution_is_too_coarse(tmp_path):
    """A lattice of lines two pixels wide, seen at a sixth of its resolution."""
    labels = np.zeros((4, 192, 192), np.uint8)
    labels[:, 20:170, 24::12] = 1
    labels[:, 20:170, 25::12] = 1
    image = (labels * 300.0 + np.random.default_rng(0).normal(0, 10, labels.shape)).astype(np.float32)
    strokes = np.full(labels.shape, UNLABELLED, np.uint8)
    strokes[:, 60:120] = labels[:, 60:120]
    contract = LabelContract((LabelClass(0, "background"), LabelClass(1, "line")))
    case = TrainingCase("e" * 64, "lattice", image, AFFINE, "scribble", 1, strokes)
    desk = ListDesk()
    settings = resolve("scribble", "fast", QUICK | {"steps": 2, "slice_size": 32})
    Training(tmp_path, JobRequest("scribble", contract, ()), settings, [case], desk).run()
    assert desk.previews[-1][0] == "growcut"
    assert "raise slice_size" in desk.previews[-1][5]


def test_stop_keeps_a_model_and_cancel_keeps_none(tmp_path, a_scribbled_phantom):
    case, _ = a_scribbled_phantom
    stopped, cancelled = ListDesk({3: Orders(end="stop")}), ListDesk({3: Orders(end="cancel")})
    a_training(tmp_path / "s", case, stopped, steps=500).run()
    a_training(tmp_path / "c", case, cancelled, steps=500).run()
    assert len(stopped.candidates) >= 1
    assert stopped.of(StateChanged)[-1].state == "validating"
    assert cancelled.of(StateChanged)[-1].state == "training"


def weights(training: Training) -> np.ndarray:
    networks = training.method.learner.student, training.method.learner.teacher
    return np.concatenate([p.detach().numpy().ravel() for network in networks for p in network.parameters()])


@pytest.mark.parametrize(
    ("method", "cut"),
    [
        ("scribble", 3),
        ("scribble", 7),
        ("scribble", 11),
        ("supervised", 5),
        ("shape_intensity", 1),
        ("shape_intensity", 6),
    ],
    ids=[
        "before the correction",
        "after a correction",
        "after the release",
        "supervised",
        "shape teacher",
        "shape student",
    ],
)
def test_a_run_cut_in_any_stage_ends_as_an_uninterrupted_one(tmp_path, a_scribbled_phantom, monkeypatch, method, cut):
    case, truth = a_scribbled_phantom
    if resolve(method).learns_from == "dense":
        case = replace(case, annotation=truth, kind="dense")
    heard = {"gate": 0.0, "feature": 4.0} if method == "shape_intensity" else {}
    monkeypatch.setattr("training_backend.jobs.training.CHECKPOINT_SECONDS", 0.0)

    def a_life(folder: Path, desk: ListDesk) -> Training:
        training = a_training(tmp_path / folder, case, desk, method, steps=14, **heard)
        training.run()
        return training

    whole = a_life(Path("whole"), ListDesk())
    first = a_life(Path("cut"), ListDesk({cut + 2: Orders(end="cancel")}))
    second = a_life(Path("cut"), ListDesk())
    assert first.step == cut + 1
    assert second.step == 14
    np.testing.assert_array_equal(weights(second), weights(whole))


def test_a_restarted_job_has_the_lengthened_budget_and_pays_for_preparation_once(
    tmp_path, a_scribbled_phantom, monkeypatch
):
    """33 of 60 seconds are preparation, a step is one: 36 steps are left, however often the job begins anew."""
    case, _ = a_scribbled_phantom
    now, prepare = [0.0], Training._prepare
    monkeypatch.setattr("training_backend.jobs.training.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("training_backend.engine.budget.Budget._now", lambda _budget: now[0])

    def slowly(training: Training) -> None:
        prepare(training)
        now[0] += 33.0

    class Ticking(ListDesk):
        def orders(self) -> Orders:
            now[0] += 1.0
            return super().orders()

    monkeypatch.setattr(Training, "_prepare", slowly)
    cut, again = (
        a_training(tmp_path, case, desk, seconds=60.0, until_good=False)
        for desk in (Ticking({8: Orders(end="cancel")}), Ticking())
    )
    cut.run()
    again.run()
    assert (cut.step, cut.budget.seconds) == (7, 69.0)
    assert again.budget.seconds == 69.0
    assert 33 <= again.step <= 36


def test_dense_labels_train_the_reference(tmp_path):
    image, labels = phantom((10, 48, 48))
    case = TrainingCase("d" * 64, "dense", image, AFFINE, "dense", 1, labels)
    desk = ListDesk()
    a_training(tmp_path, case, desk, method="supervised", seconds=12.0, clock="cpu").run()
    assert {preview[0] for preview in desk.previews} == {"student"}
    assert dice(desk.candidates[-1][0].predict(image, AFFINE), labels) > 0.9


def test_a_model_is_compared_with_the_one_before(tmp_path, a_scribbled_phantom):
    case, _ = a_scribbled_phantom
    good, bad = ListDesk(), ListDesk()
    a_training(tmp_path / "good", case, good, seconds=10.0, clock="cpu").run()
    request = JobRequest("scribble", CONTRACT, ())
    settings = resolve("scribble", "fast", QUICK | {"steps": 2, "learning_rate": 1e-6})
    older = tmp_path / "good" / "candidate"
    Training(tmp_path / "bad", request, settings, [replace(case)], bad, previous=older).run()
    assert bad.candidates[-1][1] is False
    assert "stays" in bad.candidates[-1][2]


def test_a_job_without_an_annotation_is_refused(tmp_path):
    with pytest.raises(BadAnnotation, match="draw on at least one"):
        Training(tmp_path, JobRequest("scribble", CONTRACT, ()), resolve("scribble"), [], ListDesk())


@pytest.mark.parametrize(("teachers", "silent"), [("growcut", False), ("none", True)])
def test_the_first_teachers_can_be_fewer(tmp_path, a_scribbled_phantom, teachers, silent):
    case, _ = a_scribbled_phantom
    training = a_training(tmp_path, case, ListDesk(), steps=2, first_teachers=teachers)
    training.run()
    undrawn = (training.material.items.strokes_of(0) == -1).numpy()
    believed = training.material.items.belief_of(0).sum(dim=0).numpy()[undrawn]
    assert (believed.max() == 0.0) == silent


def test_an_unlabelled_case_takes_part_and_becomes_annotated_when_it_is_drawn_on(tmp_path, a_scribbled_phantom):
    case, _ = a_scribbled_phantom
    image, truth = phantom((10, 48, 48), seed=3)
    empty = np.full(image.shape, UNLABELLED, np.uint8)
    other = TrainingCase("b" * 64, "other", image, AFFINE, "scribble", 0, empty)
    drawn = annotate(truth, seed=3)
    desk = ListDesk({4: Orders(revisions=(Revision(other.id, 1, drawn, None),))})
    settings = resolve("scribble", "fast", QUICK | {"steps": 6})
    training = Training(tmp_path, JobRequest("scribble", CONTRACT, ()), settings, [other, replace(case)], desk)
    training.run()
    assert [item.name for item in training.cases] == ["phantom", "other"]
    assert training.material.annotated == [0, 1]
    assert (training.material.items.strokes_of(1).numpy() >= 0).any()


def test_methods_take_only_the_cases_they_can_use(a_scribbled_phantom):
    case, truth = a_scribbled_phantom
    dense = replace(case, id="d", annotation=truth, kind="dense")
    bare = replace(case, id="u", annotation=np.full_like(truth, UNLABELLED))
    assistant = replace(dense, id="x", role="assistant")
    every = [case, dense, bare, assistant]
    assert [own.id for own in chosen(every, resolve("scribble"))] == [case.id, "d", "u"]
    assert [own.id for own in chosen(every, resolve("supervised"))] == ["d"]


@pytest.mark.parametrize("method", ["scribble", "supervised"])
def test_a_model_keeps_one_piece_of_what_was_annotated_in_one(tmp_path, method):
    labels = np.zeros((10, 48, 48), np.uint8)
    labels[:, 4:14, 4:14], labels[:, 4:14, 30:40], labels[:, 28:40, 12:30] = 1, 1, 2
    image = (300.0 * labels + np.random.default_rng(0).normal(0, 20, labels.shape)).astype(np.float32)
    drawn = annotate(labels, seed=0, every=2) if method == "scribble" else labels
    kind = "scribble" if method == "scribble" else "dense"
    case = TrainingCase("b" * 64, "pair", image, AFFINE, kind, 1, drawn)
    desk = ListDesk()
    a_training(tmp_path, case, desk, method, steps=2).run()
    assert desk.candidates[-1][0].preprocess.keep_largest == (2,)

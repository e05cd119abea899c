"""The session against a real backend process whose training only counts."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicer_kdseg.headless.boot import HeadlessSlicer
from slicer_kdseg.headless.files import open_scene, save_scene
from slicer_kdseg.headless.host import wait_until
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import (
    BackendUnreachable,
    BadAnnotation,
    BadImage,
    BadSettings,
    Conflict,
    KDSegError,
)
from slicer_kdseg.protocol.labels import UNLABELLED, LabelClass, LabelContract
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.protocol.messages import CaseInUse, JobRequest
from slicer_kdseg.scene.annotation import Annotation, new_annotation
from slicer_kdseg.scene.geometry import array_of_image, array_of_volume, grid_of_volume, new_volume
from slicer_kdseg.scene.painting import Painter
from slicer_kdseg.scene.results import find_preview
from slicer_kdseg.scene.segments import BINARY_LABELMAP
from slicer_kdseg.scene.session import KDSegSession
from slicer_kdseg.scene.state import PreviewShown

Stroke = Callable[[int, int, slice], np.ndarray]


@pytest.fixture
def a_client(a_backend: LocalBackend) -> Iterator[BackendClient]:
    with BackendClient(a_backend.url, a_backend.token) as client:
        yield client


@pytest.fixture
def a_session(a_scene: Any, a_client: BackendClient, an_annotation_with_strokes: Annotation) -> Iterator[KDSegSession]:
    session = KDSegSession(a_scene, a_client)
    session.annotate(an_annotation_with_strokes)
    yield session
    if session.state.can_cancel:
        session.cancel()
        wait_until(session, lambda state: not state.can_cancel, 10)
    session.close()


@pytest.fixture
def a_training_session(a_session: KDSegSession) -> KDSegSession:
    a_session.request_training(settings={"seconds": 30})
    wait_until(a_session, lambda state: state.step > 2, 30)
    return a_session


@pytest.mark.alone
def test_growcut_is_shown_before_the_backend_is_asked(a_session: KDSegSession) -> None:
    shown: list[PreviewShown] = []
    a_session.signals.preview_arrived.connect(shown.append)
    began = time.monotonic()
    a_session.request_training(settings={"seconds": 2})
    assert time.monotonic() - began < 0.5
    wait_until(a_session, lambda state: state.preview_source == "growcut", 5)
    assert a_session.preview is not None
    assert a_session.preview.labels[4, 14, 14] == 1
    assert a_session.preview.provenance.source == "growcut"
    wait_until(a_session, lambda state: state.job_state == "done", 30)
    assert shown[0].source == "growcut"
    assert shown[-1].source == "student"


def test_previews_of_the_student_reach_the_scene(a_session: KDSegSession, a_client: BackendClient) -> None:
    finished: list[object] = []
    a_session.signals.finished.connect(finished.append)
    a_session.request_training(settings={"seconds": 1})
    state = wait_until(a_session, lambda state: state.phase == "annotating" and state.job_state == "done", 30)
    assert len(finished) == 1
    assert state.can_train
    assert state.sentence.startswith("The training is over.")
    assert state.fraction == 1
    newest = a_client.preview(state.job_id, a_client.job(state.job_id).preview)
    assert a_session.preview is not None
    assert np.array_equal(a_session.preview.labels, newest.labels)
    assert a_session.preview.provenance.job_id == state.job_id
    assert a_session.preview.provenance.method == "scribble"
    assert a_session.preview.provenance.step == 50
    assert a_session.preview.node.GetSegmentation().GetNumberOfLayers(BINARY_LABELMAP) == 1


def test_other_volumes_take_part_and_get_previews_of_their_own(a_session: KDSegSession, a_scene: Any) -> None:
    voxels = np.arange(4 * 20 * 24, dtype=np.float32).reshape(4, 20, 24)
    other = new_volume(a_scene, "another", voxels, np.diag([2.0, 2.0, 5.0, 1.0]))
    shown: list[PreviewShown] = []
    a_session.signals.preview_arrived.connect(shown.append)
    a_session.request_training(settings={"seconds": 2}, other_volumes=[other])
    wait_until(a_session, lambda state: any(each.source == "propagated" for each in shown), 20)
    node = find_preview(a_scene, other)
    layer = node.GetSegmentation().GetNthSegment(0).GetRepresentation(BINARY_LABELMAP)
    assert (array_of_image(layer) == 1).all()
    assert node.GetAttribute("KDSeg.Source") == "propagated"
    assert next(each for each in shown if each.source == "propagated").node_id == node.GetID()
    assert a_session.state.preview_source in ("growcut", "student")
    wait_until(a_session, lambda state: state.job_state == "done", 30)
    assert a_session.preview is not None
    assert a_session.preview.provenance.source == "student"


def test_a_correction_joins_the_running_job(
    a_training_session: KDSegSession, a_painter: Painter, stroke: Stroke
) -> None:
    job = a_training_session.state.job_id
    a_painter.paint(4, stroke(5, 30, slice(28, 40)))
    a_training_session.send_correction()
    state = wait_until(a_training_session, lambda state: state.joined_revision == state.revision == 2, 20)
    assert state.job_id == job
    assert state.phase == "training"


def test_nothing_new_is_not_sent_twice(a_training_session: KDSegSession) -> None:
    revision = a_training_session.state.revision
    a_training_session.send_correction()
    step = a_training_session.state.step
    wait_until(a_training_session, lambda state: state.step > step + 10, 20)
    assert a_training_session.state.revision == revision
    assert not a_training_session.state.failure


@pytest.mark.alone
def test_the_scene_is_never_held_up(a_training_session: KDSegSession) -> None:
    longest = 0.0
    until = time.monotonic() + 2
    while time.monotonic() < until:
        began = time.thread_time()
        a_training_session.drain()
        longest = max(longest, time.thread_time() - began)
        time.sleep(0.01)
    assert longest < 0.05


def test_stop_keeps_and_cancel_discards(a_training_session: KDSegSession) -> None:
    wait_until(a_training_session, lambda state: state.preview_source == "student", 20)
    a_training_session.stop()
    assert not a_training_session.state.can_stop
    wait_until(a_training_session, lambda state: state.job_state == "stopped" and state.can_train, 10)
    a_training_session.models.refresh()
    wait_until(a_training_session, lambda state: bool(state.models), 10)
    kept = {model.job for model in a_training_session.state.models}
    assert a_training_session.state.job_id in kept
    a_training_session.request_training(settings={"seconds": 30})
    wait_until(a_training_session, lambda state: state.phase == "training" and state.step > 2, 20)
    a_training_session.cancel()
    wait_until(a_training_session, lambda state: state.job_state == "cancelled" and state.can_train, 10)


def test_an_older_model_is_made_current_and_taken_away(a_session: KDSegSession, tmp_path: Path) -> None:
    for _ in range(2):
        a_session.request_training(settings={"seconds": 1, "seed": 6})
        wait_until(a_session, lambda state: state.phase == "annotating" and state.job_state == "done", 30)
    a_session.models.refresh()
    wait_until(a_session, lambda state: len(state.models) > 1, 10)
    older = a_session.state.models[1].number
    a_session.models.make_current(older)
    wait_until(a_session, lambda state: state.current_model == older, 10)
    arrived: list[Path] = []
    a_session.signals.model_downloaded.connect(arrived.append)
    a_session.models.download(older, tmp_path / "model")
    wait_until(a_session, lambda state: bool(arrived), 10)
    assert (tmp_path / "model" / "model.json").is_file()


def test_segmenting_other_images_can_be_cancelled_and_outlives_the_image_at_hand(
    a_session: KDSegSession, a_client: BackendClient, a_scene: Any, a_contract: LabelContract
) -> None:
    said: list[str] = []
    a_session.signals.warned.connect(said.append)
    a_session.request_training(settings={"seconds": 1})
    wait_until(a_session, lambda state: state.job_state == "done", 20)
    a_session.models.refresh()
    wait_until(a_session, lambda state: bool(state.models), 10)
    model = a_session.state.models[0]
    a_session.request_training(settings={"seconds": 60})
    wait_until(a_session, lambda state: state.step > 2, 20)

    voxels = np.arange(4 * 20 * 24, dtype=np.float32).reshape(4, 20, 24)
    first, second = (new_volume(a_scene, name, voxels + n, np.eye(4)) for n, name in enumerate(("one", "two")))
    for other in (first, second):
        a_session.predictions.predict(other, model)
    assert a_session.state.predicting == 2
    sent = wait_for(lambda: [job for job in a_client.jobs() if job.method == "predict"])
    a_session.predictions.cancel()
    assert a_session.state.predicting == 0
    # A counted model is none, and the worker can be quicker to find that out than to be ended.
    wait_for(lambda: a_client.job(sent[0].id).state in ("cancelled", "failed"))
    assert not said
    assert len([job for job in a_client.jobs() if job.method == "predict"]) == 1, "the other one was never sent"

    a_session.predictions.predict(first, model)
    a_session.cancel()
    wait_until(a_session, lambda state: state.can_train, 20)
    a_session.annotate(new_annotation(a_scene, second, a_contract))
    wait_until(a_session, lambda state: state.predicting == 0, 30)
    assert any("not a model folder" in sentence for sentence in said), "what the counting backend says of its models"


def wait_for(question: Callable[[], Any]) -> Any:
    """The answer, once there is one."""
    end = time.monotonic() + 20
    while not (answer := question()):
        assert time.monotonic() < end, "It did not happen in time."
        time.sleep(0.1)
    return answer


def test_refusals_come_before_a_byte_leaves(
    a_scene: Any, a_client: BackendClient, an_empty_annotation: Annotation, a_painter: Painter, stroke: Stroke
) -> None:
    session = KDSegSession(a_scene, a_client)
    with pytest.raises(Conflict, match="not possible now: Choose an image"):
        session.request_training()
    session.annotate(an_empty_annotation)
    with pytest.raises(BadAnnotation, match="annotation is empty"):
        session.request_training()
    a_painter.paint(0, stroke(3, 3, slice(4, 44)))
    with pytest.raises(BadAnnotation, match=r"'liver' .* draw at least one stroke"):
        session.request_training()
    a_painter.paint(1, stroke(3, 13, slice(10, 18)))
    with pytest.raises(BadAnnotation, match="'spleen'"):
        session.request_training()
    a_painter.paint(4, stroke(3, 28, slice(28, 40)))
    with pytest.raises(BadSettings, match="no method 'magic'"):
        session.request_training("magic")
    with pytest.raises(BadSettings, match="Did you mean 'seconds'"):
        session.request_training(settings={"second": 3})
    assert session.state.phase == "annotating"
    session.close()


def test_missing_background_is_offered_and_then_made(
    a_session: KDSegSession, an_annotation_with_strokes: Annotation, a_painter: Painter
) -> None:
    a_painter.erase(0, np.ones((10, 40, 48), bool))
    before = an_annotation_with_strokes.read().counts
    with pytest.raises(BadAnnotation, match="automatic background"):
        a_session.preview_growcut()
    a_session.automatic_background = True
    a_session.preview_growcut()
    wait_until(a_session, lambda state: state.preview_source == "growcut" and state.can_train, 5)
    assert an_annotation_with_strokes.read().counts == before


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda image: image.__setitem__((0, 0, 0), np.nan), "NaN or infinite"),
        (lambda image: image.__setitem__(..., 5), "constant"),
    ],
)
def test_an_unfit_image_fails_with_a_sentence(
    a_session: KDSegSession, a_volume: Any, spoil: Callable[[np.ndarray], None], sentence: str
) -> None:
    spoil(array_of_volume(a_volume))
    told: list[str] = []
    a_session.signals.failed.connect(told.append)
    a_session.request_training()
    with pytest.raises(KDSegError, match=sentence):
        wait_until(a_session, lambda state: state.phase == "training", 10)
    assert sentence in told[0]
    assert a_session.state.can_train


def test_a_tiny_image_is_refused(a_scene: Any, a_client: BackendClient, a_contract: LabelContract) -> None:
    tiny = new_volume(a_scene, "tiny", np.arange(8 * 9 * 10).reshape(8, 9, 10).astype(np.int16), np.eye(4))
    session = KDSegSession(a_scene, a_client)
    session.annotate(new_annotation(a_scene, tiny, a_contract))
    with pytest.raises(BadImage, match="too small"):
        session.request_training()
    session.close()


def test_growcut_needs_no_backend(a_scene: Any, an_annotation_with_strokes: Annotation) -> None:
    session = KDSegSession(a_scene)
    session.annotate(an_annotation_with_strokes)
    with pytest.raises(BackendUnreachable, match="No backend is connected"):
        session.request_training()
    session.preview_growcut()
    wait_until(session, lambda state: state.preview_source == "growcut", 5)
    session.close()


def test_train_may_be_pressed_while_growcut_grows(a_session: KDSegSession) -> None:
    a_session.preview_growcut()
    assert a_session.state.can_train
    a_session.request_training(settings={"seconds": 2})
    wait_until(a_session, lambda state: state.phase == "training", 10)
    wait_until(a_session, lambda state: state.job_state == "done", 30)


def test_a_stroke_drawn_while_growcut_grows_is_grown_too(a_session: KDSegSession, a_painter: Painter) -> None:
    shown: list[PreviewShown] = []
    a_session.signals.preview_arrived.connect(shown.append)
    a_session.preview_growcut()
    corner = np.zeros((10, 40, 48), bool)
    corner[8, 36:39, 2:6] = True
    a_painter.paint(4, corner)
    a_session.preview_growcut()
    wait_until(a_session, lambda state: state.phase == "annotating", 5)
    assert a_session.preview is not None
    assert (a_session.preview.labels[corner] == 4).all()
    assert len(shown) == 1


def test_closing_the_scene_says_how_to_go_on(a_training_session: KDSegSession, a_scene: Any) -> None:
    job = a_training_session.state.job_id
    a_scene.Clear(False)
    assert a_training_session.state.phase == "empty"
    assert f"'{job}' goes on in the backend" in a_training_session.state.sentence
    a_training_session.drain()


def test_removing_the_volume_ends_the_session_on_it(a_training_session: KDSegSession, a_scene: Any) -> None:
    assert a_training_session.annotation is not None
    a_scene.RemoveNode(a_training_session.annotation.volume)
    a_training_session.drain()
    assert a_training_session.state.phase == "empty"
    assert "removed" in a_training_session.state.sentence


def test_a_saved_scene_goes_on_with_its_job(
    a_training_session: KDSegSession, a_slicer: HeadlessSlicer, a_client: BackendClient, tmp_path: Path
) -> None:
    wait_until(a_training_session, lambda state: state.preview_source == "student", 20)
    job = a_training_session.state.job_id
    save_scene(a_slicer, tmp_path / "scene.mrb")
    open_scene(a_slicer, tmp_path / "scene.mrb")
    volume = a_slicer.scene.GetFirstNodeByName("abdomen")
    later = KDSegSession(a_slicer.scene, a_client)
    later.annotate(Annotation(volume, a_slicer.scene.GetFirstNodeByName("abdomen annotation")))
    before = wait_until(later, lambda state: state.phase == "training" and state.preview_source == "student", 20)
    assert before.job_id == job
    assert before.sentence == "The training is running."
    wait_until(later, lambda state: state.step > before.step, 20)
    later.cancel()
    wait_until(later, lambda state: state.job_state == "cancelled" and state.can_train, 10)
    assert find_preview(a_slicer.scene, volume) is not None
    later.close()


def test_a_backend_that_dies_is_followed_again(
    a_scene: Any, an_annotation_with_strokes: Annotation, tmp_path: Path, counting: tuple[str, ...]
) -> None:
    strokes = an_annotation_with_strokes.read().labels
    with LocalBackend(tmp_path / "root", options=counting) as first:
        session = KDSegSession(a_scene, BackendClient(first.url, first.token))
        session.annotate(an_annotation_with_strokes)
        session.request_training(settings={"seconds": 30})
        wait_until(session, lambda state: state.step > 5, 30)
        job = session.state.job_id
    wait_until(session, lambda state: bool(state.trouble), 20)
    assert np.array_equal(an_annotation_with_strokes.read().labels, strokes)
    with LocalBackend(tmp_path / "root", options=counting) as second:
        session.connect(BackendClient(second.url, second.token))
        step = session.state.step
        wait_until(session, lambda state: state.step > step + 5 and not state.trouble, 40)
        assert session.state.job_id == job
        session.stop()
        wait_until(session, lambda state: state.job_state == "stopped" and state.can_train, 10)
    session.close()


@pytest.mark.parametrize(
    ("seed", "words"),
    [(2, "take another one"), (3, "memory ran out"), (4, "Its log ends")],  # as in counting_training
)
def test_a_training_that_fails_says_why_and_leaves_the_strokes(
    a_session: KDSegSession, an_annotation_with_strokes: Annotation, seed: int, words: str
) -> None:
    before = an_annotation_with_strokes.read().labels
    a_session.request_training(settings={"seconds": 30, "seed": seed})
    with pytest.raises(KDSegError, match=words):
        wait_until(a_session, lambda state: state.job_state == "done", 30)
    assert a_session.state.can_train
    assert a_session.state.preview_source == "growcut"
    assert np.array_equal(an_annotation_with_strokes.read().labels, before)


def test_a_worker_that_is_killed_is_said_and_the_training_goes_on(
    a_training_session: KDSegSession, a_backend: LocalBackend
) -> None:
    told: list[str] = []
    a_training_session.signals.state_changed.connect(lambda state: told.append(state.sentence))
    step = a_training_session.state.step
    tasks = Path(f"/proc/{a_backend.pid}/task")
    if not tasks.exists():
        pytest.skip("needs /proc to find the worker")
    for worker in {pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()}:
        os.kill(int(worker), signal.SIGKILL)
    wait_until(a_training_session, lambda state: any("it was killed" in sentence for sentence in told), 20)
    wait_until(a_training_session, lambda state: state.step > step + 20 and state.phase == "training", 20)
    assert not a_training_session.state.failure


def test_a_request_that_is_cancelled_on_its_way_leaves_no_job_running(
    a_session: KDSegSession, a_client: BackendClient
) -> None:
    a_session.request_training(settings={"seconds": 30})
    wait_until(a_session, lambda state: state.phase == "sending", 10)
    a_session.cancel()
    wait_until(a_session, lambda state: state.can_train and state.job_state == "cancelled", 20)
    assert {status.state for status in a_client.jobs()} == {"cancelled"}


def test_a_class_added_while_training_needs_a_new_training(
    a_training_session: KDSegSession, an_annotation_with_strokes: Annotation, a_painter: Painter, stroke: Stroke
) -> None:
    an_annotation_with_strokes.add_class(LabelClass(9, "aorta"))
    a_painter.paint(9, stroke(3, 20, slice(20, 24)))
    with pytest.raises(BadAnnotation, match="stop it and train again"):
        a_training_session.send_correction()
    assert a_training_session.state.phase == "training"


def test_a_remembered_job_on_an_absent_backend_is_said(
    a_training_session: KDSegSession, a_scene: Any, an_annotation_with_strokes: Annotation
) -> None:
    job = a_training_session.state.job_id
    later = KDSegSession(a_scene, BackendClient("http://127.0.0.1:9"))
    later.annotate(an_annotation_with_strokes)
    wait_until(later, lambda state: bool(state.trouble), 20)
    assert f"'{job}' cannot be followed now" in later.state.sentence
    assert later.state.can_train
    later.close()


def test_a_second_click_on_cancel_changes_nothing(a_session: KDSegSession, a_client: BackendClient) -> None:
    a_session.request_training(settings={"seconds": 30})
    wait_until(a_session, lambda state: state.phase == "sending", 10)
    a_session.cancel()
    a_session.cancel()
    wait_until(a_session, lambda state: state.job_state == "cancelled" and state.can_train, 20)
    assert [job.state for job in a_client.jobs()] == ["cancelled"]


def test_a_training_on_its_way_is_found_again_where_another_image_was_opened_meanwhile(
    a_session: KDSegSession, a_scene: Any, an_annotation_with_strokes: Annotation, a_contract: LabelContract
) -> None:
    a_session.request_training(settings={"seconds": 30})
    wait_until(a_session, lambda state: state.phase == "sending", 10)
    noise = np.random.default_rng(4).normal(size=(10, 40, 48)).astype(np.float32)
    a_session.annotate(new_annotation(a_scene, new_volume(a_scene, "next", noise, np.eye(4)), a_contract))
    node = find_preview(a_scene, an_annotation_with_strokes.volume)
    wait_until(a_session, lambda state: bool(node.GetAttribute("KDSeg.JobId")), 10)
    assert a_session.state.phase == "annotating"
    a_session.annotate(an_annotation_with_strokes)
    wait_until(a_session, lambda state: state.phase == "training" and state.preview_source == "student", 20)


def test_train_is_not_overtaken_by_the_job_that_the_scene_remembers(
    a_training_session: KDSegSession, a_client: BackendClient
) -> None:
    session, before = a_training_session, a_training_session.state.job_id
    assert session.annotation is not None
    session.annotate(session.annotation)  # asks for the job
    session.request_training(settings={"seconds": 30})
    wait_until(session, lambda state: state.job_id not in ("", before), 20)
    assert session.state.waits_for == (before,)
    session.make_way()
    wait_until(session, lambda state: state.preview_source == "student" and state.job_state == "training", 20)
    assert a_client.job(before).state == "stopped"


def test_what_is_shown_stays_what_it_was_when_it_is_found_again(
    a_session: KDSegSession, an_annotation_with_strokes: Annotation
) -> None:
    a_session.request_training(settings={"seconds": 1})
    wait_until(a_session, lambda state: state.job_state == "done" and state.can_train, 30)
    assert a_session.preview is not None
    before = dataclasses.replace(a_session.preview.provenance, source="growcut")  # as where the student was not shown
    a_session.preview.attribute(before)
    shown: list[PreviewShown] = []
    a_session.signals.preview_arrived.connect(shown.append)
    a_session.annotate(an_annotation_with_strokes)
    wait_until(a_session, lambda state: bool(shown) and state.job_state == "done" and state.can_train, 20)
    assert a_session.preview.provenance == before
    assert before.model == "1"


def test_the_list_of_models_comes_though_another_image_was_opened_meanwhile(
    a_session: KDSegSession, an_annotation_with_strokes: Annotation
) -> None:
    a_session.request_training(settings={"seconds": 1})
    wait_until(a_session, lambda state: state.job_state == "done" and state.can_train, 30)
    a_session.models.forget()
    a_session.models.refresh()
    a_session.annotate(an_annotation_with_strokes)
    wait_until(a_session, lambda state: len(state.models) == 1, 10)


def test_strokes_are_never_sent_as_complete_labels(
    a_scene: Any, a_client: BackendClient, an_annotation_with_strokes: Annotation
) -> None:
    session = KDSegSession(a_scene, a_client)
    session.annotate(an_annotation_with_strokes)
    with pytest.raises(BadAnnotation, match="learns from a finished segmentation, and these are strokes"):
        session.request_training("one_shot", kind="dense")
    case = a_client.upload_case(
        array_of_volume(an_annotation_with_strokes.volume), grid_of_volume(an_annotation_with_strokes.volume).affine
    )
    contract, labels = an_annotation_with_strokes.contract, an_annotation_with_strokes.read().labels
    dense = a_client.upload_annotation(case, np.where(labels == UNLABELLED, 0, labels), contract, "dense")
    strokes = a_client.upload_annotation(case, labels, contract)
    cases = (CaseInUse(case, dense, "dense"),)
    job = a_client.start_job(JobRequest("supervised", contract, cases, settings={"seconds": 30.0}))
    with pytest.raises(BadAnnotation, match="learns from complete labels"):
        a_client.join_annotation(job.id, case, strokes)
    a_client.cancel(job.id)
    session.close()

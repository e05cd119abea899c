"""Other cases of a training, against a real backend process whose training only counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slicer_kdseg.headless.host import wait_until
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.digests import case_id
from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import UNLABELLED, LabelClass, LabelContract
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.scene.annotation import Annotation, choose_finished, new_annotation
from slicer_kdseg.scene.cohort import chosen_cases, labelled_case
from slicer_kdseg.scene.geometry import new_volume
from slicer_kdseg.scene.painting import Painter
from slicer_kdseg.scene.session import KDSegSession


@pytest.fixture
def another_volume(a_scene: Any) -> Any:
    image = np.random.default_rng(5).normal(0, 4, (8, 30, 32)).astype(np.float32)
    return new_volume(a_scene, "pelvis", image, np.diag([1.0, 1.0, 3.0, 1.0]))


def test_labelled_volumes_are_sent_and_take_part(
    a_scene: Any, a_backend: LocalBackend, an_annotation_with_strokes: Annotation, another_volume: Any, tmp_path: Path
) -> None:
    client = BackendClient(a_backend.url, a_backend.token)
    session = KDSegSession(a_scene, client)
    session.annotate(an_annotation_with_strokes)
    contract = an_annotation_with_strokes.contract
    annotation = new_annotation(a_scene, another_volume, contract)
    assert chosen_cases(a_scene, [another_volume.GetID()], "scribble", contract).unlabelled == (another_volume,)
    painter = Painter(a_scene, annotation)
    mask = np.zeros((8, 30, 32), bool)
    mask[2, 5, 5:10] = True
    painter.paint(1, mask)
    painter.close()
    (other,) = chosen_cases(a_scene, [another_volume.GetID(), "gone"], "scribble", contract).labelled
    with pytest.raises(BadAnnotation, match="'pelvis' has no finished segmentation"):
        chosen_cases(a_scene, [another_volume.GetID()], "supervised", contract)  # strokes are no complete labels
    assert chosen_cases(a_scene, [another_volume.GetID()], "one_shot", contract).unlabelled == (another_volume,)
    choose_finished(annotation.node, another_volume)
    assert len(chosen_cases(a_scene, [another_volume.GetID()], "supervised", contract).labelled) == 1
    session.request_training(settings={"seconds": 1}, labelled=(other,))
    wait_until(session, lambda state: state.job_state == "done" and state.can_train, 30)
    id_ = case_id(other.image, other.affine)
    assert any(id_ in path.name for path in (tmp_path / "backend").rglob("*"))
    session.close()
    client.close()


def test_a_labelled_case_need_not_hold_every_class_but_something(
    a_scene: Any,
    another_volume: Any,
    a_contract: LabelContract,
) -> None:
    annotation = new_annotation(a_scene, another_volume, a_contract)
    with pytest.raises(BadAnnotation, match="empty"):
        labelled_case(annotation, "scribble", a_contract)
    painter = Painter(a_scene, annotation)
    mask = np.zeros((8, 30, 32), bool)
    mask[2, 5, 5:10] = True
    painter.paint(1, mask)
    painter.close()
    assert labelled_case(annotation, "scribble", a_contract).role == "target"
    dense = labelled_case(annotation, "dense", a_contract, "assistant")
    assert dense.role == "assistant"
    assert set(np.unique(dense.labels())) == {0, 1}


def test_classes_of_another_image_are_matched_by_name_and_never_by_number(
    a_scene: Any, another_volume: Any, a_contract: LabelContract
) -> None:
    spleen, liver = LabelClass(1, "Spleen"), LabelClass(2, "liver ")
    annotation = new_annotation(a_scene, another_volume, LabelContract((a_contract.classes[0], spleen, liver)))
    mask = np.zeros((8, 30, 32), bool)
    mask[2, 5, 5:10] = True
    painter = Painter(a_scene, annotation)
    painter.paint(1, mask)
    painter.paint(2, np.roll(mask, 9, axis=1))
    labels = labelled_case(annotation, "scribble", a_contract).labels()
    assert (labels[mask] == 4).all(), "the spleen of the open image is number 4"
    assert (labels[np.roll(mask, 9, axis=1)] == 1).all()
    annotation.add_class(LabelClass(3, "kidney"))
    painter.paint(3, np.roll(mask, 15, axis=1))
    painter.close()
    with pytest.raises(BadAnnotation, match=r"'pelvis' has classes that the open image does not have \(kidney\)"):
        labelled_case(annotation, "scribble", a_contract)
    dense = labelled_case(annotation, "dense", a_contract, "assistant").labels()
    assert (dense[np.roll(mask, 15, axis=1)] == UNLABELLED).all(), "an assistant may know more"

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vtkmodules.vtkCommonDataModel import vtkPolyData

from slicer_kdseg.headless.boot import HeadlessSlicer
from slicer_kdseg.headless.files import open_scene, save_scene
from slicer_kdseg.protocol.errors import OutOfSpace
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.freezing import frozen_later
from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume, new_volume
from slicer_kdseg.scene.nodes import source_of
from slicer_kdseg.scene.painting import Painter
from slicer_kdseg.scene.results import PreviewSegmentation, Provenance, segment_id
from slicer_kdseg.scene.review import Review, ReviewCase, differences, supersede
from slicer_kdseg.scene.review_report import ReviewReport
from slicer_kdseg.scene.segments import LABEL_ID, segments

Stroke = Callable[[int, int, slice], np.ndarray]


STUDENT = Provenance(method="scribble", source="student")


@pytest.fixture
def a_prediction(a_scene: Any, a_volume: Any, a_contract: LabelContract) -> PreviewSegmentation:
    preview = PreviewSegmentation(a_scene, a_volume, a_contract)
    labels = np.zeros((10, 40, 48), np.uint8)
    labels[2:8, 8:20, 8:20] = 1
    labels[2:8, 22:34, 26:42] = 4
    preview.show(labels)
    preview.attribute(STUDENT)
    return preview


@pytest.fixture
def a_review(a_scene: Any, a_prediction: PreviewSegmentation) -> Review:
    return Review(a_scene, "anna")


def test_cases_are_predictions_never_what_the_user_drew(a_review: Review, an_empty_annotation: Annotation) -> None:
    assert [case.name for case in a_review.cases()] == ["abdomen"]


def test_any_segmentation_with_a_volume_can_be_reviewed(
    a_scene: Any, a_volume: Any, its_segmentation: Any, the_chest_ct: Any
) -> None:
    its_segmentation.SetReferenceImageGeometryParameterFromVolumeNode(the_chest_ct)
    cases = Review(a_scene, "anna").cases()
    assert [case.prediction for case in cases] == [its_segmentation]
    accepted = Review(a_scene, "anna").accept(cases[0])
    assert all(row.dice == 1 or row.dice is None for row in differences(accepted))


def test_surfaces_alone_are_no_case_and_next_passes_them_by(
    a_review: Review, a_scene: Any, a_contract: LabelContract
) -> None:
    volume = new_volume(a_scene, "aorta", np.random.default_rng(1).normal(size=(4, 20, 20)), np.eye(4))
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "a model from elsewhere")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetSourceRepresentationToClosedSurface()
    node.AddSegmentFromClosedSurfaceRepresentation(vtkPolyData(), "aorta")
    (abdomen,) = a_review.cases()
    assert a_review.next_open(abdomen).prediction is abdomen.prediction


def test_accepting_freezes_what_a_training_goes_on_changing(
    a_review: Review, a_prediction: PreviewSegmentation
) -> None:
    case = a_review.accept(a_review.cases()[0])
    a_prediction.show(np.zeros((10, 40, 48), np.uint8))
    assert (case.verdict, case.reader) == ("accepted", "anna")
    assert case.time
    assert Annotation(case.volume, case.reviewed).read().counts[1] == 6 * 12 * 12
    assert a_review.cases()[0].reviewed is case.reviewed


def test_a_correction_is_measured_class_by_class(a_review: Review, a_scene: Any, stroke: Stroke) -> None:
    case = a_review.correct(a_review.cases()[0])
    painter = Painter(a_scene, Annotation(case.volume, case.reviewed))
    painter.erase(1, np.pad(np.ones((3, 40, 48), bool), ((0, 7), (0, 0), (0, 0))))
    painter.close()
    rows = {row.name: row for row in differences(case)}
    assert rows["spleen"].dice == 1
    assert rows["spleen"].changed_voxels == 0
    assert rows["liver"].changed_voxels == 144
    assert rows["liver"].predicted_ml == pytest.approx(6 * 144 * 4 / 1000)
    assert rows["liver"].dice == pytest.approx(2 * 5 / 11)


def test_a_class_that_neither_holds_has_no_dice(a_review: Review, a_prediction: PreviewSegmentation) -> None:
    a_prediction.show(np.zeros((10, 40, 48), np.uint8))
    assert [row.dice for row in differences(a_review.accept(a_review.cases()[0]))] == [None, None]


def test_rejecting_keeps_what_was_corrected(a_review: Review, a_scene: Any) -> None:
    case = a_review.correct(a_review.cases()[0])
    a_review.reject(case)
    assert case.verdict == "rejected"
    assert a_scene.IsNodePresent(case.reviewed)
    a_review.accept(case)
    a_review.correct(case)
    assert a_review.accept(case).verdict == "corrected"


def test_a_preview_that_has_not_come_yet_is_no_case(a_scene: Any, a_volume: Any, a_contract: LabelContract) -> None:
    preview, review = PreviewSegmentation(a_scene, a_volume, a_contract), Review(a_scene, "anna")
    assert review.cases() == []
    preview.attribute(STUDENT)
    assert [case.prediction for case in review.cases()] == [preview.node]


def test_a_segmentation_from_a_file_belongs_to_the_image_on_its_grid(
    a_review: Review, a_scene: Any, a_volume: Any, a_prediction: PreviewSegmentation, tmp_path: Path
) -> None:
    new_volume(a_scene, "another", np.random.default_rng(1).normal(size=(4, 20, 20)), np.eye(4))
    storage = a_scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "other.seg.nrrd"))
    loaded = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
    assert storage.WriteData(a_prediction.node)
    assert storage.ReadData(loaded)
    assert source_of(loaded) is None
    assert (a_volume, loaded) in [(case.volume, case.prediction) for case in a_review.cases()]
    new_volume(a_scene, "a copy", array_of_volume(a_volume).copy(), grid_of_volume(a_volume).affine)
    assert loaded not in [case.prediction for case in a_review.cases()], "of two images nobody knows which"


def test_next_goes_round_the_open_cases(a_review: Review, a_scene: Any, a_contract: LabelContract) -> None:
    for name in ("brain", "chest"):
        volume = new_volume(a_scene, name, np.random.default_rng(1).normal(size=(4, 20, 20)), np.eye(4))
        PreviewSegmentation(a_scene, volume, a_contract).attribute(STUDENT)
    abdomen, brain, chest = a_review.cases()

    def after(case: ReviewCase) -> str:
        found = a_review.next_open(case)
        return found.name if found else ""

    assert after(abdomen) == "brain"
    a_review.reject(brain)
    assert after(abdomen) == "chest"
    assert after(chest) == "abdomen"
    a_review.reject(chest)
    a_review.reject(abdomen)
    assert after(abdomen) == ""


def test_a_review_is_saved_with_the_scene(a_review: Review, a_slicer: HeadlessSlicer, tmp_path: Path) -> None:
    case = a_review.correct(a_review.cases()[0])
    a_review.note(case, "left border, twice")
    save_scene(a_slicer, tmp_path / "scene.mrb")
    open_scene(a_slicer, tmp_path / "scene.mrb")
    found = Review(a_slicer.scene, "ben").cases()[0]
    assert (found.verdict, found.reader, found.note) == ("corrected", "anna", "left border, twice")
    assert found.reviewed is not None


def test_the_report_is_a_table_and_a_page(a_review: Review, tmp_path: Path) -> None:
    case = a_review.accept(a_review.cases()[0])
    a_review.note(case, "<b>fine</b>")
    report = ReviewReport(a_review.cases())
    files = report.write(tmp_path / "report")
    assert (report.done, report.cases) == (1, 1)
    rows = list(csv.DictReader(files.table.read_text(encoding="utf-8").splitlines()))
    assert [(row["class"], row["dice"], row["verdict"]) for row in rows] == [
        ("liver", "1.0000", "accepted"),
        ("spleen", "1.0000", "accepted"),
    ]
    assert "&lt;b&gt;fine" in files.page.read_text(encoding="utf-8")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutOfSpace, match="choose another folder"):
        ReviewReport([]).write(tmp_path / "file" / "below")


def test_copies_keep_the_numbers_of_what_they_were_made_from(
    a_scene: Any, a_volume: Any, a_prediction: PreviewSegmentation
) -> None:
    foreign = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "theirs")
    foreign.SetAndObserveSegmentation(frozen_later(a_prediction.node.GetSegmentation())())
    for segment in segments(foreign.GetSegmentation()):
        segment.RemoveTag(LABEL_ID)
    foreign.SetReferenceImageGeometryParameterFromVolumeNode(a_volume)
    review = Review(a_scene, "anna")
    case = review.correct(next(case for case in review.cases() if case.prediction is foreign))
    assert case.reviewed is not None
    case.reviewed.GetSegmentation().RemoveSegment(segment_id(1))
    dice = {row.name: row.dice for row in differences(case)}
    assert dice == {"liver": 0, "spleen": 1}


def test_what_was_edited_is_corrected_whatever_was_said_in_between(a_review: Review) -> None:
    (case,) = a_review.cases()
    case = a_review.correct(case)
    case = a_review.reject(case)
    assert a_review.accept(case).verdict == "corrected"


def test_another_result_in_the_same_place_waits_for_a_verdict_of_its_own(
    a_review: Review, a_prediction: PreviewSegmentation
) -> None:
    accepted = a_review.accept(a_review.cases()[0])
    a_review.note(accepted, "fine")
    supersede(a_prediction.node)
    (case,) = a_review.cases()
    assert (case.verdict, case.note, case.reader, case.reviewed) == ("open", "", "", None)
    assert accepted.reviewed.GetScene() is not None, "what was accepted stays in the scene"

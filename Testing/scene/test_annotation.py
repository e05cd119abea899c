from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelContract
from slicer_kdseg.scene.annotation import Annotation, choose_finished
from slicer_kdseg.scene.background import with_automatic_background
from slicer_kdseg.scene.collecting import snapshot
from slicer_kdseg.scene.geometry import array_of_image, array_of_volume, grid_of_volume, new_labelmap, new_volume
from slicer_kdseg.scene.painting import Painter
from slicer_kdseg.scene.segments import BINARY_LABELMAP, LABEL_ID, label_id, segments

Stroke = Callable[[int, int, slice], np.ndarray]


def test_strokes_carry_ids_and_the_rest_is_unlabelled(an_annotation_with_strokes: Annotation) -> None:
    strokes = an_annotation_with_strokes.read()
    assert strokes.counts == {0: 160, 1: 16, 4: 24}
    assert strokes.labels[3, 28, 30] == 4
    assert strokes.labels[0, 0, 0] == UNLABELLED


def test_labels_travel_by_id_when_segments_change_places(an_annotation_with_strokes: Annotation) -> None:
    before = an_annotation_with_strokes.read().labels
    segmentation = an_annotation_with_strokes.node.GetSegmentation()
    segmentation.SetSegmentIndex(segmentation.GetNthSegmentID(0), 2)
    assert [label_id(segment) for segment in segments(segmentation)] == [1, 4, 0]
    assert np.array_equal(an_annotation_with_strokes.read().labels, before)
    assert an_annotation_with_strokes.contract.ids == (0, 1, 4)


def test_the_contract_comes_back_with_names_colours_and_terminology(
    an_empty_annotation: Annotation, a_contract: LabelContract
) -> None:
    assert {c.id: c.name for c in an_empty_annotation.contract.classes} == {0: "background", 1: "liver", 4: "spleen"}
    liver = an_empty_annotation.contract.by_id(1)
    assert liver.terminology == a_contract.by_id(1).terminology
    assert liver.color == pytest.approx((0.9, 0.5, 0.3))


def test_segments_that_a_user_added_get_ids_of_their_own(a_scene: Any, a_volume: Any) -> None:
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "by hand")
    for name in ("kidney", "Background", "spleen"):
        node.GetSegmentation().AddEmptySegment("", name)
    copied = slicer.vtkSegment()
    copied.DeepCopy(node.GetSegmentation().GetNthSegment(0))
    annotation = Annotation(a_volume, node)
    copied.SetTag(LABEL_ID, "1")
    copied.SetName("kidney copy")
    node.GetSegmentation().AddSegment(copied, "copy")
    names = {label.id: label.name for label in annotation.contract.classes}
    assert names == {0: "Background", 1: "kidney", 2: "spleen", 3: "kidney copy"}


def test_background_is_a_class_even_without_a_segment_but_not_without_a_stroke(
    a_scene: Any, an_annotation_with_strokes: Annotation
) -> None:
    segmentation = an_annotation_with_strokes.node.GetSegmentation()
    segmentation.RemoveSegment(an_annotation_with_strokes.segment_id_of(0))
    assert an_annotation_with_strokes.contract.ids == (0, 1, 4)
    assert set(snapshot(an_annotation_with_strokes, "dense", False).collect().labels.ravel().tolist()) == {0, 1, 4}
    with pytest.raises(BadAnnotation, match="background has no stroke"):
        snapshot(an_annotation_with_strokes, "scribble", False)


def test_overlapping_segments_follow_the_stated_rule(an_annotation_with_strokes: Annotation, stroke: Stroke) -> None:
    segmentation = an_annotation_with_strokes.node.GetSegmentation()
    for segment in segments(segmentation):
        segmentation.SeparateSegmentLabelmap(segmentation.GetSegmentIdBySegment(segment))
    assert segmentation.GetNumberOfLayers(BINARY_LABELMAP) == 3
    _overlay(an_annotation_with_strokes, 1, stroke(3, 3, slice(4, 10)))  # over background
    _overlay(an_annotation_with_strokes, 4, stroke(6, 13, slice(10, 14)))  # over liver
    strokes = an_annotation_with_strokes.read()
    assert (strokes.labels[3, 3, 4:10] == 1).all()
    assert (strokes.labels[6, 13, 10:14] == UNLABELLED).all()
    assert strokes.contradictions == 4


def test_coverage_names_the_class_that_has_no_stroke(
    an_empty_annotation: Annotation, a_painter: Painter, stroke: Any
) -> None:
    a_painter.paint(1, stroke(3, 13, slice(10, 18)) | stroke(5, 13, slice(10, 18)))
    lines = an_empty_annotation.coverage()
    assert lines[4] == "spleen: no stroke yet"
    assert lines[1] == "liver: 16 voxels on 2 slices"


def test_labels_of_another_volume_are_refused_naming_both(a_scene: Any, an_annotation_with_strokes: Annotation) -> None:
    other = new_volume(a_scene, "other", np.zeros((10, 40, 48), np.int16), np.diag([1.0, 1.5, 4.0, 1.0]))
    with pytest.raises(BadAnnotation, match=r"'abdomen annotation'.*'other'"):
        Annotation(other, an_annotation_with_strokes.node).read()


def test_labels_under_another_transform_are_refused(a_scene: Any, an_annotation_with_strokes: Annotation) -> None:
    transform = a_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "shift")
    an_annotation_with_strokes.volume.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(BadAnnotation, match="different transforms"):
        an_annotation_with_strokes.read()


def test_undo_and_redo_take_strokes_back_and_forth(
    an_empty_annotation: Annotation, a_painter: Painter, stroke: Any
) -> None:
    a_painter.paint(1, stroke(3, 13, slice(10, 18)))
    a_painter.paint(4, stroke(3, 13, slice(10, 14)))
    assert an_empty_annotation.read().counts == {1: 4, 4: 4}
    a_painter.undo()
    assert an_empty_annotation.read().counts == {1: 8}
    a_painter.redo()
    assert an_empty_annotation.read().counts == {1: 4, 4: 4}
    a_painter.erase(1, stroke(3, 13, slice(0, 48)))
    assert an_empty_annotation.read().counts == {4: 4}


def test_automatic_background_stays_away_from_classes(
    an_empty_annotation: Annotation, a_painter: Painter, stroke: Any
) -> None:
    a_painter.paint(1, stroke(3, 13, slice(10, 18)))
    a_painter.paint(4, stroke(3, 28, slice(28, 40)))
    labels = an_empty_annotation.read().labels
    volume = an_empty_annotation.volume
    image = array_of_volume(volume)
    added = with_automatic_background(image, labels, grid_of_volume(volume).spacing_mm)
    placed = added == BACKGROUND
    assert placed.sum() > 20
    assert image[placed].max() < 50
    assert np.array_equal(added[~placed], labels[~placed])
    assert placed.any(axis=(1, 2)).nonzero()[0].tolist() == [3]


def test_automatic_background_says_when_no_place_is_safe(an_annotation_with_strokes: Annotation) -> None:
    labels = an_annotation_with_strokes.read().labels
    with pytest.raises(BadAnnotation, match="draw one background stroke"):
        with_automatic_background(np.ones(labels.shape), labels, (4.0, 1.0, 1.0))


def _overlay(annotation: Annotation, id_: int, mask: np.ndarray) -> None:
    """Draw without taking voxels from other segments, as 'allow overlap' does on the desktop."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    image = new_labelmap(grid_of_volume(annotation.volume))
    segment_id = annotation.segment_id_of(id_)
    array_of_image(image)[mask] = annotation.node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
    logic.SetBinaryLabelmapToSegment(image, annotation.node, segment_id, logic.MODE_MERGE_MAX)


def test_of_overlapping_segments_of_a_finished_segmentation_the_later_one_counts(
    an_empty_annotation: Annotation, a_painter: Painter
) -> None:
    kidney = np.zeros((10, 40, 48), bool)
    kidney[2:8, 8:20, 8:20] = True
    tumour = np.zeros((10, 40, 48), bool)
    tumour[4:6, 10:14, 10:14] = True
    a_painter.paint(1, kidney)
    a_painter.paint(4, tumour)
    choose_finished(an_empty_annotation.node, an_empty_annotation.volume)
    labels = snapshot(an_empty_annotation, "dense", automatic_background=False).collect().labels
    assert np.array_equal(labels, np.where(tumour, 4, kidney))


def test_more_segments_than_ids_are_refused_with_a_sentence(a_scene: Any, a_volume: Any) -> None:
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "atlas")
    for number in range(255):
        node.GetSegmentation().AddEmptySegment("", f"region {number}")
    with pytest.raises(BadAnnotation, match="more than 254 segments"):
        Annotation(a_volume, node)

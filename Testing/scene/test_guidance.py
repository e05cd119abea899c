from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer

from slicer_kdseg.protocol.messages import Suggestion
from slicer_kdseg.scene.annotation import Annotation, find_annotation
from slicer_kdseg.scene.geometry import grid_of_volume
from slicer_kdseg.scene.guidance import NextSlice, coverage_hints, look_at, next_slice
from slicer_kdseg.scene.painting import Painter
from slicer_kdseg.scene.watching import StrokeWatch

Stroke = Callable[[int, int, slice], np.ndarray]


def test_hints_name_the_classes_that_lack_strokes(
    an_empty_annotation: Annotation, a_painter: Painter, stroke: Stroke
) -> None:
    a_painter.paint(1, stroke(3, 13, slice(10, 18)))
    hints = {hint.name: hint for hint in coverage_hints(an_empty_annotation)}
    assert hints["liver"].drawn
    assert hints["liver"].sentence == "liver: 8 voxels on 1 slice"
    assert not hints["spleen"].drawn
    assert hints["spleen"].sentence == "spleen: no stroke yet"
    assert list(hints) == ["background", "liver", "spleen"]


def test_the_cheap_count_agrees_with_reading_all(an_annotation_with_strokes: Annotation) -> None:
    labels = an_annotation_with_strokes.read().labels
    whole = {id_: np.count_nonzero(labels == id_, axis=(1, 2)) for id_ in an_annotation_with_strokes.contract.ids}
    assert an_annotation_with_strokes.coverage() == an_annotation_with_strokes.coverage(whole)


def test_the_next_slice_lies_where_strokes_are_farthest(
    an_empty_annotation: Annotation, a_painter: Painter, stroke: Stroke
) -> None:
    assert next_slice(an_empty_annotation).index == 5
    a_painter.paint(1, stroke(1, 13, slice(10, 18)))
    assert "'background'" in next_slice(an_empty_annotation).sentence
    a_painter.paint(0, stroke(1, 3, slice(4, 44)))
    a_painter.paint(4, stroke(2, 28, slice(28, 40)))
    assert next_slice(an_empty_annotation) == NextSlice(0, 6, "Slice 7 of 10 is farthest from every stroke.")
    a_painter.paint(4, stroke(9, 28, slice(28, 40)))
    assert next_slice(an_empty_annotation).index == 5


def test_what_the_student_is_unsure_of_goes_first_until_it_is_drawn(
    an_annotation_with_strokes: Annotation, a_painter: Painter, stroke: Stroke
) -> None:
    suggestion = Suggestion("case", 0, 8, "Most unsure here.")
    assert next_slice(an_annotation_with_strokes, suggestion) == NextSlice(0, 8, "Most unsure here.")
    a_painter.paint(4, stroke(8, 28, slice(28, 40)))
    assert next_slice(an_annotation_with_strokes, suggestion).index != 8


def test_the_views_go_there_through_a_transform(a_scene: Any, a_volume: Any) -> None:
    view = a_scene.AddNode(slicer.vtkMRMLSliceNode())
    view.SetLayoutName("Red")
    view.SetOrientationToAxial()
    _, _, s = grid_of_volume(a_volume).slice_centre_ras(0, 7)
    look_at(a_scene, a_volume, NextSlice(0, 7, ""))
    assert np.isclose(view.GetSliceToRAS().GetElement(2, 3), s)
    moved = a_scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = moved.GetMatrixTransformToParent()
    matrix.SetElement(2, 3, 100)
    moved.SetMatrixTransformToParent(matrix)
    a_volume.SetAndObserveTransformNodeID(moved.GetID())
    look_at(a_scene, a_volume, NextSlice(0, 7, ""))
    assert np.isclose(view.GetSliceToRAS().GetElement(2, 3), s + 100)


def test_every_stroke_is_told_until_nobody_asks(
    an_empty_annotation: Annotation, a_painter: Painter, stroke: Stroke
) -> None:
    told: list[None] = []
    watch = StrokeWatch(an_empty_annotation, lambda: told.append(None))
    a_painter.paint(1, stroke(1, 13, slice(10, 18)))
    assert told
    watch.close()
    count = len(told)
    a_painter.paint(1, stroke(2, 13, slice(10, 18)))
    assert len(told) == count


def test_an_annotation_is_found_again(a_scene: Any, a_volume: Any, an_empty_annotation: Annotation) -> None:
    assert find_annotation(a_scene, a_volume) is an_empty_annotation.node

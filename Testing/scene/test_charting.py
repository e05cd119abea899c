from __future__ import annotations

from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy

from slicer_kdseg.protocol.messages import HeldOut, Progress
from slicer_kdseg.scene.charting import LearningChart
from slicer_kdseg.scene.history import MOST_POINTS, TrainingHistory
from slicer_kdseg.scene.signals import SessionSignals
from slicer_kdseg.scene.state import SessionState
from slicer_kdseg.scene.wording import quality


def told(history: TrainingHistory, *events: object) -> None:
    signals = SessionSignals()
    history.follow(signals)
    for event in events:
        match event:
            case Progress():
                signals.progressed.emit(event)
            case HeldOut():
                signals.held_out_measured.emit(event)
            case SessionState():
                signals.state_changed.emit(event)


def test_curves_become_tables_that_a_plot_shows(a_scene: Any) -> None:
    history = TrainingHistory()
    chart = LearningChart(a_scene)
    told(
        history,
        SessionState(job_id="a"),
        Progress(1, 0.1, None, "", {"ce": 2.0, "dice": 2.0}),
        Progress(2, 0.2, None, "", {"ce": 1.0}),
        HeldOut(2, {"1": 0.8}, {"1": 0.6}, 0.8, 0.6),
    )
    assert chart.show(history)
    assert not chart.show(history)
    assert chart.node.GetNumberOfPlotSeriesNodes() == 3
    loss = chart.node.GetNodeReference("KDSeg.loss").GetTableNode().GetTable()
    assert vtk_to_numpy(loss.GetColumnByName("step")).tolist() == [1, 2]
    assert vtk_to_numpy(loss.GetColumnByName("value")).tolist() == [1, 0.25]
    student = chart.node.GetNodeReference("KDSeg.student").GetTableNode().GetTable()
    assert vtk_to_numpy(student.GetColumnByName("value")).tolist() == [0.8, 0.8], (
        "VTK complains of a line with one point"
    )
    assert tuple(chart.node.GetXAxisRange()) == (0, 10)
    assert not chart.node.GetXAxisRangeAuto(), "Slicer would fit it once, to no points"
    assert LearningChart(a_scene).node is chart.node


def test_a_new_job_begins_anew_and_a_found_job_does_not_double() -> None:
    history = TrainingHistory()
    steps = [Progress(step, 0, None, "", {"ce": float(step)}) for step in (1, 2, 3)]
    told(history, SessionState(job_id="a"), *steps, *steps[1:])
    assert [step for step, _ in history.losses] == [1, 2, 3]
    told(history, SessionState(job_id="b"))
    assert not history.losses


def test_a_day_of_training_stays_a_plot() -> None:
    history = TrainingHistory()
    told(history, *(Progress(step, 0, None, "", {"ce": 1.0}) for step in range(2 * MOST_POINTS)))
    assert len(history.losses) <= MOST_POINTS
    assert history.losses[-1][0] >= 2 * MOST_POINTS - 2
    assert np.all(np.diff([step for step, _ in history.losses]) > 0)


def test_the_view_belongs_to_the_chart_and_not_to_the_layout(a_scene: Any) -> None:
    chart = LearningChart(a_scene)
    view = chart.view()
    assert view.GetParentLayoutNode() is chart.node
    assert view.GetPlotChartNode() is chart.node
    assert chart.view() is view


def test_what_keeps_no_strokes_aside_is_not_said_to_be_nought_percent_good(a_scene: Any) -> None:
    history = TrainingHistory()
    told(history, SessionState(job_id="a"), HeldOut(2, {}, {}, 0.0, 0.0))
    assert history.student == []
    assert quality(HeldOut(2, {}, {}, 0.0, 0.0)) == ""

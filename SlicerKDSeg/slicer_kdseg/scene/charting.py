"""Loss and held-out curves as one of Slicer's own plots: a table a curve, a series each, one chart."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk

from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.history import TrainingHistory
from slicer_kdseg.scene.nodes import ROLE, nodes_of_class

CHART = "learning curves"
VIEW = "KDSegCurves"
POINTS = 10  # of the letters; Slicer's own sizes are for a view of half the screen
FEWEST_STEPS = 10
CURVES = {
    "loss": (0.6, 0.6, 0.6),
    "student": (0.1, 0.5, 0.9),
    "growcut": (0.9, 0.6, 0.1),
}


class LearningChart:
    """``node`` is the vtkMRMLPlotChartNode; found again if the scene already holds one. Saved with the scene."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self.node = _found(scene) or _made(scene)
        self._series = {name: self.node.GetNodeReference(f"KDSeg.{name}") for name in CURVES}
        self._version = -1

    @property
    def present(self) -> bool:
        return all(self._scene.IsNodePresent(node) for node in (self.node, *self._series.values()) if node is not None)

    def view(self) -> Any:
        """A plot view node for a widget outside the layout, showing this chart; not saved with the scene."""
        node = self._scene.GetSingletonNode(VIEW, "vtkMRMLPlotViewNode")
        if node is None:
            node = self._scene.CreateNodeByClass("vtkMRMLPlotViewNode")
            node.UnRegister(None)
            node.SetSingletonTag(VIEW)
            node.SetName(_("KDSeg learning curves"))
            node.SetSaveWithScene(False)
            node.SetHideFromEditors(True)
            node.SetAndObserveParentLayoutNodeID(self.node.GetID())  # else Slicer's layout makes a view of its own
            node = self._scene.AddNode(node)
        node.SetAndObserveParentLayoutNodeID(self.node.GetID())
        node.SetPlotChartNodeID(self.node.GetID())
        return node

    def show(self, history: TrainingHistory) -> bool:
        """Write what is new; True if anything was. The loss is scaled to 0..1 so that both fit one axis."""
        if history.version == self._version:
            return False
        self._version = history.version
        highest = max((loss for _, loss in history.losses), default=0.0) or 1.0
        curves = {
            "loss": [(step, loss / highest) for step, loss in history.losses],
            "student": history.student,
            "growcut": history.growcut,
        }
        for name, points in curves.items():
            series = self._series[name]
            if series is not None and series.GetTableNode() is not None:
                _fill(series.GetTableNode(), points)
        last = max((step for points in curves.values() for step, _ in points), default=0)
        self.node.SetXAxisRange(0, max(last, FEWEST_STEPS))  # Slicer fits a plot once, when it gets its curves
        self.node.Modified()
        return True


def _found(scene: Any) -> Any | None:
    charts = nodes_of_class(scene, "vtkMRMLPlotChartNode")
    return next((chart for chart in charts if chart.GetAttribute(ROLE) == CHART), None)


def _made(scene: Any) -> Any:
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", _("KDSeg learning curves"))
    chart.SetAttribute(ROLE, CHART)
    chart.SetXAxisTitle(_("Step"))
    chart.SetYAxisTitle(_("On strokes kept aside"))
    chart.SetXAxisRangeAuto(False)
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0, 1.05)
    chart.SetLegendVisibility(True)
    for set_size in (chart.SetLegendFontSize, chart.SetAxisTitleFontSize, chart.SetAxisLabelFontSize):
        set_size(POINTS)
    titles = {"loss": _("Loss, scaled"), "student": _("Student"), "growcut": _("Grow-cut")}
    for name, color in CURVES.items():
        table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"KDSeg {titles[name].lower()}")
        _fill(table, [])
        series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", titles[name])
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName("step")
        series.SetYColumnName("value")
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetColor(*color)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        chart.SetNodeReferenceID(f"KDSeg.{name}", series.GetID())
    return chart


def _fill(node: Any, points: list[tuple[int, float]]) -> None:
    """VTK complains of an empty table and of a line with one point, at every drawing: there are always two rows."""
    table = node.GetTable()
    while table.GetNumberOfColumns():
        table.RemoveColumn(0)
    rows = points or [(0, np.nan)]
    values = np.array(rows * 2 if len(rows) == 1 else rows, float)
    for column, name in enumerate(("step", "value")):
        array = numpy_to_vtk(np.ascontiguousarray(values[:, column]), deep=True)
        array.SetName(name)
        table.AddColumn(array)
    table.Modified()
    node.Modified()

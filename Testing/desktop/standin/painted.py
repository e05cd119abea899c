"""What a stand-in widget draws, so that a screenshot says what the real one would show there."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui
from vtkmodules.util.numpy_support import vtk_to_numpy

CURVES = ("loss", "student", "growcut")


def paint_chart(painter: QtGui.QPainter, area: QtCore.QRect, chart: Any) -> None:
    """The series of a vtkMRMLPlotChartNode over their common range of steps."""
    painter.drawRect(area.adjusted(0, 0, -1, -1))
    series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    lines = []
    for one in series:
        table = one.GetTableNode().GetTable()
        x, y = (vtk_to_numpy(table.GetColumnByName(get())) for get in (one.GetXColumnName, one.GetYColumnName))
        lines.append((one, x, y))
    last = max((float(x[-1]) for _, x, _ in lines if len(x)), default=1.0) or 1.0
    for number, (one, x, y) in enumerate(lines):
        color = QtGui.QColor.fromRgbF(*one.GetColor())
        painter.setPen(QtGui.QPen(color, 2))
        points = [
            QtCore.QPointF(area.left() + a / last * area.width(), area.bottom() - 2 - b * (area.height() - 4))
            for a, b in zip(x, y, strict=True)
            if b == b
        ]
        painter.drawPolyline(points)
        painter.drawText(area.adjusted(6, 4 + 14 * number, 0, 0), one.GetName())

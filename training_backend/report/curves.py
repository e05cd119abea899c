"""Curves as SVG that takes the page's text colour, so that one file reads on light and dark."""

from __future__ import annotations

import io
import re

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training_backend.report.story import CorrectionMade, HeldOutPoint, LossPoint

TEXT = "#123456"  # replaced by currentColor
STUDENT, GROWCUT = "#1f9bd1", "#e0803a"
LINES = ("#1f9bd1", "#e0803a", "#3aa66a", "#b465c9", "#c9a227", "#d1495b", "#7a8793")


def held_out_curve(points: tuple[HeldOutPoint, ...], correction: CorrectionMade | None) -> str:
    """SVG: accuracy on the held-out strokes, student against grow-cut, over seconds."""
    figure, axis = _axes("seconds since the click", "Dice on strokes kept aside")
    seconds = [point.seconds for point in points]
    axis.plot(seconds, [point.student for point in points], color=STUDENT, label="student", marker=".", lw=2)
    axis.plot(seconds, [point.growcut for point in points], color=GROWCUT, label="grow-cut", marker=".", lw=2)
    return _svg(figure, axis, correction)


def loss_curve(points: tuple[LossPoint, ...], correction: CorrectionMade | None) -> str:
    """SVG: every named loss over seconds."""
    figure, axis = _axes("seconds since the click", "loss")
    names = sorted({name for point in points for name in point.losses})
    for name, color in zip(names, LINES * (1 + len(names) // len(LINES)), strict=False):
        own = [(point.seconds, point.losses[name]) for point in points if name in point.losses]
        axis.plot(*zip(*own, strict=True), color=color, label=name.replace("_", " "), lw=1.5)
    axis.set_ylim(bottom=0)
    return _svg(figure, axis, correction)


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 3.1), layout="constrained")
    figure.patch.set_alpha(0)
    axis = figure.subplots()
    axis.patch.set_alpha(0)
    axis.set_xlabel(x, color=TEXT)
    axis.set_ylabel(y, color=TEXT)
    axis.tick_params(colors=TEXT)
    axis.grid(color=TEXT, alpha=0.15)
    for side, spine in axis.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(TEXT)
    return figure, axis


def _svg(figure: Figure, axis: Axes, correction: CorrectionMade | None) -> str:
    if correction is not None:
        axis.axvline(correction.seconds, color=TEXT, ls="--", lw=1, alpha=0.7, label="correction")
    axis.legend(frameon=False, labelcolor=TEXT, fontsize=8.5, ncols=2)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": axis.get_ylabel()}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue().replace(TEXT, "currentColor")
    return re.sub(r"^.*?(?=<svg)", "", text, flags=re.DOTALL)

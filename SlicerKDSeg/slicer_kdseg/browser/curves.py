"""Learning curves as the points of SVG polylines: what the desktop shows as a plot."""

from __future__ import annotations

from slicer_kdseg.scene.history import TrainingHistory

WIDTH, HEIGHT = 100.0, 40.0
CURVE_NAMES = {"loss": "loss", "student": "student", "growcut": "grow-cut"}


def curves(history: TrainingHistory) -> dict[str, str] | None:
    """``x,y x,y …`` by curve in a box of 100 x 40, up is better; None while there is nothing to draw."""
    highest = max((loss for _, loss in history.losses), default=0.0) or 1.0
    found = {
        "loss": [(step, loss / highest) for step, loss in history.losses],
        "student": history.student,
        "growcut": history.growcut,
    }
    last = max((points[-1][0] for points in found.values() if points), default=0)
    if last <= 0 or len(history.losses) < 2:
        return None
    return {name: _polyline(points, last) for name, points in found.items()}


def _polyline(points: list[tuple[int, float]], last: int) -> str:
    thinned = points[:: max(1, len(points) // 200)]
    return " ".join(f"{WIDTH * step / last:.1f},{HEIGHT * (1 - min(max(value, 0), 1)):.1f}" for step, value in thinned)

"""Draw the modules' icons and the samples' thumbnails: ``python Testing/desktop/draw_icons.py``."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Polygon

ICONS = Path(__file__).resolve().parents[2] / "SlicerKDSeg" / "Resources" / "Icons"
DARK, ORANGE, BLUE, GREEN = "#22313f", "#e67332", "#3b8fd4", "#3fa34d"


def canvas(width: int, height: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    figure.patch.set_alpha(0)
    return figure, axes


def blob(centre: tuple[float, float], radius: float, seed: int = 1) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 80)
    rng = np.random.default_rng(seed)
    waves = sum(rng.uniform(0.04, 0.09) * np.sin(k * angle + rng.uniform(0, 6)) for k in (2, 3, 4))
    return np.stack(
        [centre[0] + radius * (1 + waves) * np.cos(angle), centre[1] + radius * (1 + waves) * np.sin(angle)], 1
    )


def module_icon() -> Figure:
    """A stroke inside a shape: the scribble, and what the student makes of it."""
    figure, axes = canvas(128, 128)
    axes.add_patch(FancyBboxPatch((8, 8), 112, 112, boxstyle="round,pad=0,rounding_size=22", fc=DARK, ec="none"))
    axes.add_patch(Polygon(blob((64, 64), 38), fc=BLUE, ec="white", lw=2.5, alpha=0.9))
    t = np.linspace(0, 1, 60)
    axes.plot(40 + 48 * t, 64 + 14 * np.sin(3 * np.pi * t), color=ORANGE, lw=8, solid_capstyle="round")
    return figure


def review_icon() -> Figure:
    figure, axes = canvas(128, 128)
    axes.add_patch(FancyBboxPatch((8, 8), 112, 112, boxstyle="round,pad=0,rounding_size=22", fc=DARK, ec="none"))
    axes.add_patch(Polygon(blob((58, 70), 34), fc=BLUE, ec="white", lw=2.5, alpha=0.9))
    axes.add_patch(Circle((88, 40), 24, fc=GREEN, ec="white", lw=2.5))
    axes.plot([77, 86, 101], [40, 30, 51], color="white", lw=6, solid_capstyle="round", solid_joinstyle="round")
    return figure


def thumbnail(labelled: bool) -> Figure:
    """A drawing, not the data: a chest with two lungs, filled where the sample carries labels."""
    figure, axes = canvas(260, 280)
    axes.add_patch(FancyBboxPatch((0, 0), 260, 280, boxstyle="square,pad=0", fc="black", ec="none"))
    axes.add_patch(Polygon(blob((130, 140), 105, 3) * (1, 0.8) + (0, 28), fc="#8a8a8a", ec="#d8d8d8", lw=3))
    for x, seed, color in ((82, 5, GREEN), (178, 6, ORANGE)):
        axes.add_patch(Polygon(blob((x, 140), 40, seed), fc=color if labelled else "#202020", ec="#d8d8d8", lw=1.5))
    return figure


def main() -> None:
    ICONS.mkdir(parents=True, exist_ok=True)
    pictures = {
        "KDSeg": module_icon(),
        "KDSegReview": review_icon(),
        "KDSegChest": thumbnail(False),
        "KDSegChestLabelled": thumbnail(True),
    }
    for name, figure in pictures.items():
        figure.savefig(ICONS / f"{name}.png", dpi=100, transparent=True, metadata={"Software": None})


if __name__ == "__main__":
    main()

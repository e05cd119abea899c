"""Slices with overlays: what was drawn, what was shown before and after the correction, where it is unsure."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy import ndimage

from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelContract
from training_backend.report.story import Looks

INK = "#d8dee6"
PAPER = "#11161c"
FILL = 0.38
LARGE = 0.1
FILL_LARGE = 0.1  # a class that covers a tenth of the picture would hide what is under it
CLOSE_COLORS = 0.35
SLICES = 3

Colors = dict[int, tuple[float, float, float]]


def picture_colors(contract: LabelContract) -> Colors:
    """The segments' own colours, or evenly spaced hues where two of those could be taken for each other."""
    own = {label.id: label.color for label in contract.foreground}
    points = np.asarray(list(own.values()))
    apart = [np.linalg.norm(a - b) for n, a in enumerate(points) for b in points[:n]]
    if apart and min(apart) < CLOSE_COLORS:
        hues = np.linspace(0, 1, len(own), endpoint=False)
        own = {id_: tuple(hsv_to_rgb((hue, 0.75, 1.0))) for id_, hue in zip(own, hues, strict=True)}
    return {**own, BACKGROUND: (1.0, 1.0, 1.0)}


def before_and_after(looks: Looks, slices: tuple[int, ...], contract: LabelContract) -> bytes:
    """PNG: one row a slice; strokes, before, after and, where there is one, the reference."""
    colors, grey = picture_colors(contract), _grey(looks.image)
    panels = [("strokes", looks.strokes_after), ("before the correction", looks.before), ("at the end", looks.after)]
    if looks.reference is not None:
        panels.append(("reference", looks.reference))
    figure = _figure(len(slices), len(panels), looks.image.shape[1:], looks.spacing_mm[1:])
    axes = figure.subplots(len(slices), len(panels), squeeze=False)
    for row, z in zip(axes, slices, strict=True):
        for axis, (name, labels) in zip(row, panels, strict=True):
            picture = _overlay(grey[z], labels[z], colors, strokes=name == "strokes")
            _show(axis, picture, looks.spacing_mm[1:], name if z == slices[0] else "")
        row[0].set_ylabel(f"slice {z + 1}", color=INK, fontsize=9)
    _legend(figure, contract, colors, with_background=True)
    return _png(figure)


def from_the_front(looks: Looks, contract: LabelContract) -> bytes:
    """PNG: the coronal slice that shows most of the reference (or the result), in all states."""
    colors, grey = picture_colors(contract), _grey(looks.image)
    guide = looks.after if looks.reference is None else looks.reference
    y = _richest_coronal(guide)
    panels = [("before the correction", looks.before), ("at the end", looks.after)]
    if looks.reference is not None:
        panels.append(("reference", looks.reference))
    spacing = (looks.spacing_mm[0], looks.spacing_mm[2])
    figure = _figure(1, len(panels), looks.image[:, y].shape, spacing)
    for axis, (name, labels) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _show(axis, _overlay(grey[:, y], labels[:, y], colors)[::-1], spacing, name)
    _legend(figure, contract, colors)
    return _png(figure)


def unsure(looks: Looks, contract: LabelContract) -> bytes | None:
    """PNG: the slices where student and teacher disagree most; bright = unsure. None without an uncertainty."""
    if looks.uncertainty is None or not looks.uncertainty.any():
        return None
    slices = most_unsure_slices(looks.uncertainty)
    brightest = max(1.0, float(np.percentile(looks.uncertainty[list(slices)], 99)))
    colors, grey = picture_colors(contract), _grey(looks.image)
    figure = _figure(2, len(slices), looks.image.shape[1:], looks.spacing_mm[1:])
    axes = figure.subplots(2, len(slices), squeeze=False)
    for column, z in enumerate(slices):
        heat = np.clip(looks.uncertainty[z].astype(np.float32)[..., None] / brightest, 0, 1)
        glow = np.array([1.0, 0.55, 0.05], np.float32)
        base = np.repeat(grey[z][..., None], 3, -1)
        title = f"slice {z + 1}"
        _show(axes[0, column], base * (1 - heat) + glow * heat, looks.spacing_mm[1:], title)
        _show(axes[1, column], _overlay(grey[z], looks.after[z], colors), looks.spacing_mm[1:], "")
    axes[0, 0].set_ylabel("unsure here", color=INK, fontsize=9)
    axes[1, 0].set_ylabel("the result there", color=INK, fontsize=9)
    _legend(figure, contract, colors)
    return _png(figure)


@dataclass(frozen=True)
class Panel:
    """One slice: ``image`` and ``labels`` (H, W), or None for the image alone; ``strokes``: draw labels as strokes."""

    title: str
    image: np.ndarray
    labels: np.ndarray | None = None
    strokes: bool = False


def side_by_side(panels: Sequence[Panel], contract: LabelContract, spacing_mm: tuple[float, float]) -> bytes:
    """PNG: slices in a row, each with a title over it, square pixels of ``spacing_mm``."""
    colors = picture_colors(contract)
    figure = _figure(1, len(panels), panels[0].image.shape, spacing_mm)
    for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        labels = np.full(panel.image.shape, UNLABELLED) if panel.labels is None else panel.labels
        _show(axis, _overlay(_grey(panel.image), labels, colors, panel.strokes), spacing_mm, panel.title)
    _legend(figure, contract, colors, with_background=any(panel.strokes for panel in panels))
    return _png(figure)


def most_unsure_slices(uncertainty: np.ndarray, count: int = SLICES) -> tuple[int, ...]:
    """Up to ``count`` slices with the largest sum of ``uncertainty`` (D, H, W), no two neighbours."""
    total = uncertainty.sum((1, 2), dtype=np.int64)
    chosen: list[int] = []
    for z in np.argsort(-total):
        if total[z] and all(abs(int(z) - other) > 1 for other in chosen):
            chosen.append(int(z))
        if len(chosen) == count:
            break
    return tuple(sorted(chosen))


def _richest_coronal(labels: np.ndarray) -> int:
    inside = (labels != BACKGROUND) & (labels != UNLABELLED)
    kinds = [len(np.unique(labels[:, y])) for y in range(labels.shape[1])]
    return int(np.argmax(np.asarray(kinds) * inside.sum((0, 2)).max() + inside.sum((0, 2))))


def _grey(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, [0.5, 99.5])
    return np.clip((image - low) / (high - low + 1e-6), 0, 1).astype(np.float32)


def _overlay(grey: np.ndarray, labels: np.ndarray, colors: Colors, strokes: bool = False) -> np.ndarray:
    """RGB (H, W, 3): classes filled faintly with a full outline, or strokes thick enough to be seen."""
    rgb = np.repeat(grey[..., None], 3, -1)
    for id_, color in colors.items():
        mask = labels == id_
        if (id_ == BACKGROUND and not strokes) or not mask.any():
            continue
        if strokes:
            rgb[mask] = color
            continue
        edge = mask & ~ndimage.binary_erosion(mask)
        fill = FILL_LARGE if mask.mean() > LARGE else FILL
        rgb[mask] = (1 - fill) * rgb[mask] + fill * np.asarray(color)
        rgb[edge] = 0.25 * rgb[edge] + 0.75 * np.asarray(color)
    return rgb


def _figure(rows: int, columns: int, shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> Figure:
    tall = shape[0] * spacing_mm[0] / (shape[1] * spacing_mm[1])
    width = 2.9 * columns + 0.3
    return Figure(figsize=(width, 2.9 * tall * rows + 0.75), dpi=110, facecolor=PAPER, layout="compressed")


def _show(axis, picture: np.ndarray, spacing_mm: tuple[float, ...], title: str) -> None:  # type: ignore[no-untyped-def]
    axis.imshow(np.clip(picture, 0, 1), aspect=spacing_mm[0] / spacing_mm[1], interpolation="nearest")
    axis.set_title(title, color=INK, fontsize=10)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def _legend(figure: Figure, contract: LabelContract, colors: Colors, with_background: bool = False) -> None:
    patches = [Patch(color=colors[label.id], label=label.name) for label in contract.foreground]
    if with_background:
        patches.append(Patch(color=colors[BACKGROUND], label="background (strokes only)"))
    figure.legend(
        handles=patches,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        labelcolor=INK,
        fontsize=8.5,
        handlelength=1,
    )


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=PAPER)
    return buffer.getvalue()

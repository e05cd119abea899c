"""A simulated annotator: a label map in, strokes out, with a person's habits rather than a sampler's.

First a few short strokes per class on every n-th slice: one curve through the middle of a part, for
large parts also a piece of the inner contour; background near the objects and far from them. Later,
correction strokes where a preview is most wrong. Strokes are (D, H, W) uint8 of class ids,
``UNLABELLED`` where nothing is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED
from training_backend.data.curves import LONGEST_PIXELS, along_stroke, contour_stroke, middle_stroke

LARGE_PIXELS = 400
PARTS_PER_CLASS = 3
BACKGROUND_PARTS = 2


@dataclass(frozen=True)
class Correction:
    """All strokes with the new ones, the class that was worst, and the slices that were touched."""

    strokes: np.ndarray
    class_id: int
    slices: tuple[int, ...]


def annotate(labels: np.ndarray, seed: int = 0, every: int = 5, axis: int = 0) -> np.ndarray:
    """First strokes on every n-th slice along ``axis``, and on one more slice for a class that those do not show."""
    rng = np.random.default_rng(seed)
    truth = np.moveaxis(labels, axis, 0)
    strokes = np.full(truth.shape, UNLABELLED, np.uint8)
    shown = np.flatnonzero((truth != BACKGROUND).any((1, 2)))
    picked = set(range(shown[0] + min(every // 2, len(shown) // 2), shown[-1] + 1, every))
    classes = _classes(truth)
    for id_ in classes:
        if not (truth[sorted(picked)] == id_).any():
            picked.add(int((truth == id_).sum((1, 2)).argmax()))
    for z in sorted(picked):
        _annotate_slice(truth[z], strokes[z], rng, classes)
    return np.moveaxis(strokes, 0, axis)


def correct(
    labels: np.ndarray,
    preview: np.ndarray,
    strokes: np.ndarray,
    seed: int = 0,
    slices: int = 3,
    strokes_per_slice: int = 4,
    axis: int = 0,
) -> Correction:
    """A few strokes on the slices where the class with the lowest Dice in ``preview`` is most wrong."""
    rng = np.random.default_rng([seed, 1])
    truth, shown, drawn = (np.moveaxis(volume, axis, 0) for volume in (labels, preview, strokes.copy()))
    worst = min(_classes(truth), key=lambda id_: _dice(truth == id_, shown == id_))
    wrong = (truth == worst) != (shown == worst)
    chosen = [int(z) for z in np.argsort(-wrong.sum((1, 2)))[:slices] if wrong[z].any()]
    for z in chosen:
        pieces, count = ndimage.label(wrong[z])
        sizes = ndimage.sum_labels(wrong[z], pieces, np.arange(1, count + 1))
        for number in np.argsort(-sizes)[:strokes_per_slice]:
            piece = pieces == number + 1
            owner = int(np.bincount(truth[z][piece]).argmax())
            for part in _parts(piece & (truth[z] == owner), rng, most=1):
                drawn[z][middle_stroke(part, rng, _stroke_length(1.2, part))] = owner
    return Correction(np.moveaxis(drawn, 0, axis), worst, tuple(sorted(chosen)))


def _annotate_slice(truth: np.ndarray, strokes: np.ndarray, rng: np.random.Generator, classes: list[int]) -> None:
    for id_ in classes:
        for part in _parts(truth == id_, rng, PARTS_PER_CLASS):
            strokes[middle_stroke(part, rng, _stroke_length(0.8, part))] = id_
            if part.sum() > LARGE_PIXELS:
                strokes[contour_stroke(part, rng)] = id_
    outside = truth == BACKGROUND
    away = ndimage.distance_transform_edt(outside) if not outside.all() else np.full(truth.shape, np.inf)
    for part in _parts(outside & (away >= 2) & (away <= 5), rng, BACKGROUND_PARTS):
        strokes[along_stroke(outside, part, rng, LONGEST_PIXELS)] = BACKGROUND
    for part in _parts(outside & (away > 2), rng, BACKGROUND_PARTS):
        strokes[middle_stroke(part, rng, LONGEST_PIXELS)] = BACKGROUND


def _classes(labels: np.ndarray) -> list[int]:
    return [int(id_) for id_ in np.unique(labels) if id_ not in (BACKGROUND, UNLABELLED)]


def _stroke_length(factor: float, part: np.ndarray) -> int:
    return int(np.clip(factor * np.sqrt(part.sum()), 3, LONGEST_PIXELS))


def _parts(mask: np.ndarray, rng: np.random.Generator, most: int) -> list[np.ndarray]:
    """Up to ``most`` connected parts of ``mask`` (H, W), larger ones more likely."""
    pieces, count = ndimage.label(mask)
    if count == 0:
        return []
    sizes = ndimage.sum_labels(mask, pieces, np.arange(1, count + 1))
    visible = np.flatnonzero(sizes >= min(4, sizes.max()))
    share = sizes[visible] / sizes[visible].sum()
    return [pieces == 1 + n for n in rng.choice(visible, min(most, len(visible)), replace=False, p=share)]


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))

"""Grow-cut asked in several ways: each errs elsewhere, so their mean is a softer and better label than any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED
from training_backend.data.growcut import growcut, growcut_near

PENALTY = 0.01
MOSTLY_ANNOTATED = 0.5


@dataclass(frozen=True)
class Seen:
    """One case at working spacing: ``image`` (D, H, W) float32, ``strokes`` (D, H, W) uint8 of channels.

    ``grown``: if it is known, what grow-cut makes of the strokes at the image's own resolution, brought here.
    """

    image: np.ndarray
    strokes: np.ndarray
    spacing_mm: tuple[float, float, float]
    grown: np.ndarray | None = None


def votes(case: Seen, classes: int) -> np.ndarray:
    """Mean of several grow-cuts, (K+1, D, H, W) float32; 0 where all are silent.

    On a coarse grid grow-cut loses thin borders: at half the resolution of abdominal MR the votes have Dice 0.68, with
    the plain way from the full one 0.73. Where most slices carry strokes each is also grown by itself, and foreground
    that leaks is doubted; far from every stroke the plain way speaks for the others there.
    """
    dense = mostly_annotated(case)
    plain = growcut(case.image, case.strokes)
    if case.grown is not None:
        plain = np.where(case.grown == UNLABELLED, plain, case.grown)
    grow = growcut_near if dense else growcut
    careful = grow(case.image, case.strokes, robust=True, distance_penalty=PENALTY)
    if not dense:
        return _mean([plain, careful], classes)
    careful = np.where(careful == UNLABELLED, plain, careful)
    return _doubted(_mean([plain, careful, _slice_by_slice(case, plain)], classes), case)


def mostly_annotated(case: Seen) -> bool:
    return bool(_tells_apart(case.strokes).mean() >= MOSTLY_ANNOTATED)


def _tells_apart(strokes: np.ndarray) -> np.ndarray:
    """(D,) bool: whether a slice shows strokes of two labels or more."""
    return np.array([len(np.unique(part[part != UNLABELLED])) >= 2 for part in strokes])


def _slice_by_slice(case: Seen, otherwise: np.ndarray) -> np.ndarray:
    """Every slice with two labels or more grown by itself, thrice on itself because the filter wants depth."""
    labels = otherwise.copy()
    for z in np.flatnonzero(_tells_apart(case.strokes)):
        image, strokes = (np.repeat(array[z : z + 1], 3, axis=0) for array in (case.image, case.strokes))
        grown = growcut_near(image, strokes)[1]
        labels[z] = np.where(grown == UNLABELLED, otherwise[z], grown)
    return labels


def _doubted(vote: np.ndarray, case: Seen) -> np.ndarray:
    """The vote for a class turned into background, or made to count less, near strokes of background.

    With q = (b - o) / (b + o) from the distances to the nearest stroke of background and of the class itself:
    q < 0 is background, q from 0 to 0.4 is ever less in doubt. Grow-cut's foreground leaks where background
    strokes are far apart, its borders between classes are right: on ACDC this lifts the votes from Dice
    0.854 to 0.868 and what is learnt from them further. Far from annotated slices it would do harm.
    """
    drawn = {int(id_) for id_ in np.unique(case.strokes)} - {UNLABELLED}
    if BACKGROUND not in drawn:
        return vote
    background = _distance_mm(case, BACKGROUND)
    for id_ in drawn - {BACKGROUND}:
        own = _distance_mm(case, id_)
        q = (background - own) / (background + own).clip(1e-6)
        leak = np.where(q < 0, vote[id_], 0)
        vote[BACKGROUND] += leak
        vote[id_] = (vote[id_] - leak) * np.clip(0.3 + 0.7 * q / 0.4, 0, 1)
    return vote


def _distance_mm(case: Seen, id_: int) -> np.ndarray:
    return ndimage.distance_transform_edt(case.strokes != id_, sampling=case.spacing_mm)


def _mean(ways: Sequence[np.ndarray], classes: int) -> np.ndarray:
    hot = np.eye(256, classes, dtype=np.float32)
    return np.stack([np.moveaxis(hot[way], -1, 0) for way in ways]).mean(axis=0, dtype=np.float32)

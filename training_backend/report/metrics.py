"""How good a segmentation is against a reference, per class: Dice, surface Dice and HD95, by MONAI.

One rule for empty classes: absent from reference and prediction gives no value and is counted; absent
from one of them gives Dice 0, surface Dice 0 and the image diagonal as HD95. MONAI's own defaults
would hide a false positive on an absent class, so it never sees an empty mask here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from slicer_kdseg.protocol.labels import LabelContract

RESAMPLES = 2000


@dataclass(frozen=True)
class ClassScore:
    """Dice and surface Dice in 0..1, HD95 in mm."""

    dice: float
    surface_dice: float
    hd95_mm: float


@dataclass(frozen=True)
class Scores:
    """Scores by class id; ``absent`` are the classes that neither reference nor prediction holds."""

    by_class: dict[int, ClassScore]
    absent: tuple[int, ...]
    tolerance_mm: float

    @property
    def mean_dice(self) -> float:
        return float(np.mean([score.dice for score in self.by_class.values()])) if self.by_class else float("nan")

    def dice_by_name(self, contract: LabelContract) -> dict[str, float]:
        """``{class name: Dice, …, "mean": Dice}`` for classes that have a value."""
        named = {contract.by_id(id_).name: score.dice for id_, score in self.by_class.items()}
        return {**named, "mean": self.mean_dice}


def dice(one: np.ndarray, other: np.ndarray) -> float | None:
    """Dice of two masks of one shape by the project's rule; None if both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else None


def dice_by_class(labels: np.ndarray, reference: np.ndarray, ids: tuple[int, ...]) -> dict[int, float]:
    """Dice of every class of ``ids`` that has a value; both arrays (D, H, W) uint8."""
    found = {id_: dice(labels == id_, reference == id_) for id_ in ids}
    return {id_: value for id_, value in found.items() if value is not None}


def score(
    labels: np.ndarray,
    reference: np.ndarray,
    spacing_mm: tuple[float, float, float],
    ids: tuple[int, ...],
    tolerance_mm: float | None = None,
) -> Scores:
    """Score ``labels`` against ``reference``, both (D, H, W) uint8, for the classes ``ids`` (background left out).

    ``spacing_mm`` is along (D, H, W); the tolerance of surface Dice is the smallest voxel side by default.
    """
    tolerance = min(spacing_mm) if tolerance_mm is None else tolerance_mm
    diagonal = float(np.linalg.norm(np.asarray(labels.shape) * np.asarray(spacing_mm)))
    by_class, absent = {}, []
    for id_ in ids:
        ours, theirs = labels == id_, reference == id_
        if not ours.any() and not theirs.any():
            absent.append(id_)
        elif not ours.any() or not theirs.any():
            by_class[id_] = ClassScore(0.0, 0.0, diagonal)
        else:
            by_class[id_] = _scored(ours, theirs, spacing_mm, tolerance)
    return Scores(by_class, tuple(absent), tolerance)


def mean_interval(values: list[float], seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of the mean of ``values`` (percentile method)."""
    sample = np.asarray(values, float)
    drawn = np.random.default_rng(seed).choice(sample, (RESAMPLES, len(sample)))
    low, high = np.quantile(drawn.mean(1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _scored(
    ours: np.ndarray, theirs: np.ndarray, spacing_mm: tuple[float, float, float], tolerance_mm: float
) -> ClassScore:
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    box = _box_around(ours | theirs)
    one, other = (torch.from_numpy(mask[box].copy())[None, None] for mask in (ours, theirs))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "monai.metrics.utils get_mask_edges", FutureWarning)
        surface = compute_surface_dice(one, other, [tolerance_mm], include_background=True, spacing=spacing_mm)
        hd95 = compute_hausdorff_distance(one, other, include_background=True, percentile=95, spacing=spacing_mm)
    return ClassScore(float(compute_dice(one, other)), float(surface), float(hd95))


def _box_around(mask: np.ndarray) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, int(hit[0]) - 1), int(hit[-1]) + 2)
        for hit in (np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis))) for axis in range(3))
    )

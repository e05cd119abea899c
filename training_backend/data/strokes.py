"""Whole strokes as units: what is held out to measure quality while training."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from slicer_kdseg.protocol.labels import UNLABELLED

LEAST_STROKES = 3


def stroke_numbers(strokes: np.ndarray) -> tuple[np.ndarray, dict[int, list[int]]]:
    """Number every stroke: (D, H, W) int32 with 0 where nothing is drawn, and each class id's stroke numbers.

    A stroke is a connected piece of one class within one slice. Slices are taken along the axis with the
    fewest drawn slices: the one the user drew on.
    """
    numbers = np.zeros(strokes.shape, np.int32)
    drawn = np.argwhere(strokes != UNLABELLED)
    if not len(drawn):
        return numbers, {}
    box = tuple(slice(a, b + 1) for a, b in zip(drawn.min(0), drawn.max(0), strict=True))
    axis = min(range(3), key=lambda a: len(np.unique(drawn[:, a])))
    numbers[box], owners = _pieces(strokes[box], axis)
    return numbers, owners


def stroke_voxels(strokes: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """The voxels of every stroke, each as an index of the (D, H, W) array."""
    numbers, _ = stroke_numbers(strokes)
    places = np.nonzero(numbers)
    order = np.argsort(numbers[places], kind="stable")
    sizes = np.bincount(numbers[places])[1:]
    return (
        [tuple(axis[part] for axis in places) for part in np.split(order, np.cumsum(sizes)[:-1])] if len(sizes) else []
    )


def _pieces(strokes: np.ndarray, axis: int) -> tuple[np.ndarray, dict[int, list[int]]]:
    within_slice = np.moveaxis(np.zeros((3, 3, 3), bool), axis, 0)
    within_slice[1] = True
    within_slice = np.moveaxis(within_slice, 0, axis)
    numbers = np.zeros(strokes.shape, np.int32)
    owners: dict[int, list[int]] = {}
    last = 0
    for id_ in (int(value) for value in np.unique(strokes) if value != UNLABELLED):
        pieces, count = ndimage.label(strokes == id_, within_slice)
        numbers[pieces > 0] = pieces[pieces > 0] + last
        owners[id_] = list(range(last + 1, last + count + 1))
        last += count
    return numbers, owners


def hold_out(strokes: np.ndarray, share: float = 0.15, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Split ``strokes`` (D, H, W) uint8 into (training, held out), both of the same kind.

    ``share`` of each class's strokes is held out, at least one where a class has three or more and
    none where it has fewer, or where ``share`` is 0. Deterministic in ``seed``.
    """
    rng = np.random.default_rng(seed)
    numbers, owners = stroke_numbers(strokes)
    chosen: list[int] = []
    for own in owners.values():
        if share > 0 and len(own) >= LEAST_STROKES:
            chosen.extend(rng.choice(own, max(1, round(share * len(own))), replace=False).tolist())
    out = np.isin(numbers, chosen)
    return np.where(out, UNLABELLED, strokes).astype(np.uint8), np.where(out, strokes, UNLABELLED).astype(np.uint8)


def hold_out_slices(labels: np.ndarray, axis: int, share: float) -> np.ndarray:
    """Dense ``labels`` (D, H, W) of about ``share`` of the slices that show a class; ``UNLABELLED`` elsewhere."""
    turned = np.moveaxis(labels, axis, 0)
    kept = np.full(turned.shape, UNLABELLED, np.uint8)
    shown = np.flatnonzero(((turned > 0) & (turned != UNLABELLED)).any(axis=(1, 2)))
    if share > 0 and len(shown) > 2:
        chosen = shown[1 :: max(2, round(1 / share))]
        kept[chosen] = turned[chosen]
    return np.moveaxis(kept, 0, axis)

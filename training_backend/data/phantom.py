"""Phantoms made by code, with the right answer known: for tests, `doctor` and smoke runs."""

from __future__ import annotations

import numpy as np

from slicer_kdseg.protocol.labels import LabelClass, LabelContract

CONTRACT = LabelContract(
    (
        LabelClass(0, "background", (0.2, 0.2, 0.2)),
        LabelClass(1, "ball", (0.9, 0.3, 0.2)),
        LabelClass(2, "shell", (0.2, 0.6, 0.9)),
        LabelClass(3, "rod", (0.4, 0.8, 0.3)),
    )
)
MEANS = (0.0, 300.0, 180.0, 420.0)
OTHER_MEANS = (150.0, 60.0, 400.0, 260.0)
SCANNER_MEANS = (120.0, 380.0, 220.0, 330.0)


def phantom(
    shape: tuple[int, int, int] = (24, 48, 48),
    noise: float = 25.0,
    seed: int = 0,
    means: tuple[float, ...] = MEANS,
) -> tuple[np.ndarray, np.ndarray]:
    """Image (D, H, W) float32 and its labels uint8: a ball inside a shell, a thin rod beside them.

    ``means``: intensity by class; ``OTHER_MEANS`` is another kind of image of the same things, ``SCANNER_MEANS``
    the same kind from another scanner.
    """
    rng = np.random.default_rng(seed)
    d, h, w = (
        np.linspace(-1, 1, n).reshape([-1 if a == axis else 1 for a in range(3)]) for axis, n in enumerate(shape)
    )
    centre = rng.uniform(-0.08, 0.08, 3)
    radius = np.sqrt(((d - centre[0]) / 0.9) ** 2 + (h - centre[1]) ** 2 + (w - centre[2] + 0.15) ** 2)
    labels = np.zeros(shape, np.uint8)
    labels[radius < 0.6] = 2
    labels[radius < 0.38] = 1
    labels[np.sqrt((h - 0.1 * d) ** 2 + (w - 0.72) ** 2) + 0 * d < 0.13] = 3
    image = np.asarray(means)[labels] + rng.normal(0, noise, shape) + 40 * h
    return image.astype(np.float32), labels

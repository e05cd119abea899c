"""Grow-cut beside the scene's thread: one grower per image, kept so that later strokes cost little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED
from slicer_kdseg.scene.collecting import Collected, ImageVersion
from slicer_kdseg.scene.errands import Errands, Failed
from slicer_kdseg.scene.growcut import GrowCut


@dataclass(frozen=True, eq=False)
class Grown:
    """``labels`` (D, H, W) of class ids, ``UNLABELLED`` where growing did not reach; ``shown`` with 0 there."""

    labels: np.ndarray
    shown: np.ndarray


class Growing:
    def __init__(self, errands: Errands) -> None:
        self._errands = errands
        self._version: ImageVersion | None = None
        self._grower: GrowCut | None = None

    def grow(self, collected: Collected, then: Callable[[Grown], object], failed: Failed) -> None:
        """An image seen for the first time is checked before.

        The lane does one errand at a time, so that the grower belongs to it alone.
        """

        def work() -> Grown:
            if self._grower is None or self._version != collected.version:
                checks.check_image(collected.image, collected.affine)
                checks.check_fits_memory(collected.image.shape)
                self._grower = GrowCut(collected.image, collected.spacing_mm)
                self._version = collected.version
            labels = self._grower.grow(collected.labels)
            return Grown(labels, np.where(labels == UNLABELLED, np.uint8(BACKGROUND), labels))

        self._errands.send("growcut", work, then, failed)

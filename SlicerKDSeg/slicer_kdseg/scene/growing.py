"""Grow-cut beside the scene's thread: one grower per image, kept so that later strokes cost little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.scene.collecting import Collected, ImageVersion
from slicer_kdseg.scene.errands import Errands, Failed
from slicer_kdseg.scene.growcut import GrowCut


class Growing:
    def __init__(self, errands: Errands) -> None:
        self._errands = errands
        self._version: ImageVersion | None = None
        self._grower: GrowCut | None = None

    def grow(self, collected: Collected, then: Callable[[np.ndarray], object], failed: Failed) -> None:
        """``then(labels)`` with class ids (D, H, W); an image seen for the first time is checked before.

        The lane does one errand at a time, so that the grower belongs to it alone.
        """

        def work() -> np.ndarray:
            if self._grower is None or self._version != collected.version:
                checks.check_image(collected.image, collected.affine)
                self._grower = GrowCut(collected.image, collected.spacing_mm)
                self._version = collected.version
            return self._grower.grow(collected.labels)

        self._errands.send("growcut", work, then, failed)

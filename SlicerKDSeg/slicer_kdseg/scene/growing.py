"""Grow-cut beside the scene's thread: one grower per image, kept so that later strokes cost little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.scene.collecting import Collected, ImageVersion, Snapshot
from slicer_kdseg.scene.errands import Errands, Failed
from slicer_kdseg.scene.geometry import array_of_image, new_labelmap
from slicer_kdseg.scene.growcut import GrowCut


@dataclass(frozen=True, eq=False)
class Grown:
    """``labels`` (D, H, W) of class ids, ``UNLABELLED`` where growing did not reach, None among complete labels.

    ``layer``: an oriented labelmap that shows them, ready to be hung into the scene.
    """

    collected: Collected
    labels: np.ndarray | None
    layer: Any


class Growing:
    def __init__(self, errands: Errands) -> None:
        self._errands = errands
        self._version: ImageVersion | None = None
        self._grower: GrowCut | None = None
        self._awaited: Snapshot | None = None

    def preview(self, taken: Snapshot, then: Callable[[Grown], object], failed: Failed) -> None:
        """As :meth:`grow`, but nothing follows, and nothing is grown, if something newer is asked for meanwhile."""
        self._awaited = taken

        def work() -> Grown | None:
            return self._work(taken) if self._awaited is taken else None

        def show(grown: Grown | None) -> None:
            if grown is not None and self._awaited is taken:
                then(grown)

        def fail(error: KDSegError) -> None:
            if self._awaited is taken:
                failed(error)

        self._errands.send("growcut", work, show, fail)

    def grow(self, taken: Snapshot, then: Callable[[Grown], object], failed: Failed) -> None:
        """An image seen for the first time is checked before; complete labels are collected and nothing grows.

        The lane does one errand at a time, so that the grower belongs to it alone.
        """
        self._awaited = None
        self._errands.send("growcut", lambda: self._work(taken), then, failed)

    def _work(self, taken: Snapshot) -> Grown:
        collected = taken.collect()
        labels = self._grown(collected) if collected.kind == "scribble" else None
        layer = new_labelmap(taken.grid)
        if labels is not None:
            np.copyto(array_of_image(layer), labels, where=labels != UNLABELLED)
        return Grown(collected, labels, layer)

    def _grown(self, collected: Collected) -> np.ndarray:
        if self._grower is None or self._version != collected.version:
            checks.check_image(collected.image, collected.affine)
            checks.check_fits_memory(collected.image.shape)
            self._grower = GrowCut(collected.image, collected.spacing_mm)
            self._version = collected.version
        return self._grower.grow(collected.labels)

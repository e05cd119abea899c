"""How an image fits its view: in size, and in brightness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from trame_slicer.views import SliceView

from slicer_kdseg.scene.geometry import array_of_volume

MOST_PERCENT = (0.5, 99.5)
LOOKED_AT_EVERY = 7  # a prime, so that no column is left out


@dataclass(frozen=True)
class Fitted:
    """A slice view as it was fitted last: its size in pixels, its field of view and its centre in mm."""

    size: tuple[int, int]
    field: tuple[float, float]
    centre: tuple[float, float]

    @classmethod
    def now(cls, view: SliceView) -> Fitted:
        node = view.get_view_node()
        (width, height, _), (x, y, _) = node.GetFieldOfView(), node.GetXYZOrigin()
        return cls(
            tuple(view.render_window().GetSize()), (round(width, 3), round(height, 3)), (round(x, 3), round(y, 3))
        )

    def only_resized(self, view: SliceView) -> bool:
        """A view that changes its size keeps its centre and one side of its field."""
        now = Fitted.now(view)
        kept = self.field[0] == now.field[0] or self.field[1] == now.field[1]
        return now.size != self.size and now.centre == self.centre and kept


def intensities(volume: Any) -> tuple[float, float]:
    """Nearly all intensities; what lies outside a scanner's field of view has the lowest one and does not count."""
    some = array_of_volume(volume).reshape(-1)[::LOOKED_AT_EVERY]
    some = some[some > some.min()]
    if some.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(some, MOST_PERCENT)
    return float(low), float(max(high, low + 1e-6))

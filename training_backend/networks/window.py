"""The size of what a network is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence


def window_for(size: Sequence[float], divisor: Sequence[int], nearest: bool = False) -> tuple[int, ...]:
    """A window for ``size`` voxels: each side the next multiple of ``divisor``, or the ``nearest`` one.

    Where every side would be its divisor the longest one has two: of the single element that is left at the bottom
    of the network, its norms could tell no deviation and refuse it.
    """
    shares = [n / d for n, d in zip(size, divisor, strict=True)]
    counts = [max(1, round(share) if nearest else math.ceil(share)) for share in shares]
    if max(counts) == 1:
        counts[shares.index(max(shares))] = 2
    return tuple(count * d for count, d in zip(counts, divisor, strict=True))

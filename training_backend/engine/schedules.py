"""Curves over the fraction of a budget, each from 0..1 to 0..1."""

from __future__ import annotations

import math


def warm_then_linear(fraction: float, warm: float = 0.04, floor: float = 0.03) -> float:
    """Learning-rate factor: linear rise during ``warm``, then linear fall to ``floor``."""
    if fraction < warm:
        return max(fraction / warm, 0.05)
    return 1.0 - (1.0 - floor) * min((fraction - warm) / (1.0 - warm), 1.0)


def share_gone(fraction: float, begins: float, until: float = 1.0) -> float:
    """How much of a stage that has the budget's fractions ``begins`` to ``until`` is over, 0 before it."""
    return max(fraction - begins, 0.0) / (until - begins)


def sigmoid_ramp(fraction: float, start: float = 0.0, end: float = 0.4) -> float:
    """exp(-5 (1 - x)^2) with x the place between ``start`` and ``end``: 0.0067 at the start, 1 from the end on."""
    place = min(max((fraction - start) / (end - start), 0.0), 1.0)
    return math.exp(-5.0 * (1.0 - place) ** 2)

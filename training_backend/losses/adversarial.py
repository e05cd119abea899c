"""Least-squares adversarial loss (LSGAN; Mao et al., ICCV 2017)."""

from __future__ import annotations

from torch import Tensor


def adversarial(scores: Tensor, wanted: float) -> Tensor:
    """L = mean (D(x) - wanted)^2; the judge wants 1 for real and 0 for made images, the maker wants 1 for its own.

    Args:
        scores: a map of any shape.
        wanted: 0 or 1.

    Returns:
        0-d tensor, unweighted.
    """
    return (scores - wanted).square().mean()

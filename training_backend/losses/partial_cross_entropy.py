"""Partial cross-entropy: only voxels with a stroke speak (method-scribble, section 2.1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

UNSPOKEN = -1


def partial_cross_entropy(logits: Tensor, strokes: Tensor) -> Tensor:
    """L = -1/|S| sum over i in S of log softmax(logits)_i[y_i].

    Args:
        logits: (B, K+1, *spatial), float.
        strokes: (B, *spatial), integer channel indices, ``UNSPOKEN`` (-1) where nobody has drawn.

    Returns:
        0-d tensor; 0 with zero gradient where there is no stroke.
    """
    spoken = (strokes != UNSPOKEN).sum().clamp_min(1)
    return F.cross_entropy(logits, strokes.long(), ignore_index=UNSPOKEN, reduction="sum") / spoken

"""What the first, nearly free teachers think of every voxel: grow-cut and its kin, averaged.

Each teacher is wrong elsewhere, so their mean is a better and a softer target than any of them.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training_backend.data.growcut import growcut


def votes(image: np.ndarray, strokes: np.ndarray, given: np.ndarray | None = None) -> list[np.ndarray]:
    """Label maps (D, H, W) uint8 of class ids, ``UNLABELLED`` where a teacher is silent.

    ``given``: grow-cut of the same strokes that somebody has computed already.
    """
    return [growcut(image, strokes) if given is None else given]


def belief(channel_maps: list[Tensor], classes: int) -> Tensor:
    """Mean of the votes: (D, H, W) int8 channels with -1 for silence -> (K+1, D, H, W) float32."""
    total = torch.zeros(classes, *channel_maps[0].shape)
    for channels in channel_maps:
        spoken = (channels >= 0)[None]
        total += F.one_hot(channels.clamp_min(0).long(), classes).movedim(-1, 0) * spoken
    return total / len(channel_maps)

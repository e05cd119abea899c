"""What every training loads before its first step, and what that costs."""

from __future__ import annotations

from functools import cache

import numpy as np


@cache
def load() -> None:
    """Load it now: torch, MONAI, ITK's filter and what torch's optimisers bring are ten CPU seconds."""
    import torch

    from training_backend.data.growcut import growcut
    from training_backend.jobs import prediction, training

    growcut(np.zeros((3, 3, 3), np.float32), np.zeros((3, 3, 3), np.uint8))
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)], fused=True)
    assert training, prediction

"""Where the student is unsure, and which slice to annotate next because of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from slicer_kdseg.protocol.labels import UNLABELLED
from training_backend.data.preprocess import Preprocess


def doubt(teacher: Tensor, student: Tensor, preprocess: Preprocess, shape: tuple[int, ...]) -> np.ndarray:
    """(D, H, W) uint8 on the stored grid, 255 = most: student and teacher differ, or the teacher is undecided.

    ``teacher``, ``student``: probabilities (K+1, D', H', W') at working spacing.
    """
    disagreement = (teacher - student).abs().sum(dim=0, keepdim=True) / 2
    undecided = 1.0 - teacher.amax(dim=0, keepdim=True)
    restored = preprocess.restore(torch.maximum(disagreement, undecided), shape)[0]
    return (restored.clamp(0, 1) * 255).to(torch.uint8).cpu().numpy()


def next_slice(doubt: np.ndarray, annotation: np.ndarray, axis: int) -> int | None:
    """The slice along ``axis`` without strokes where the doubt is largest; None if every slice has some."""
    others = tuple(a for a in range(3) if a != axis)
    drawn = (annotation != UNLABELLED).any(axis=others)
    if drawn.all():
        return None
    return int(np.where(drawn, -1.0, doubt.mean(axis=others)).argmax())

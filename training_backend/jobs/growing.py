"""Grow-cut of a run's cases, at their own resolution as far as that is a matter of seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from slicer_kdseg.protocol.labels import UNLABELLED
from training_backend.data.cases import spacing_mm
from training_backend.data.growcut import growcut_near
from training_backend.data.items import hot
from training_backend.data.preprocess import Preprocess
from training_backend.jobs.training_case import TrainingCase
from training_backend.methods.votes import Seen

MOST_VOXELS = 4_000_000  # ten seconds of grow-cut


@dataclass(frozen=True, eq=False)
class Growing:
    """``ids`` (K+1,) uint8 of the channels; ``channel_of`` (256,): the channel of an id, -1 for what is none."""

    preprocess: Preprocess
    ids: np.ndarray
    channel_of: np.ndarray

    def grown(self, case: TrainingCase, strokes: np.ndarray) -> np.ndarray:
        """(D, H, W) ids grown from ``strokes`` of ``case``, in the box of all that is drawn on it."""
        if case.image.size <= MOST_VOXELS:
            return growcut_near(case.image, strokes, among=case.annotation)
        image = self.preprocess.image(case.image, spacing_mm(case.affine))
        some, drawn = (
            self.seen(image, self.preprocess.labels(own, spacing_mm(case.affine), self.channel_of))
            for own in (strokes, case.annotation)
        )
        grown = growcut_near(some.image, some.strokes, among=drawn.strokes)
        return self.restored(hot(channels_of(grown), len(self.ids)), case)

    def detail(self, case: TrainingCase, labels: np.ndarray) -> float:
        """How much of ``labels`` (D, H, W) survives the way to working spacing and back, Dice in 0..1."""
        coarse = self.preprocess.labels(labels, spacing_mm(case.affine), self.channel_of)
        back = self.restored(hot(coarse, len(self.ids)), case)
        pairs = [(labels == id_, back == id_) for id_ in self.ids if id_ and (labels == id_).any()]
        return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs])) if pairs else 1.0

    def seen(self, image: Tensor, strokes: Tensor) -> Seen:
        """``image`` (C, D', H', W') and ``strokes`` (D', H', W') channels at working spacing, for grow-cut."""
        return Seen(image[0].numpy(), drawn_of(strokes), self.preprocess.spacing_mm)

    def restored(self, probability: Tensor, case: TrainingCase) -> np.ndarray:
        """(K+1, D', H', W') at working spacing -> the likeliest ids (D, H, W) of ``case``."""
        return self.ids[self.preprocess.restore_labels(probability, case.image.shape).cpu().numpy()]


def drawn_of(channels: Tensor) -> np.ndarray:
    """int8 channels with -1 -> uint8 with ``UNLABELLED``."""
    return np.where(channels.numpy() < 0, UNLABELLED, channels.numpy()).astype(np.uint8)


def channels_of(grown: np.ndarray) -> Tensor:
    """uint8 channels with ``UNLABELLED`` -> int8 with -1."""
    return torch.from_numpy(grown.astype(np.int8))

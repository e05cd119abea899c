"""Quality on strokes that training never saw, and what follows from it: whose labels are shown."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from slicer_kdseg.protocol.labels import UNLABELLED, LabelContract
from slicer_kdseg.protocol.messages import HeldOut


class Examiner:
    """Holds the held-out strokes of every case and what grow-cut, without them, made of them."""

    def __init__(self, labels: LabelContract) -> None:
        self.labels = labels
        self.held: dict[str, np.ndarray] = {}
        self.growcut: dict[str, np.ndarray] = {}

    def examine(self, step: int, predicted: Mapping[str, np.ndarray]) -> HeldOut:
        """Score class ids (D, H, W) of every case against its held-out strokes."""
        student = self._scores(predicted)
        growcut = self._scores({case: self.growcut[case] for case in predicted})
        return HeldOut(step, student, growcut, _mean(student), _mean(growcut))

    def _scores(self, predicted: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Dice a class over the held-out stroke voxels; a class without any of them has no score."""
        pairs = [
            (held[drawn], predicted[case][drawn])
            for case, held in self.held.items()
            if case in predicted and (drawn := held != UNLABELLED).any()
        ]
        if not pairs:
            return {}
        true, said = (np.concatenate(side) for side in zip(*pairs, strict=True))
        return {
            str(id_): float(2 * ((true == id_) & (said == id_)).sum() / ((true == id_).sum() + (said == id_).sum()))
            for id_ in self.labels.ids
            if (true == id_).any()
        }


def _mean(scores: Mapping[str, float]) -> float:
    return float(np.mean(list(scores.values()))) if scores else 0.0

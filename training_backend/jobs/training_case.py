"""A case as a run needs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.messages import AnnotationKind, CaseRole
from training_backend.data.items import Part


@dataclass
class TrainingCase:
    """``image`` (D, H, W), ``affine`` index to RAS mm, ``annotation`` uint8 class
    ids with ``UNLABELLED`` (nothing else in an unlabelled case), ``growcut`` of all its strokes if somebody
    has computed it already."""

    id: str
    name: str
    image: np.ndarray
    affine: np.ndarray
    kind: AnnotationKind
    revision: int
    annotation: np.ndarray
    growcut: np.ndarray | None = None
    role: CaseRole = "target"

    @property
    def part(self) -> Part:
        """What the case is to the training, as long as its annotation is what it is."""
        if self.role == "assistant":
            return "assistant"
        return "annotated" if (self.annotation != UNLABELLED).any() else "unlabelled"

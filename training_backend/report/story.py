"""What a run has to tell, as plain data: the pages, pictures and numbers are made from this alone.

Arrays are (D, H, W) with slices along the first axis, oriented as a reader expects to see them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from slicer_kdseg.protocol.labels import LabelContract
from training_backend.report.metrics import Scores


@dataclass(frozen=True)
class Row:
    """One state of the segmentation; ``seconds`` since the first click, None where time means nothing.

    ``meaning`` says in a sentence whose labels these are.
    """

    name: str
    scores: Scores
    seconds: float | None = None
    meaning: str = ""


@dataclass(frozen=True)
class LossPoint:
    seconds: float
    losses: dict[str, float]


@dataclass(frozen=True)
class HeldOutPoint:
    """Accuracy in 0..1 on strokes that training never saw."""

    seconds: float
    student: float
    growcut: float


@dataclass(frozen=True)
class CorrectionMade:
    """Dice of the corrected class in the preview that was corrected and at the end."""

    class_name: str
    slices: tuple[int, ...]
    strokes: int
    seconds: float
    before: float
    after: float


@dataclass(frozen=True)
class Looks:
    """The label maps (D, H, W) uint8 that the pictures compare, and what was drawn."""

    image: np.ndarray
    spacing_mm: tuple[float, float, float]
    before: np.ndarray
    after: np.ndarray
    reference: np.ndarray | None
    strokes_before: np.ndarray
    strokes_after: np.ndarray
    uncertainty: np.ndarray | None = None


@dataclass(frozen=True)
class Story:
    title: str
    subject: str
    contract: LabelContract
    looks: Looks
    first_preview: Row
    growcut: Row
    previews: tuple[Row, ...]
    student: Row
    correction: CorrectionMade | None
    first_preview_seconds: float
    total_seconds: float
    model: Row | None = None
    losses: tuple[LossPoint, ...] = ()
    held_out: tuple[HeldOutPoint, ...] = ()
    next_step: str = ""
    remarks: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[Row, ...]:
        alone = () if self.model is None else (self.model,)
        return (self.first_preview, *self.previews, self.growcut, *alone, self.student)

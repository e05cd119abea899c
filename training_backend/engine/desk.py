"""What a training run needs from the process around it, and nothing more.

A worker process answers these calls with rows of a database, the command line with lines on a
terminal, a test with lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from slicer_kdseg.protocol.messages import Payload, PreviewSource


@dataclass(frozen=True)
class Revision:
    """A newer annotation of a case: labels (D, H, W) uint8, and grow-cut of all its strokes or None."""

    case: str
    number: int
    labels: np.ndarray
    growcut: np.ndarray | None


@dataclass(frozen=True)
class Orders:
    """What the user wants of a running job, asked for at every step boundary."""

    end: Literal["stop", "cancel"] | None = None
    revisions: tuple[Revision, ...] = ()


class Desk(Protocol):
    def orders(self) -> Orders:
        """Cheap enough for every step; each revision is handed out once."""

    def emit(self, payload: Payload) -> None:
        """Put an event into the job's history."""

    def preview(
        self,
        case: str,
        labels: np.ndarray,
        source: PreviewSource,
        step: int,
        revision: int,
        uncertainty: np.ndarray | None = None,
        sentence: str = "",
    ) -> None:
        """Show ``labels`` (D, H, W) uint8 of class ids; ``uncertainty`` uint8, 255 = most unsure."""

    def candidate(self, folder: Path, scores: dict[str, float], not_worse: bool, sentence: str) -> None:
        """A model folder that has been saved, loaded back and has predicted; it may be promoted."""

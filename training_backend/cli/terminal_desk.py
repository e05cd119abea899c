"""The desk of a training run on the command line: events become lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from slicer_kdseg.protocol.messages import HeldOut, Payload, PreviewSource, Progress, StateChanged, Suggestion, Warned
from training_backend.cli.progress import ProgressBar
from training_backend.engine.desk import Orders
from training_backend.jobs.files import copy_folder, remove_folder


@dataclass
class TerminalDesk:
    """Answers :class:`training_backend.engine.desk.Desk`; ``model`` is where the newest verified model is kept."""

    model: Path
    bar: ProgressBar = field(default_factory=ProgressBar)
    previews: dict[str, tuple[np.ndarray, PreviewSource, str]] = field(default_factory=dict)
    suggestion: str = ""
    held_out: HeldOut | None = None
    stopping: bool = False

    def orders(self) -> Orders:
        return Orders("stop" if self.stopping else None)

    def emit(self, payload: Payload) -> None:
        if isinstance(payload, Progress):
            quality = f"held-out {self.held_out.student_mean:.2f}" if self.held_out and self.held_out.student else ""
            losses = " ".join(f"{name} {value:.3f}" for name, value in payload.losses.items())
            self.bar.update(payload.fraction, payload.seconds_left, f"step {payload.step}  {quality}  {losses}")
        elif isinstance(payload, HeldOut):
            self.held_out = payload
        elif isinstance(payload, Suggestion):
            self.suggestion = payload.sentence
        elif isinstance(payload, StateChanged | Warned) and payload.sentence:
            self.bar.say(payload.sentence)

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
        self.previews[case] = labels, source, sentence

    def candidate(self, folder: Path, scores: dict[str, float], not_worse: bool, sentence: str) -> None:
        """The older model goes when the new one is whole; in between it has another name."""
        draft, older = (self.model.with_name(f".{self.model.name}.{word}") for word in ("part", "older"))
        remove_folder(draft)
        copy_folder(folder, draft, "the model")
        remove_folder(older)
        if self.model.is_dir():
            self.model.rename(older)
        draft.rename(self.model)
        remove_folder(older)

    def stop(self) -> None:
        """Ask the run to end at its next step and keep its best."""
        self.stopping = True
        self.bar.say("Stopping at the next step; the best so far is kept. Press Ctrl-C again to give up.")

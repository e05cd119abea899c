"""The whole loop with nobody at the mouse: a real scene, a real backend, a simulated annotator, one correction.

What a person would see is recorded: every preview as it was written into the scene, with its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from slicer_kdseg.headless.files import load_volume
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.messages import FINAL_STATES, HeldOut, PreviewReady, Progress
from slicer_kdseg.scene.annotation import new_annotation
from slicer_kdseg.scene.geometry import array_of_volume
from slicer_kdseg.scene.painting import Painter
from slicer_kdseg.scene.state import PreviewShown, SessionState
from slicer_kdseg.scene.uncertainty import UncertaintyVolume
from training_backend.cli.stages import Stage
from training_backend.data.annotator import Correction, annotate, correct

CLOCK_SECONDS = 0.02
CORRECT_FROM, CORRECT_BY = 0.4, 0.6
CORRECTED_SLICES = 6
PATIENCE_SECONDS = 240.0


@dataclass(frozen=True)
class Shown:
    """One preview as the scene showed it; ``seconds`` since the click, ``wall`` on the system's clock."""

    labels: np.ndarray
    about: PreviewShown
    seconds: float
    wall: float


@dataclass
class Recording:
    strokes_before: np.ndarray
    strokes: np.ndarray
    shown: list[Shown] = field(default_factory=list)
    losses: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    held_out: list[tuple[float, HeldOut]] = field(default_factory=list)
    corrected: Correction | None = None
    corrected_preview: np.ndarray | None = None
    corrected_seconds: float = 0.0
    joined_seconds: float | None = None
    warnings: list[str] = field(default_factory=list)
    uncertainty: np.ndarray | None = None
    suggestion: str = ""
    end: SessionState | None = None
    latencies_seconds: list[float] = field(default_factory=list)


class LiveLoop:
    """Loads ``image`` onto ``stage``; ``reference`` (D, H, W) guides the annotator. Closes the stage with itself."""

    def __init__(
        self, image: Path, reference: np.ndarray, contract: LabelContract, stage: Stage, seed: int = 0
    ) -> None:
        self._stage = stage
        self.host, self.client, self.session = stage.host, stage.client, stage.session
        self.volume = load_volume(self.host, image)
        self.annotation = new_annotation(self.host.scene, self.volume, contract)
        self._painter = Painter(self.host.scene, self.annotation)
        self._reference, self._seed = reference, seed
        self._stopping = False
        stage.show(self.annotation)

    def run(
        self,
        settings: dict[str, Any],
        on_state: Callable[[SessionState], object],
        method: str = "scribble",
        preset: str = "fast",
        correction: bool = True,
    ) -> Recording:
        """Draw, train, correct once while it trains, wait for the end. Raises :class:`KDSegError` if it fails."""
        strokes = annotate(self._reference, self._seed)
        self._painter.paint_labels(strokes)
        record = Recording(strokes, strokes)
        begun = time.monotonic()
        self._listen(record, begun)
        self.session.request_training(method, preset, settings)
        while record.end is None:
            self.session.drain()
            on_state(self.session.state)
            if correction and record.corrected is None and self._is_time_to_correct(record):
                self._correct(record, time.monotonic() - begun)
            overdue = time.monotonic() - begun > settings["seconds"] + PATIENCE_SECONDS
            if (overdue or self._stopping) and self.session.state.can_stop:
                self.session.stop()
            self._stage.pause(CLOCK_SECONDS)
        if record.end.failure:
            raise KDSegError(record.end.failure)
        record.latencies_seconds = self._latencies(record)
        record.uncertainty = array_of_volume(UncertaintyVolume(self.host.scene, self.volume).node).copy()
        return record

    def stop(self) -> None:
        """Ask the training to end as soon as there is one, and to keep its best."""
        self._stopping = True

    def close(self) -> None:
        self._painter.close()
        self._stage.close()

    def __enter__(self) -> LiveLoop:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _listen(self, record: Recording, begun: float) -> None:
        def now() -> float:
            return time.monotonic() - begun

        def shown(about: PreviewShown) -> None:
            assert self.session.preview is not None
            record.shown.append(Shown(self.session.preview.labels.copy(), about, now(), time.time()))

        def progressed(progress: Progress) -> None:
            if progress.losses:
                record.losses.append((now(), progress.losses))

        def ended(state: SessionState) -> None:
            record.end = state

        signals = self.session.signals
        signals.preview_arrived.connect(shown)
        signals.progressed.connect(progressed)
        signals.held_out_measured.connect(lambda held: record.held_out.append((now(), held)))
        signals.revision_joined.connect(lambda joined: setattr(record, "joined_seconds", now()))
        signals.slice_suggested.connect(lambda suggestion: setattr(record, "suggestion", suggestion.sentence))
        signals.warned.connect(record.warnings.append)
        signals.failed.connect(lambda sentence: ended(self.session.state))
        signals.finished.connect(ended)

    def _is_time_to_correct(self, record: Recording) -> bool:
        state = self.session.state
        if not state.can_correct or state.job_state in FINAL_STATES or state.fraction < CORRECT_FROM:
            return False
        return record.shown[-1].about.step > 0 or state.fraction >= CORRECT_BY

    def _correct(self, record: Recording, seconds: float) -> None:
        preview = record.shown[-1].labels
        correction = correct(self._reference, preview, record.strokes, self._seed, CORRECTED_SLICES)
        self._painter.paint_labels(np.where(correction.strokes == record.strokes, 255, correction.strokes))
        self.session.send_correction()
        record.corrected, record.corrected_preview, record.corrected_seconds = correction, preview, seconds
        record.strokes = correction.strokes

    def _latencies(self, record: Recording) -> list[float]:
        """From the moment the backend told of a preview until the scene held it."""
        told = [
            (event.payload.step, event.payload.source, event.time)
            for event in self.client.history(self.session.state.job_id)
            if isinstance(event.payload, PreviewReady)
        ]
        found = []
        for shown in record.shown[1:]:
            about = (shown.about.step, shown.about.source)
            times = [at for step, source, at in told if (step, source) == about and at <= shown.wall]
            found.extend([shown.wall - times[-1]] if times else [])
        return found

"""The session that every face holds: desktop panels, the browser workspace, the unattended demo.

    annotate ─► request_training ─► grow-cut shown ─► case, annotation and job sent ─► previews follow
                        ▲                                                                    │
                        └───────────── send_correction: the same job, a new revision ◄───────┘

Verbs return at once; the host's clock calls :meth:`KDSegSession.drain`, and only there the scene is written
to. What the user drew is only ever read. Refusals before anything is sent are raised as
:class:`KDSegError`; what goes wrong later arrives as ``signals.failed`` with a sentence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BackendUnreachable, BadAnnotation, Conflict, KDSegError
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.messages import (
    AnnotationKind,
    CaseInUse,
)
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.protocol.settings import resolve
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.cohort import OtherCase
from slicer_kdseg.scene.collecting import Collected, collect, collect_others
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.growing import Growing, Grown
from slicer_kdseg.scene.history import TrainingHistory
from slicer_kdseg.scene.models import Models
from slicer_kdseg.scene.predicting import Predictions
from slicer_kdseg.scene.results import PreviewSegmentation, Provenance
from slicer_kdseg.scene.running import RunningJob
from slicer_kdseg.scene.sending import TrainingRequest, join_job, start_job
from slicer_kdseg.scene.signals import SessionSignals
from slicer_kdseg.scene.state import PreviewShown, SessionState

GROWING = "Growing a first segmentation from the strokes."


class KDSegSession:
    """``client`` may come later through :meth:`connect`; grow-cut previews need none."""

    def __init__(self, scene: Any, client: BackendClient | None = None) -> None:
        self.signals = SessionSignals()
        self.state = SessionState()
        self.annotation: Annotation | None = None
        self.preview: PreviewSegmentation | None = None
        self.automatic_background = False
        self.show_uncertainty = False
        self._client = client
        self.scene = scene
        self.errands = Errands(("growcut", "network", "orders", "predictions"))
        self.models = Models(self.backend, self.errands, self.signals, self.become, self.warn)
        self.predictions = Predictions(scene, self.backend, self.errands, self.signals, self.warn)
        self.history = TrainingHistory()
        self.history.follow(self.signals)
        self._growing = Growing(self.errands)
        self._running = RunningJob(self)
        self._closing = scene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, lambda *_: self._scene_closed())

    # What there is to work on

    def annotate(self, annotation: Annotation) -> None:
        """Work on ``annotation`` and its volume; an unfinished job that the scene remembers is followed again."""
        self._leave()
        self.annotation = annotation
        self.become(phase="annotating", sentence="Draw a few strokes for every class, background too.")
        if self._client is not None:
            self.resume()

    def connect(self, client: BackendClient) -> None:
        """Use another backend, or the same one after a restart at a new address; a running job is followed on."""
        self._client = client
        self._running.let_go()
        if self.annotation is not None:
            self.resume()

    def resume(self) -> None:
        """Follow the job that the preview node remembers, from the last event it has seen."""
        self._running.resume()

    def show_uncertainty_map(self, wanted: bool) -> None:
        """Where the student is unsure, as a volume of its own; from the next preview on."""
        self.show_uncertainty = wanted
        self._running.show_uncertainty(wanted)

    # The loop

    def preview_growcut(self) -> None:
        """Grow-cut from the strokes into the scene, with no server."""
        collected = self._collect("scribble")
        self._require(self.state.can_train)
        self._open_preview(collected.contract)
        self.become(phase="growing", sentence=GROWING, failure="")

        def show(grown: Grown) -> None:
            self._show_growcut(grown)
            self.become(phase="annotating", sentence="Grown from the strokes; nothing has been trained.")

        self._growing.grow(collected, show, self._fail)

    def request_training(
        self,
        method: str = "scribble",
        preset: str = "fast",
        settings: dict[str, Any] | None = None,
        kind: AnnotationKind = "scribble",
        other_cases: tuple[CaseInUse, ...] = (),
        other_volumes: Sequence[Any] = (),
        labelled: tuple[OtherCase, ...] = (),
    ) -> None:
        """Grow-cut into the scene first, then a job. Raises :class:`KDSegError` before anything is sent.

        ``other_volumes``: volume nodes that take part without labels and get previews of their own, where the
        method shows them; ``other_cases``: cases that the backend already holds;
        ``labelled``: volumes of the scene with labels of their own.
        """
        self._require(self.state.can_train)
        client = self.backend()
        resolve(method, preset, settings)
        unlabelled = collect_others(other_volumes)
        request = TrainingRequest(method, preset, settings or {}, other_cases, unlabelled, labelled)
        collected = self._collect(kind)
        self._open_preview(collected.contract)
        self._running.unwanted = False
        self.become(phase="growing", sentence=GROWING, failure="", method=method)

        def send(grown: np.ndarray | None) -> None:
            self.become(phase="sending", sentence="Sending image and strokes to the backend.")
            self.errands.send(
                "network", lambda: start_job(client, collected, grown, request), self._running.follow, self._fail
            )

        def show_and_send(grown: Grown) -> None:
            self._show_growcut(grown)
            send(grown.labels)

        if kind == "scribble":
            self._growing.grow(collected, show_and_send, self._fail)
        else:
            send(None)

    def send_correction(self) -> None:
        """All that is drawn as a new revision into the running job; strokes with fresh grow-cut."""
        self._require(self.state.can_correct)
        follower = self._running.follower
        assert follower is not None
        client, job = self.backend(), follower.job
        collected = self._collect(SETTINGS[job.method].learns_from if job.method in SETTINGS else "scribble")
        if collected.contract.ids != follower.preview.contract.ids:
            raise BadAnnotation(
                "Classes were added or removed after this training began; stop it and train again with the new classes."
            )

        def send(grown: Grown | None) -> None:
            before, labels = self.state.revision, grown.labels if grown is not None else None
            self.errands.send(
                "network",
                lambda: join_job(client, job, collected, labels, before),
                lambda revision: self.become(revision=revision),
                self.warn,
            )

        if collected.kind == "scribble":
            self._growing.grow(collected, send, self.warn)
        else:
            send(None)

    def stop(self) -> None:
        """End the training and keep the best model so far."""
        self._running.order(lambda client, job: client.stop(job), "Stopping; the best model so far is kept.")

    def cancel(self) -> None:
        """End the training and discard what it has learnt; the strokes stay."""
        if self.state.phase == "sending":
            self._running.unwanted = True
            self.become(phase="ending", sentence="Cancelling as soon as the backend has answered.")
        elif self._running.follower is None:
            self.errands.forget()
            self.become(phase="annotating", sentence="Cancelled before anything was trained.")
        else:
            self._running.order(lambda client, job: client.cancel(job), "Cancelling.")

    def drain(self) -> None:
        """Called by the host's clock on the scene's thread: hand over what has arrived meanwhile."""
        if self.annotation is not None and not self._present():
            self._leave("The volume or its annotation was removed; a running job goes on in the backend.")
        self.errands.drain()
        self._running.drain()

    def close(self) -> None:
        """Let go of scene and network; a running job goes on in the backend."""
        self.scene.RemoveObserver(self._closing)
        self._leave()
        self.errands.close()

    # Behind the verbs

    def _collect(self, kind: AnnotationKind) -> Collected:
        if self.annotation is None:
            raise Conflict("There is no volume to work on; choose one and draw strokes on it.")
        return collect(self.annotation, kind, self.automatic_background)

    def _open_preview(self, contract: LabelContract) -> None:
        assert self.annotation is not None
        self.preview = PreviewSegmentation(self.scene, self.annotation.volume, contract)

    def _show_growcut(self, grown: Grown) -> None:
        assert self.preview is not None
        self.preview.show(grown.shown)
        self.preview.attribute(Provenance(method="growcut", source="growcut"))
        self.become(preview_source="growcut", preview_step=0)
        self.signals.preview_arrived.emit(PreviewShown("growcut", 0, 0, "Grown from the strokes, before any training."))

    def backend(self) -> BackendClient:
        if self._client is None:
            raise BackendUnreachable("No backend is connected; start one or enter its address.")
        return self._client

    def _require(self, allowed: bool) -> None:
        if not allowed:
            raise Conflict(f"This is not possible now: {self.state.sentence or self.state.phase}")

    def _fail(self, error: KDSegError) -> None:
        """The request came to nothing; strokes and what is shown stay."""
        self.become(phase="annotating", sentence="Nothing is being trained.", failure=error.sentence)
        self.signals.failed.emit(error.sentence)

    def warn(self, error: KDSegError) -> None:
        """Something beside the running work went wrong; the work goes on."""
        self.become(failure=error.sentence)
        self.signals.warned.emit(error.sentence)

    def become(self, **changes: Any) -> SessionState:
        return self.become_all(dataclasses.replace(self.state, **changes))

    def become_all(self, state: SessionState) -> SessionState:
        if state != self.state:
            self.state = state
            self.signals.state_changed.emit(state)
        return state

    def _present(self) -> bool:
        assert self.annotation is not None
        return all(self.scene.IsNodePresent(node) for node in (self.annotation.volume, self.annotation.node))

    def _scene_closed(self) -> None:
        job = self.state.job_id if self._running.follower is not None else ""
        went_on = f" The training '{job}' goes on in the backend." if job else ""
        self._leave(f"The scene was closed.{went_on} Open an image, or the saved scene, to go on.")

    def _leave(self, sentence: str = "") -> None:
        """Forget volume, preview and job, and whatever is under way for them."""
        self.errands.forget()
        self._running.let_go()
        if self.preview is not None and not self.scene.IsNodePresent(self.preview.node):
            self.preview.release()
        self.annotation = self.preview = None
        self._growing = Growing(self.errands)
        self.become_all(SessionState(sentence=sentence or SessionState.sentence, models=self.state.models))

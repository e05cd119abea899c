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

import slicer

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BackendUnreachable, BadAnnotation, Conflict, KDSegError
from slicer_kdseg.protocol.messages import (
    AnnotationKind,
    CaseInUse,
)
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.protocol.settings import resolve
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.cohort import OtherCase
from slicer_kdseg.scene.collecting import Snapshot, collect_others, snapshot
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
        self.errands = Errands(("growcut", "network", "orders"))
        self.models = Models(self.backend, self.errands, self.signals, self.become, self._mention)
        self.predictions = Predictions(
            scene, self.backend, self.signals, lambda count: self.become(predicting=count), self._mention
        )
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
        if annotation.is_finished:
            sentence = _("The finished segmentation is open and is only read; other images may take part.")
        else:
            sentence = _("Draw a few strokes for every class, background too.")
        self.become(phase="annotating", sentence=sentence)
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
        """Grow-cut from the strokes into the scene, with no server; the newest wish replaces those not yet grown."""
        taken = self._snapshot("scribble")
        self._require(self.state.can_train)
        self.become(phase="previewing", sentence=_growing(), failure="")

        def show(grown: Grown) -> None:
            self._open_preview(grown)
            if self.state.phase == "previewing":
                self.become(phase="annotating", sentence=_("Grown from the strokes; nothing has been trained."))

        self._growing.preview(taken, show, self._fail)

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
        taken = self._snapshot(kind)
        sentence = _growing() if kind == "scribble" else _("Reading the labels.")
        self.become(phase="growing", sentence=sentence, failure="", method=method)

        def show_and_send(grown: Grown) -> None:
            self._open_preview(grown)
            self.become(phase="sending", sentence=_("Sending image and annotation to the backend."))
            self._running.start(lambda: start_job(client, grown.collected, grown.labels, request), self._fail)

        self._growing.grow(taken, show_and_send, self._fail)

    def check_annotation(self, kind: AnnotationKind) -> None:
        """Raises :class:`KDSegError` where :meth:`request_training` would refuse what has been drawn."""
        self._snapshot(kind)

    def send_correction(self) -> None:
        """All that is drawn as a new revision into the running job; strokes with fresh grow-cut."""
        self._require(self.state.can_correct)
        follower = self._running.follower
        assert follower is not None
        client, job = self.backend(), follower.job
        taken = self._snapshot(SETTINGS[job.method].learns_from if job.method in SETTINGS else "scribble")
        if taken.contract.ids != follower.preview.contract.ids:
            raise BadAnnotation(
                _(
                    "Classes were added or removed after this training began; stop it and train again with"
                    " the new classes."
                )
            )

        def sent(revision: int) -> None:
            new = revision != self.state.revision
            self.become(revision=revision)
            self.signals.correction_sent.emit(new)

        def send(grown: Grown) -> None:
            before = self.state.revision
            self.errands.send(
                "network",
                lambda: join_job(client, job, grown.collected, grown.labels, before),
                sent,
                self.warn,
            )

        self._growing.grow(taken, send, self.warn)

    def stop(self) -> None:
        """End the training and keep the best model so far."""
        self._running.order(lambda client, job: client.stop(job), _("Stopping; the best model so far is kept."))

    def cancel(self) -> None:
        """End the training and discard what it has learnt; the strokes stay."""
        if self.state.phase == "ending" and self._running.follower is None:
            return  # it is cancelled as soon as the backend has answered
        if self.state.phase == "sending":
            self._running.give_up_starting()
            self.become(phase="ending", sentence=_("Cancelling as soon as the backend has answered."))
        elif self._running.follower is None:
            self.errands.forget()
            self.become(phase="annotating", sentence=_("Cancelled before anything was trained."))
        else:
            self._running.order(lambda client, job: client.cancel(job), _("Cancelling."))

    def make_way(self) -> None:
        """Stop the trainings that this one waits for; the best model so far of each is kept."""
        self._require(self.state.can_make_way)
        self._running.make_way()

    def drain(self) -> None:
        """Called by the host's clock on the scene's thread: hand over what has arrived meanwhile."""
        if self.annotation is not None and not self._present():
            self._leave(_("The volume or its annotation was removed; a running job goes on in the backend."))
        self.errands.drain()
        self.predictions.drain()
        self._running.drain()

    def close(self) -> None:
        """Let go of scene and network; a running job goes on in the backend."""
        self.scene.RemoveObserver(self._closing)
        self._leave()
        self.errands.close()
        self.predictions.close()

    # Behind the verbs

    def _snapshot(self, kind: AnnotationKind) -> Snapshot:
        if self.annotation is None:
            raise Conflict(_("There is no volume to work on; choose one and draw strokes on it."))
        if kind == "dense" and not self.annotation.is_finished:
            raise BadAnnotation(
                _(
                    "The training learns from a finished segmentation, and these are strokes: choose the finished one"
                    " in the tab Annotate, or 'Scribbles → student'."
                )
            )
        return snapshot(self.annotation, kind, self.automatic_background)

    def _open_preview(self, grown: Grown) -> None:
        """What was grown is shown; complete labels are not, and an earlier preview of them stays."""
        assert self.annotation is not None
        self.preview = PreviewSegmentation(self.scene, self.annotation.volume, grown.collected.contract, grown.layer)
        if grown.labels is None:
            return
        self.preview.show_layer(grown.layer)
        self.preview.attribute(Provenance(method="growcut", source="growcut"))
        self.become(preview_source="growcut", preview_step=0)
        self.signals.preview_arrived.emit(
            PreviewShown("growcut", 0, 0, _("Grown from the strokes, before any training."))
        )

    def backend(self) -> BackendClient:
        if self._client is None:
            raise BackendUnreachable(_("No backend is connected; start one or enter its address."))
        return self._client

    def _require(self, allowed: bool) -> None:
        if not allowed:
            raise Conflict(
                _("This is not possible now: {reason}").format(reason=self.state.sentence or self.state.phase)
            )

    def _fail(self, error: KDSegError) -> None:
        """The request came to nothing; strokes and what is shown stay."""
        self.become(phase="annotating", sentence=_("Nothing is being trained."), failure=error.sentence)
        self.signals.failed.emit(error.sentence)

    def warn(self, error: KDSegError) -> None:
        """Something beside the running work went wrong; the work goes on."""
        self.become(failure=error.sentence)
        self.signals.warned.emit(error.sentence)

    def _mention(self, error: KDSegError) -> None:
        """Something that has to do with no training went wrong: said once, and no part of how the training stands."""
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
        if job:
            sentence = _(
                "The scene was closed. The training '{job}' goes on in the backend. Open an image, or the saved scene,"
                " to go on."
            ).format(job=job)
        else:
            sentence = _("The scene was closed. Open an image, or the saved scene, to go on.")
        self._leave(sentence)

    def _leave(self, sentence: str = "") -> None:
        """Forget volume, preview and job, and whatever is under way for them."""
        self.errands.forget()
        self._running.let_go()
        if self.preview is not None and not self.scene.IsNodePresent(self.preview.node):
            self.preview.release()
        self.annotation = self.preview = None
        self._growing = Growing(self.errands)
        left = SessionState(models=self.state.models, predicting=self.state.predicting)
        self.become_all(dataclasses.replace(left, sentence=sentence) if sentence else left)


def _growing() -> str:
    return _("Growing a first segmentation from the strokes.")

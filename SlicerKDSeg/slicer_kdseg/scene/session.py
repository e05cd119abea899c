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
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import slicer

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BackendUnreachable, BadAnnotation, Conflict, KDSegError
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.messages import (
    FINAL_STATES,
    AnnotationKind,
    CaseInUse,
    JobStatus,
    PreviewReady,
    StateChanged,
)
from slicer_kdseg.protocol.settings import resolve
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.collecting import Collected, collect, collect_others
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.following import FollowedJob, JobFollower, remembered_job, remembered_others
from slicer_kdseg.scene.growing import Growing, Grown
from slicer_kdseg.scene.models import Models
from slicer_kdseg.scene.results import PreviewSegmentation, Provenance, find_preview
from slicer_kdseg.scene.sending import Started, TrainingRequest, join_job, start_job
from slicer_kdseg.scene.signals import SessionSignals
from slicer_kdseg.scene.state import PreviewShown, SessionState
from slicer_kdseg.scene.uncertainty import UncertaintyVolume

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
        self._scene = scene
        self._client = client
        self._errands = Errands(("growcut", "network", "orders"))
        self.models = Models(self._backend, self._errands, self.signals, self._become, self._warn)
        self._growing = Growing(self._errands)
        self._follower: JobFollower | None = None
        self._unwanted = False  # cancelled while the request was on its way
        self._closing = scene.AddObserver(slicer.vtkMRMLScene.EndCloseEvent, lambda *_: self._scene_closed())

    # What there is to work on

    def annotate(self, annotation: Annotation) -> None:
        """Work on ``annotation`` and its volume; an unfinished job that the scene remembers is followed again."""
        self._leave()
        self.annotation = annotation
        self._become(phase="annotating", sentence="Draw a few strokes for every class, background too.")
        if self._client is not None:
            self.resume()

    def connect(self, client: BackendClient) -> None:
        """Use another backend, or the same one after a restart at a new address; a running job is followed on."""
        self._client = client
        if self._follower is not None:
            self._follower.close()
            self._follower = None
        if self.annotation is not None:
            self.resume()

    def resume(self) -> None:
        """Follow the job that the preview node remembers, from the last event it has seen."""
        assert self.annotation is not None
        node = find_preview(self._scene, self.annotation.volume)
        job = remembered_job(node) if node is not None else None
        if job is None:
            return
        client = self._backend()
        self._errands.send(
            "orders",
            lambda: client.job(job.id),
            lambda status: self._resumed(job, status),
            lambda error: self._become(
                phase="annotating", sentence=f"The training '{job.id}' cannot be followed now.", trouble=error.sentence
            ),
        )

    # The loop

    def preview_growcut(self) -> None:
        """Grow-cut from the strokes into the scene, with no server."""
        collected = self._collect("scribble")
        self._require(self.state.can_train)
        self._open_preview(collected.contract)
        self._become(phase="growing", sentence=GROWING, failure="")

        def show(grown: Grown) -> None:
            self._show_growcut(grown)
            self._become(phase="annotating", sentence="Grown from the strokes; nothing has been trained.")

        self._growing.grow(collected, show, self._fail)

    def request_training(
        self,
        method: str = "scribble",
        preset: str = "fast",
        settings: dict[str, Any] | None = None,
        kind: AnnotationKind = "scribble",
        other_cases: tuple[CaseInUse, ...] = (),
        other_volumes: Sequence[Any] = (),
    ) -> None:
        """Grow-cut into the scene first, then a job. Raises :class:`KDSegError` before anything is sent.

        ``other_volumes``: volume nodes that take part without labels and get previews of their own, where the
        method shows them; ``other_cases``: cases that the backend already holds.
        """
        self._require(self.state.can_train)
        client = self._backend()
        resolve(method, preset, settings)
        request = TrainingRequest(method, preset, settings or {}, other_cases, collect_others(other_volumes))
        collected = self._collect(kind)
        self._open_preview(collected.contract)
        self._unwanted = False
        self._become(phase="growing", sentence=GROWING, failure="", method=method)

        def send(grown: np.ndarray | None) -> None:
            self._become(phase="sending", sentence="Sending image and strokes to the backend.")
            self._errands.send(
                "network", lambda: start_job(client, collected, grown, request), self._follow, self._fail
            )

        def show_and_send(grown: Grown) -> None:
            self._show_growcut(grown)
            send(grown.labels)

        if kind == "scribble":
            self._growing.grow(collected, show_and_send, self._fail)
        else:
            send(None)

    def send_correction(self) -> None:
        """All strokes as a new revision, with fresh grow-cut, into the running job."""
        self._require(self.state.can_correct)
        assert self._follower is not None
        client, job, collected = self._backend(), self._follower.job, self._collect("scribble")
        if collected.contract.ids != self._follower.preview.contract.ids:
            raise BadAnnotation(
                "Classes were added or removed after this training began; stop it and train again with the new classes."
            )

        def send(grown: Grown) -> None:
            before = self.state.revision
            self._errands.send(
                "network",
                lambda: join_job(client, job, collected, grown.labels, before),
                lambda revision: self._become(revision=revision),
                self._warn,
            )

        self._growing.grow(collected, send, self._warn)

    def stop(self) -> None:
        """End the training and keep the best model so far."""
        self._order(lambda client, job: client.stop(job), "Stopping; the best model so far is kept.")

    def cancel(self) -> None:
        """End the training and discard what it has learnt; the strokes stay."""
        if self.state.phase == "sending":
            self._unwanted = True
            self._become(phase="ending", sentence="Cancelling as soon as the backend has answered.")
        elif self._follower is None:
            self._errands.forget()
            self._become(phase="annotating", sentence="Cancelled before anything was trained.")
        else:
            self._order(lambda client, job: client.cancel(job), "Cancelling.")

    def drain(self) -> None:
        """Called by the host's clock on the scene's thread: hand over what has arrived meanwhile."""
        if self.annotation is not None and not self._present():
            self._leave("The volume or its annotation was removed; a running job goes on in the backend.")
        self._errands.drain()
        if self._follower is None:
            return
        self._follower.drain()
        if self._follower.over:
            self._follower = None

    def close(self) -> None:
        """Let go of scene and network; a running job goes on in the backend."""
        self._scene.RemoveObserver(self._closing)
        self._leave()
        self._errands.close()

    # Behind the verbs

    def _collect(self, kind: AnnotationKind) -> Collected:
        if self.annotation is None:
            raise Conflict("There is no volume to work on; choose one and draw strokes on it.")
        return collect(self.annotation, kind, self.automatic_background)

    def _open_preview(self, contract: LabelContract) -> None:
        assert self.annotation is not None
        self.preview = PreviewSegmentation(self._scene, self.annotation.volume, contract)

    def _show_growcut(self, grown: Grown) -> None:
        assert self.preview is not None
        self.preview.show(grown.shown)
        self.preview.attribute(Provenance(method="growcut", source="growcut"))
        self._become(preview_source="growcut", preview_step=0)
        self.signals.preview_arrived.emit(PreviewShown("growcut", 0, 0, "Grown from the strokes, before any training."))

    def _follow(self, started: Started) -> None:
        assert self.annotation is not None
        assert self.preview is not None
        client, status = self._backend(), started.status
        self._become_all(self.state.of_job(status, started.revision))
        over = StateChanged(status.state, status.sentence) if status.state in FINAL_STATES else None
        others = {
            case: PreviewSegmentation(self._scene, volume, self.annotation.contract)
            for case, volume in started.others.items()
            if self._scene.IsNodePresent(volume)
        }
        self._follower = JobFollower(
            client, self._errands, started.job, self.preview, self.signals, self._become, others, over
        )
        if self.show_uncertainty:
            self._follower.fetcher.uncertainty = UncertaintyVolume(self._scene, self.annotation.volume)
        if self._unwanted:
            self._unwanted = False
            self.cancel()

    def _resumed(self, job: FollowedJob, status: JobStatus) -> None:
        assert self.annotation is not None
        self.preview = PreviewSegmentation(self._scene, self.annotation.volume, self.annotation.contract)
        others = remembered_others(self._scene, job)
        self._follow(Started(job, self.preview.provenance.revision, status, others))
        if status.preview and self._follower is not None:
            found = PreviewReady(status.preview, job.case, "student", status.step, 0, "Found again.")
            self._follower.fetcher.want(found)

    def _order(self, order: Callable[[BackendClient, str], JobStatus], sentence: str) -> None:
        if self._follower is None:
            raise Conflict("No training is running.")
        client, job = self._backend(), self._follower.job.id
        before = self.state.phase
        self._become(phase="ending", sentence=sentence)

        def refused(error: KDSegError) -> None:
            self._become(phase=before)
            self._warn(error)

        self._errands.send("orders", lambda: order(client, job), lambda status: None, refused)

    def _backend(self) -> BackendClient:
        if self._client is None:
            raise BackendUnreachable("No backend is connected; start one or enter its address.")
        return self._client

    def _require(self, allowed: bool) -> None:
        if not allowed:
            raise Conflict(f"This is not possible now: {self.state.sentence or self.state.phase}")

    def _fail(self, error: KDSegError) -> None:
        """The request came to nothing; strokes and what is shown stay."""
        self._become(phase="annotating", sentence="Nothing is being trained.", failure=error.sentence)
        self.signals.failed.emit(error.sentence)

    def _warn(self, error: KDSegError) -> None:
        """Something beside the running work went wrong; the work goes on."""
        self._become(failure=error.sentence)
        self.signals.warned.emit(error.sentence)

    def _become(self, **changes: Any) -> SessionState:
        return self._become_all(dataclasses.replace(self.state, **changes))

    def _become_all(self, state: SessionState) -> SessionState:
        if state != self.state:
            self.state = state
            self.signals.state_changed.emit(state)
        return state

    def _present(self) -> bool:
        assert self.annotation is not None
        return all(self._scene.IsNodePresent(node) for node in (self.annotation.volume, self.annotation.node))

    def _scene_closed(self) -> None:
        job = self.state.job_id if self._follower is not None else ""
        went_on = f" The training '{job}' goes on in the backend." if job else ""
        self._leave(f"The scene was closed.{went_on} Open an image, or the saved scene, to go on.")

    def _leave(self, sentence: str = "") -> None:
        """Forget volume, preview and job, and whatever is under way for them."""
        self._errands.forget()
        if self._follower is not None:
            self._follower.close()
        if self.preview is not None and not self._scene.IsNodePresent(self.preview.node):
            self.preview.release()
        self._follower = self.annotation = self.preview = None
        self._growing = Growing(self._errands)
        self._become_all(SessionState(sentence=sentence or SessionState.sentence, models=self.state.models))

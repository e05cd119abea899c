"""Follow one job: its events become state and signals, its previews become voxels in the scene.

Only the newest preview is fetched, on another thread; what changed is written in place by ``drain()``.
The preview node remembers job, case and the last event seen, so that a session over a saved or reopened
scene goes on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.protocol.messages import (
    FINAL_STATES,
    Event,
    HeldOut,
    ModelReady,
    Payload,
    PreviewReady,
    Progress,
    RevisionJoined,
    StateChanged,
    Suggestion,
    Warned,
)
from slicer_kdseg.protocol.previews import PreviewUpdate
from slicer_kdseg.protocol.watcher import JobWatcher
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.results import PreviewSegmentation, Provenance
from slicer_kdseg.scene.signals import SessionSignals
from slicer_kdseg.scene.state import PreviewShown, SessionState
from slicer_kdseg.scene.uncertainty import UncertaintyVolume

JOB = "KDSeg.JobId"
CASE = "KDSeg.CaseId"
METHOD = "KDSeg.Method"
LAST_EVENT = "KDSeg.LastEventId"


@dataclass(frozen=True)
class FollowedJob:
    """A job and the case of the source volume in it."""

    id: str
    method: str
    case: str
    last_event_id: int = 0


class JobFollower:
    """``become(**changes)`` changes the session's state; ``uncertainty`` is None unless it is to be shown.

    ``final`` is given when the job was over before it was followed. ``over`` is true once the job's last
    event and its last preview have arrived.
    """

    def __init__(
        self,
        client: BackendClient,
        errands: Errands,
        job: FollowedJob,
        preview: PreviewSegmentation,
        signals: SessionSignals,
        become: Callable[..., SessionState],
        final: StateChanged | None = None,
    ) -> None:
        self.job = job
        self.preview = preview
        self.uncertainty: UncertaintyVolume | None = None
        self.over = False
        self._client, self._errands, self._signals, self._become = client, errands, signals, become
        self._wanted: PreviewReady | None = None
        self._fetching = False
        self._final = final
        self._model = ""
        self._watcher = JobWatcher(client, job.id, job.last_event_id)
        for name, value in ((JOB, job.id), (CASE, job.case), (METHOD, job.method)):
            preview.node.SetAttribute(name, value)

    def drain(self) -> None:
        told_all = self._watcher.finished or self._watcher.error is not None  # read first: then nothing comes later
        events = self._watcher.drain()
        for event in events:
            self._take(event)
        if events:
            self.preview.node.SetAttribute(LAST_EVENT, str(events[-1].id))
        self._become(trouble=self._watcher.trouble)
        if self._watcher.error is not None and self._final is None:
            self._final = StateChanged("failed", self._watcher.error.sentence)
        self._fetch()
        if told_all and self._final is not None and not self._fetching and self._wanted is None:
            self._end(self._final)

    def want(self, ready: PreviewReady) -> None:
        self._wanted = ready

    def close(self) -> None:
        self._watcher.close()

    def _take(self, event: Event) -> None:
        payload: Payload = event.payload
        match payload:
            case StateChanged(state, sentence):
                self._become(job_state=state, sentence=sentence or f"The job is {state}.")
                if state in FINAL_STATES:
                    self._final = payload
            case Progress():
                self._become(
                    step=payload.step,
                    fraction=payload.fraction,
                    seconds_left=payload.seconds_left,
                    stage=payload.stage,
                )
                self._signals.progressed.emit(payload)
            case PreviewReady() if payload.case == self.job.case:
                self._wanted = payload
            case HeldOut():
                self._become(held_out=payload)
                self._signals.held_out_measured.emit(payload)
            case RevisionJoined() if payload.case == self.job.case:
                self._become(joined_revision=payload.revision)
                self._signals.revision_joined.emit(payload)
            case Suggestion():
                self._become(suggestion=payload)
                self._signals.slice_suggested.emit(payload)
            case ModelReady():
                self._model = str(payload.number)
                if payload.current:
                    self._become(current_model=payload.number)
                self._signals.model_ready.emit(payload)
            case Warned():
                self._signals.warned.emit(payload.sentence)

    def _fetch(self) -> None:
        ready = self._wanted
        if ready is None or self._fetching:
            return
        self._wanted, self._fetching = None, True
        since, unsure = self.preview.number, self.uncertainty is not None
        self._errands.send(
            "network",
            lambda: self._client.preview(self.job.id, ready.number, since, unsure),
            lambda update: self._show(ready, update),
            lambda error: self._missed(error),
        )

    def _show(self, ready: PreviewReady, update: PreviewUpdate) -> None:
        self._fetching = False
        labels = self.preview.labels
        if update.labels is None and update.since != self.preview.number:
            self.preview.number = None  # the layer was remade meanwhile: ask for the whole preview
            self._wanted = self._wanted or ready
            return
        update.apply(labels)
        self.preview.number = update.number
        self.preview.shown()
        if self.uncertainty is not None and update.uncertainty is not None:
            self.uncertainty.show(update.uncertainty)
        self.preview.attribute(
            Provenance(self.job.id, self.job.method, ready.step, self._model, ready.source, ready.revision)
        )
        self._become(preview_source=ready.source, preview_step=ready.step)
        self._signals.preview_arrived.emit(PreviewShown(ready.source, ready.step, ready.revision, ready.sentence))

    def _missed(self, error: KDSegError) -> None:
        self._fetching = False
        self._signals.warned.emit(f"A preview did not arrive. {error.sentence}")

    def _end(self, final: StateChanged) -> None:
        self.over = True
        self._watcher.close()
        self.preview.node.SetAttribute("KDSeg.Model", self._model)
        failure = final.sentence if final.state == "failed" else ""
        sentence = final.sentence or f"The training is {final.state}."
        if final.state == "done":
            self._become(fraction=1.0, seconds_left=0.0)
        state = self._become(phase="annotating", job_state=final.state, sentence=sentence, failure=failure, trouble="")
        if failure:
            self._signals.failed.emit(failure)
        self._signals.finished.emit(state)


def remembered_job(node: Any) -> FollowedJob | None:
    """The job that a preview node shows, as it was when the scene was saved."""
    job, case = node.GetAttribute(JOB), node.GetAttribute(CASE)
    if not job or not case:
        return None
    return FollowedJob(job, node.GetAttribute(METHOD) or "", case, int(node.GetAttribute(LAST_EVENT) or 0))

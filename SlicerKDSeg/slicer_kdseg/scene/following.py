"""Follow one job: its events become state and signals, its previews become voxels in the scene.

The preview node remembers job, case and the last event seen, so that a session over a saved or reopened
scene goes on where the last one stopped; so do the preview nodes of other volumes that take part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from slicer_kdseg.protocol.watcher import JobWatcher
from slicer_kdseg.protocol.words import said
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.fetching import PreviewFetcher
from slicer_kdseg.scene.results import PreviewSegmentation, Provenance, preview_nodes
from slicer_kdseg.scene.review import supersede
from slicer_kdseg.scene.signals import SessionSignals
from slicer_kdseg.scene.state import PreviewShown, SessionState, job_sentence

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
    """``become(**changes)`` changes the session's state; ``others`` are the previews of other volumes by case.

    ``final`` is given when the job was over before it was followed, ``model`` if it has made one. ``over`` is true once
    the job's last event and its last preview have arrived.
    """

    def __init__(
        self,
        client: BackendClient,
        errands: Errands,
        job: FollowedJob,
        preview: PreviewSegmentation,
        signals: SessionSignals,
        become: Callable[..., SessionState],
        others: Mapping[str, PreviewSegmentation],
        final: StateChanged | None = None,
        model: int | None = None,
    ) -> None:
        self.job = job
        self.preview = preview
        self.over = False
        self._signals, self._become = signals, become
        self._previews = {job.case: preview, **others}
        self.fetcher = PreviewFetcher(client, errands, job.id, self._previews, job.case, self._shown, self._missed)
        self._final = final
        self._model = "" if model is None else str(model)
        self._watcher = JobWatcher(client, job.id, job.last_event_id)
        for case, own in self._previews.items():
            remember(job, own.node, case)

    def drain(self) -> None:
        told_all = self._watcher.finished or self._watcher.error is not None  # read first: then nothing comes later
        events = self._watcher.drain()
        for event in events:
            self._take(event)
        if events:
            self.preview.node.SetAttribute(LAST_EVENT, str(events[-1].id))
        self._become(trouble=said(self._watcher.trouble))
        if self._watcher.error is not None and self._final is None:
            self._final = StateChanged("failed", self._watcher.error.sentence)
        self.fetcher.drain()
        if told_all and self._final is not None and self.fetcher.idle:
            self._end(self._final)

    def close(self) -> None:
        self._watcher.close()

    def _take(self, event: Event) -> None:
        payload: Payload = event.payload
        match payload:
            case StateChanged(state, sentence):
                self._become(job_state=state, sentence=sentence or job_sentence(state))
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
            case PreviewReady():
                self.fetcher.want(payload)
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

    def _shown(self, ready: PreviewReady) -> None:
        self._previews[ready.case].attribute(
            Provenance(self.job.id, self.job.method, ready.step, self._model, ready.source, ready.revision)
        )
        if ready.case == self.job.case:
            self._become(preview_source=ready.source, preview_step=ready.step)
        node = self._previews[ready.case].node
        self._signals.preview_arrived.emit(
            PreviewShown(ready.source, ready.step, ready.revision, ready.sentence, node.GetID())
        )

    def _missed(self, error: KDSegError) -> None:
        self._signals.warned.emit(_("A preview did not arrive. {sentence}").format(sentence=error.sentence))

    def _end(self, final: StateChanged) -> None:
        self.over = True
        self._watcher.close()
        for preview in self._previews.values():
            preview.node.SetAttribute("KDSeg.Model", self._model)
        failure = final.sentence if final.state == "failed" else ""
        over = job_sentence(final.state)
        sentence = f"{over} {final.sentence}" if final.state == "done" and final.sentence else final.sentence or over
        if final.state == "done":
            self._become(fraction=1.0, seconds_left=0.0)
        state = self._become(phase="annotating", job_state=final.state, sentence=sentence, failure=failure, trouble="")
        if failure:
            self._signals.failed.emit(failure)
        self._signals.finished.emit(state)


def remember(job: FollowedJob, node: Any, case: str) -> None:
    """Let :func:`remembered_job` find ``job`` in the preview ``node`` of ``case``; a verdict on another job ends."""
    if node.GetAttribute(JOB) != job.id:
        supersede(node)
    for name, value in ((JOB, job.id), (CASE, case), (METHOD, job.method)):
        node.SetAttribute(name, value)


def remembered_job(node: Any) -> FollowedJob | None:
    """The job that a preview node shows, as it was when the scene was saved."""
    job, case = node.GetAttribute(JOB), node.GetAttribute(CASE)
    if not job or not case:
        return None
    return FollowedJob(job, node.GetAttribute(METHOD) or "", case, int(node.GetAttribute(LAST_EVENT) or 0))


def remembered_others(scene: Any, job: FollowedJob) -> dict[str, Any]:
    """The source volumes, by case, of the other previews that ``job`` has in the scene."""
    return {
        node.GetAttribute(CASE): volume
        for node, volume in preview_nodes(scene)
        if node.GetAttribute(JOB) == job.id and node.GetAttribute(CASE) != job.case
    }

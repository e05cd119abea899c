"""The one job of a session: found again, followed, ordered about, let go."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any, Protocol, cast

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import Conflict, KDSegError
from slicer_kdseg.protocol.messages import FINAL_STATES, JobStatus, PreviewReady, PreviewSource, StateChanged
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.following import FollowedJob, JobFollower, remember, remembered_job, remembered_others
from slicer_kdseg.scene.results import PreviewSegmentation, find_preview
from slicer_kdseg.scene.sending import Started
from slicer_kdseg.scene.signals import SessionSignals
from slicer_kdseg.scene.state import SessionState
from slicer_kdseg.scene.uncertainty import UncertaintyVolume


class Behind(Protocol):
    """What a running job needs of its session."""

    signals: SessionSignals
    state: SessionState
    annotation: Annotation | None
    preview: PreviewSegmentation | None
    show_uncertainty: bool
    scene: Any
    errands: Errands

    def backend(self) -> BackendClient: ...
    def become(self, **changes: Any) -> SessionState: ...
    def become_all(self, state: SessionState) -> SessionState: ...
    def warn(self, error: KDSegError) -> None: ...


class RunningJob:
    def __init__(self, session: Behind) -> None:
        self._session = session
        self._follower: JobFollower | None = None
        self._unwanted = Event()  # set when the job that is on its way to the backend was cancelled

    @property
    def follower(self) -> JobFollower | None:
        return self._follower

    def resume(self) -> None:
        """Follow the job that the preview node remembers, from the last event it has seen."""
        session = self._session
        assert session.annotation is not None
        node = find_preview(session.scene, session.annotation.volume)
        job = remembered_job(node) if node is not None else None
        if job is None:
            return
        client = session.backend()
        session.errands.send(
            "orders",
            lambda: client.job(job.id),
            lambda status: self._resumed(job, status),
            lambda error: session.become(
                phase="annotating",
                sentence=_("The training '{job}' cannot be followed now.").format(job=job.id),
                trouble=error.sentence,
            ),
        )

    def start(self, work: Callable[[], Started], failed: Callable[[KDSegError], object]) -> None:
        """Let the backend take a job, and follow it.

        Where another image was opened meanwhile, the preview of the first remembers the job.
        """
        session, preview, client = self._session, self._session.preview, self._session.backend()
        assert preview is not None
        unwanted = self._unwanted = Event()

        def taken(started: Started) -> None:
            if session.preview is preview:
                self.follow(started)
                if unwanted.is_set():
                    self.order(lambda client, job: client.cancel(job), _("Cancelling."))
            elif unwanted.is_set():
                cancel = partial(client.cancel, started.job.id)
                session.errands.send("orders", cancel, lambda status: None, session.warn, lasting=True)
            elif session.scene.IsNodePresent(preview.node):
                remember(started.job, preview.node, started.job.case)

        def refused(error: KDSegError) -> None:
            if session.preview is preview:
                failed(error)

        session.errands.send("network", work, taken, refused, lasting=True)

    def follow(self, started: Started) -> None:
        session, status = self._session, started.status
        assert session.annotation is not None
        assert session.preview is not None
        self.let_go()
        client = session.backend()
        session.become_all(session.state.of_job(status, started.revision))
        over = StateChanged(status.state, status.sentence) if status.state in FINAL_STATES else None
        contract = session.annotation.contract
        others = {
            case: PreviewSegmentation(session.scene, volume, contract)
            for case, volume in started.others.items()
            if session.scene.IsNodePresent(volume)
        }
        self._follower = JobFollower(
            client,
            session.errands,
            started.job,
            session.preview,
            session.signals,
            session.become,
            others,
            over,
            status.model,
        )
        self.show_uncertainty(session.show_uncertainty)

    def give_up_starting(self) -> None:
        """The job that is on its way to the backend is cancelled as soon as it has an id."""
        self._unwanted.set()

    def show_uncertainty(self, wanted: bool) -> None:
        """From the next preview on."""
        annotation = self._session.annotation
        if self._follower is not None and annotation is not None:
            unsure = UncertaintyVolume(self._session.scene, annotation.volume) if wanted else None
            self._follower.fetcher.uncertainty = unsure

    def order(self, order: Callable[[BackendClient, str], JobStatus], sentence: str) -> None:
        """Raises :class:`Conflict` when nothing runs."""
        session = self._session
        if self._follower is None:
            raise Conflict(_("No training is running."))
        client, job = session.backend(), self._follower.job.id
        before = session.state.phase
        session.become(phase="ending", sentence=sentence)

        def refused(error: KDSegError) -> None:
            session.become(phase=before)
            session.warn(error)

        session.errands.send("orders", lambda: order(client, job), lambda status: None, refused)

    def make_way(self) -> None:
        """The trainings before this one are stopped, the last one first: none of them begins meanwhile."""
        session = self._session
        client, others = session.backend(), session.state.waits_for[::-1]
        session.become(waits_for=(), sentence=_("Stopping the other training; its best model so far is kept."))
        session.errands.send(
            "orders", lambda: [client.stop(other) for other in others], lambda stopped: None, session.warn
        )

    def drain(self) -> None:
        if self._follower is None:
            return
        self._follower.drain()
        if self._follower is not None and self._follower.over:
            self._follower = None

    def let_go(self) -> None:
        """The job goes on in the backend."""
        if self._follower is not None:
            self._follower.close()
        self._follower = None

    def _resumed(self, job: FollowedJob, status: JobStatus) -> None:
        session = self._session
        if session.state.phase in ("growing", "sending"):
            return  # the user has pressed Train meanwhile
        assert session.annotation is not None
        session.preview = PreviewSegmentation(session.scene, session.annotation.volume, session.annotation.contract)
        job = dataclasses.replace(job, method=job.method or status.method)
        others, shown = remembered_others(session.scene, job), session.preview.provenance
        self.follow(Started(job, shown.revision, status, others))
        if status.preview and status.state != "cancelled" and self._follower is not None:
            source = cast(PreviewSource, shown.source or "student")
            found = PreviewReady(status.preview, job.case, source, shown.step, shown.revision, _("Found again."))
            self._follower.fetcher.want(found)

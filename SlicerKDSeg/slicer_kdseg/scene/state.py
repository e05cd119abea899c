"""Where a session stands: what every button, label and test reads, and nobody but the session changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from slicer_kdseg.protocol.messages import HeldOut, JobState, JobStatus, ModelInfo, PreviewSource, Suggestion
from slicer_kdseg.protocol.words import tr as _

Phase = Literal["empty", "annotating", "previewing", "growing", "sending", "training", "ending"]


def job_sentence(state: JobState) -> str:
    """What a job does where the backend says no more than its state."""
    return {
        "queued": _("The training waits for its turn."),
        "preparing": _("The training is being prepared."),
        "training": _("The training is running."),
        "validating": _("The model is being checked."),
        "done": _("The training is over."),
        "stopped": _("Stopped; the best model so far was kept."),
        "cancelled": _("Cancelled; your strokes are as they were."),
        "failed": _("The training failed."),
        "interrupted": _("The training was interrupted; it goes on when the backend starts again."),
    }[state]


@dataclass(frozen=True)
class SessionState:
    """``sentence`` says what happens now, ``failure`` what went wrong last and how to go on.

    ``trouble`` is not empty while the backend cannot be reached; the job is followed again by itself.
    ``revision`` is the newest annotation sent, ``joined_revision`` the newest the running job has taken.
    ``predicting``: other images that a model is still to segment.
    """

    phase: Phase = "empty"
    sentence: str = field(default_factory=lambda: _("Choose an image to annotate."))
    failure: str = ""
    trouble: str = ""
    job_id: str = ""
    job_state: JobState | None = None
    waits_for: tuple[str, ...] = ()
    method: str = ""
    stage: str = ""
    step: int = 0
    fraction: float = 0.0
    seconds_left: float | None = None
    revision: int = 0
    joined_revision: int = 0
    preview_source: PreviewSource | None = None
    preview_step: int = 0
    held_out: HeldOut | None = None
    suggestion: Suggestion | None = None
    current_model: int | None = None
    models: tuple[ModelInfo, ...] = ()
    predicting: int = 0

    def of_job(self, status: JobStatus, revision: int) -> SessionState:
        """The state at the moment a job begins, or is found again; models and the shown preview stay."""
        return SessionState(
            phase="training",
            sentence=status.sentence or job_sentence(status.state),
            job_id=status.id,
            job_state=status.state,
            waits_for=status.waits_for,
            method=status.method,
            step=status.step,
            fraction=status.fraction,
            seconds_left=status.seconds_left,
            revision=revision,
            joined_revision=revision,
            preview_source=self.preview_source,
            preview_step=self.preview_step,
            current_model=self.current_model,
            models=self.models,
            predicting=self.predicting,
        )

    @property
    def can_train(self) -> bool:
        return self.phase in ("annotating", "previewing")

    @property
    def can_correct(self) -> bool:
        return self.phase == "training"

    @property
    def can_stop(self) -> bool:
        return self.phase == "training"

    @property
    def can_make_way(self) -> bool:
        """Other trainings are before this one."""
        return self.phase == "training" and self.job_state == "queued" and bool(self.waits_for)

    @property
    def can_cancel(self) -> bool:
        return self.phase not in ("empty", "annotating")


@dataclass(frozen=True)
class PreviewShown:
    """A preview has just been written into the scene, into the segmentation node ``node_id``."""

    source: PreviewSource
    step: int
    revision: int
    sentence: str = ""
    node_id: str = ""

"""What may be said between a workspace and a backend: plain dataclasses, JSON on the wire.

Arrays do not travel in here: they are frames (:mod:`slicer_kdseg.protocol.frames`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from slicer_kdseg.protocol.labels import LabelContract

PROTOCOL_VERSION = 1

JobState = Literal[
    "queued", "preparing", "training", "validating", "done", "stopped", "cancelled", "failed", "interrupted"
]
FINAL_STATES: frozenset[str] = frozenset({"done", "stopped", "cancelled", "failed"})
AnnotationKind = Literal["scribble", "dense"]
CaseRole = Literal["target", "assistant"]
PreviewSource = Literal["growcut", "propagated", "student"]


@dataclass(frozen=True)
class DeviceInfo:
    """One device of a backend; ``usable`` only if a real convolution ran on it."""

    name: str
    usable: bool
    reason: str = ""
    memory_bytes: int = 0


@dataclass(frozen=True)
class BackendInfo:
    """The handshake: ``GET /v1/info``."""

    service: Literal["kdseg"]
    protocol_version: int
    version: str
    methods: tuple[str, ...]
    devices: tuple[DeviceInfo, ...]
    encodings: tuple[str, ...]
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseInUse:
    """A case of a job. ``revision`` is None for an unlabelled case.

    An ``assistant`` is a labelled case of another kind of image: it teaches and is never segmented.
    """

    case: str
    revision: int | None = None
    kind: AnnotationKind = "scribble"
    name: str = ""
    role: CaseRole = "target"


@dataclass(frozen=True)
class JobRequest:
    """``POST /v1/jobs``. ``settings`` holds only differences from the preset."""

    method: str
    labels: LabelContract
    cases: tuple[CaseInUse, ...]
    preset: str = "fast"
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobStatus:
    """A job as a row: ``GET /v1/jobs/{id}``. ``waits_for``: the jobs before it, while its turn has not come."""

    id: str
    state: JobState
    method: str
    created: float
    fraction: float = 0.0
    seconds_left: float | None = None
    step: int = 0
    sentence: str = ""
    model: int | None = None
    preview: int = 0
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """A numbered, immutable model. ``scores`` maps a class id to held-out Dice or accuracy."""

    number: int
    job: str
    method: str
    created: float
    current: bool
    verified: bool
    sentence: str
    labels: LabelContract
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StateChanged:
    state: JobState
    sentence: str = ""


@dataclass(frozen=True)
class Progress:
    """Where a running job stands; ``fraction`` in 0..1 reaches 1 only when the model has predicted."""

    step: int
    fraction: float
    seconds_left: float | None
    stage: str
    losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldOut:
    """Quality on strokes that training never saw; class id (as text) to Dice in 0..1."""

    step: int
    student: dict[str, float]
    growcut: dict[str, float]
    student_mean: float
    growcut_mean: float


@dataclass(frozen=True)
class PreviewReady:
    """A preview can be fetched. ``source`` says whose labels are shown."""

    number: int
    case: str
    source: PreviewSource
    step: int
    revision: int
    sentence: str = ""


@dataclass(frozen=True)
class RevisionJoined:
    """A new annotation revision has been taken into the running job at ``step``."""

    case: str
    revision: int
    step: int


@dataclass(frozen=True)
class Suggestion:
    """The slice to annotate next: index along ``axis`` (0 = first array axis) of ``case``."""

    case: str
    axis: int
    index: int
    sentence: str


@dataclass(frozen=True)
class ModelReady:
    number: int
    current: bool
    sentence: str


@dataclass(frozen=True)
class Warned:
    sentence: str


Payload = StateChanged | Progress | HeldOut | PreviewReady | RevisionJoined | Suggestion | ModelReady | Warned
PAYLOADS: dict[str, type] = {
    kind.__name__: kind
    for kind in (StateChanged, Progress, HeldOut, PreviewReady, RevisionJoined, Suggestion, ModelReady, Warned)
}


@dataclass(frozen=True)
class Event:
    """One line of a job's history; ``id`` grows by the order in the backend's database."""

    id: int
    job: str
    time: float
    payload: Payload

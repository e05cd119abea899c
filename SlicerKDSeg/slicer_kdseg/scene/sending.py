"""What a session asks of the backend for one request or correction; blocks, so only on a network lane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.messages import CaseInUse, JobRequest, JobStatus
from slicer_kdseg.scene.cohort import OtherCase, send_cases
from slicer_kdseg.scene.collecting import Collected, OtherVolume
from slicer_kdseg.scene.following import FollowedJob


@dataclass(frozen=True)
class TrainingRequest:
    method: str
    preset: str
    settings: dict[str, Any] = field(default_factory=dict)
    other_cases: tuple[CaseInUse, ...] = ()
    other_volumes: tuple[OtherVolume, ...] = ()
    labelled: tuple[OtherCase, ...] = ()


@dataclass(frozen=True)
class Started:
    """A job that the backend has taken, with the annotation revision it starts from.

    ``others``: the volumes of the scene that take part without labels, by case.
    """

    job: FollowedJob
    revision: int
    status: JobStatus
    others: Mapping[str, Any] = field(default_factory=dict)


def start_job(
    client: BackendClient, collected: Collected, growcut: np.ndarray | None, request: TrainingRequest
) -> Started:
    """Image once, annotation, other volumes, job. Raises :class:`KDSegError`."""
    case = client.upload_case(collected.image, collected.affine)
    revision = _send_annotation(client, case, collected, growcut)
    others = {client.upload_case(other.image, other.affine): other for other in request.other_volumes}
    others.pop(case, None)
    cases = (
        CaseInUse(case, revision, collected.kind, collected.name),
        *(CaseInUse(other, name=own.name) for other, own in others.items()),
        *request.other_cases,
        *send_cases(client, request.labelled),
    )
    status = client.start_job(JobRequest(request.method, collected.contract, cases, request.preset, request.settings))
    volumes = {other: own.volume for other, own in others.items()}
    return Started(FollowedJob(status.id, request.method, case), revision, status, volumes)


def join_job(
    client: BackendClient, job: FollowedJob, collected: Collected, growcut: np.ndarray | None, sent_before: int
) -> int:
    """The revision's number; the same strokes as ``sent_before`` are not joined twice. Raises :class:`KDSegError`."""
    revision = _send_annotation(client, job.case, collected, growcut)
    if revision != sent_before:
        client.join_annotation(job.id, job.case, revision)
    return revision


def _send_annotation(client: BackendClient, case: str, collected: Collected, growcut: np.ndarray | None) -> int:
    return client.upload_annotation(
        case, collected.labels, collected.contract, collected.kind, growcut, collected.affine
    )

"""What a session asks of the backend for one request or correction; blocks, so only on a network lane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.messages import CaseInUse, JobRequest, JobStatus
from slicer_kdseg.scene.cohort import OtherCase, send_cases
from slicer_kdseg.scene.collecting import Collected
from slicer_kdseg.scene.following import FollowedJob


@dataclass(frozen=True)
class TrainingRequest:
    method: str
    preset: str
    settings: dict[str, Any] = field(default_factory=dict)
    other_cases: tuple[CaseInUse, ...] = ()
    others: tuple[OtherCase, ...] = ()


@dataclass(frozen=True)
class Started:
    """A job that the backend has taken, with the annotation revision it starts from."""

    job: FollowedJob
    revision: int
    status: JobStatus


def start_job(
    client: BackendClient, collected: Collected, growcut: np.ndarray | None, request: TrainingRequest
) -> Started:
    """Image once, annotation, job. Raises :class:`KDSegError`."""
    case = client.upload_case(collected.image, collected.affine)
    revision = _send_annotation(client, case, collected, growcut)
    cases = (
        CaseInUse(case, revision, collected.kind, collected.name),
        *request.other_cases,
        *send_cases(client, request.others),
    )
    status = client.start_job(JobRequest(request.method, collected.contract, cases, request.preset, request.settings))
    return Started(FollowedJob(status.id, request.method, case), revision, status)


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

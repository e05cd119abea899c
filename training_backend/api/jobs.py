"""``/v1/jobs``: start, look, join, stop, cancel, and previews."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from slicer_kdseg.protocol import settings, wire
from slicer_kdseg.protocol.messages import JobRequest
from training_backend.api.intake import JsonBody, TheBackend, only

router = APIRouter(prefix="/v1/jobs")


@router.post("", status_code=202)
def start(backend: TheBackend, body: JsonBody) -> dict[str, Any]:
    request = wire.from_json(JobRequest, body)
    backend.check_device(settings.resolve(request.method, request.preset, request.settings).device)
    status = backend.runner.placed(backend.store.add_job(request, backend.runner.waits_for(request.method)))
    backend.runner.wake()
    return wire.to_json(status)


@router.get("")
def all_jobs(backend: TheBackend) -> dict[str, Any]:
    return {"jobs": [wire.to_json(status) for status in backend.store.history.all()]}


@router.get("/{job}")
def one_job(backend: TheBackend, job: str) -> dict[str, Any]:
    return wire.to_json(backend.runner.placed(backend.store.history.status(job)))


@router.post("/{job}/annotations", status_code=202)
def join(backend: TheBackend, job: str, body: JsonBody) -> dict[str, Any]:
    case, revision = only(body, case=str, revision=int)
    backend.store.join_annotation(job, case, revision)
    return {"case": case, "revision": revision}


@router.post("/{job}/stop", status_code=202)
def stop(backend: TheBackend, job: str) -> dict[str, Any]:
    backend.store.history.order_end(job, "stop")
    backend.runner.wake()
    return wire.to_json(backend.store.history.status(job))


@router.post("/{job}/cancel", status_code=202)
def cancel(backend: TheBackend, job: str) -> dict[str, Any]:
    backend.store.history.order_end(job, "cancel")
    backend.runner.wake()
    return wire.to_json(backend.store.history.status(job))


@router.get("/{job}/history")
def history(backend: TheBackend, job: str, after: int = 0) -> dict[str, Any]:
    backend.store.history.status(job)
    return {"events": [wire.event_to_json(event) for event in backend.store.history.events(job, after)]}


@router.get("/{job}/previews/{number}")
def preview(backend: TheBackend, job: str, number: int, since: int = 0, uncertainty: int = 0) -> Response:
    body = backend.store.previews.body(job, number, since, bool(uncertainty))
    return Response(body, media_type="application/octet-stream")

"""``/v1/models``: what has been learnt, which model is current, its files, and running it on a case."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse

from slicer_kdseg.protocol import wire
from training_backend.api.intake import JsonBody, TheBackend, only
from training_backend.jobs.store import PREDICT

router = APIRouter(prefix="/v1/models")


@router.get("")
def all_models(backend: TheBackend) -> dict[str, Any]:
    return {"models": [wire.to_json(info) for info in backend.store.models.all()]}


@router.get("/{number}")
def one_model(backend: TheBackend, number: int) -> dict[str, Any]:
    return wire.to_json(backend.store.models.info(number))


@router.post("/{number}/current")
def make_current(backend: TheBackend, number: int) -> dict[str, Any]:
    return wire.to_json(backend.store.models.make_current(number))


@router.get("/{number}/files")
def files(backend: TheBackend, number: int) -> dict[str, Any]:
    return {"files": backend.store.models.files(number)}


@router.get("/{number}/files/{name:path}")
def file(backend: TheBackend, number: int, name: str) -> FileResponse:
    return FileResponse(backend.store.models.file(number, name), media_type="application/octet-stream")


@router.post("/{number}/predictions", status_code=202)
def predict(backend: TheBackend, number: int, body: JsonBody) -> dict[str, Any]:
    (case,) = only(body, case=str)
    status = backend.store.add_prediction(number, case, backend.runner.waits_for(PREDICT))
    backend.runner.wake()
    return wire.to_json(status)

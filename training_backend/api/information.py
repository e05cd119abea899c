"""``GET /v1/info``: the handshake; ``POST /v1/end``: the goodbye."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from slicer_kdseg.protocol import wire
from slicer_kdseg.protocol.codecs import ENCODINGS
from slicer_kdseg.protocol.errors import NotAllowed
from slicer_kdseg.protocol.messages import PROTOCOL_VERSION, BackendInfo
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.protocol.version import VERSION
from training_backend.api.intake import TheBackend

router = APIRouter(prefix="/v1")


@router.get("/info")
def info(backend: TheBackend, devices: int = 0) -> dict[str, Any]:
    found, versions = backend.devices(wait=bool(devices))
    handshake = BackendInfo("kdseg", PROTOCOL_VERSION, VERSION, tuple(SETTINGS), found, ENCODINGS, versions)
    return wire.to_json(handshake)


@router.post("/end", status_code=202)
def end(backend: TheBackend) -> dict[str, Any]:
    if backend.end is None:
        raise NotAllowed("This backend serves others too; end it where it was started.")
    backend.end.set()
    return {}

"""``GET /v1/info``: the handshake."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from slicer_kdseg.protocol import wire
from slicer_kdseg.protocol.codecs import ENCODINGS
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

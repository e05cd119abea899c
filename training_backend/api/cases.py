"""``/v1/cases``: images once, by content address, and their annotations."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter

from slicer_kdseg.protocol.errors import BadRequest
from training_backend.api.intake import RawBody, TheBackend

router = APIRouter(prefix="/v1/cases")


@router.get("/{case}")
def about(backend: TheBackend, case: str) -> dict[str, Any]:
    return backend.store.cases.about(_checked(case))


@router.put("/{case}", status_code=201)
def put(backend: TheBackend, case: str, body: RawBody) -> dict[str, Any]:
    backend.store.cases.put(_checked(case), body)
    return {"case": case}


@router.post("/{case}/annotations", status_code=201)
def annotate(backend: TheBackend, case: str, body: RawBody) -> dict[str, Any]:
    return {"revision": backend.store.cases.put_annotation(_checked(case), body)}


def _checked(case: str) -> str:
    """A case's id becomes a folder's name: nothing else may reach the disk."""
    if not re.fullmatch("[0-9a-f]{64}", case):
        raise BadRequest(f"'{case[:80]}' is not a case id; it has 64 hexadecimal digits.")
    return case

"""The HTTP face of a backend: parse, hand to the store, answer. Errors are the protocol's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from slicer_kdseg.protocol import errors
from training_backend.api import cases, events, information, jobs, models
from training_backend.api.backend import Backend
from training_backend.api.gate import Gate
from training_backend.jobs.runner import SILENCE_SECONDS

MAX_BODY_BYTES = 4 << 30


def create_app(
    root: Path,
    token: str | None = None,
    loopback: bool = True,
    training: str | None = None,
    limit: int = 1,
    probe: bool = True,
    max_body_bytes: int = MAX_BODY_BYTES,
    silence_seconds: float = SILENCE_SECONDS,
) -> FastAPI:
    """An app that owns ``root`` until its shutdown; its runner has started. Raises :class:`Conflict`.

    ``loopback`` checks that requests name this machine; ``training`` (module:function) is what workers run.
    """
    backend = Backend(root, training, limit, probe, silence_seconds)

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        backend.close()

    app = FastAPI(title="KDSeg backend", lifespan=life, openapi_url=None)
    app.state.backend = backend
    app.state.max_body_bytes = max_body_bytes
    for room in (information, cases, jobs, events, models):
        app.include_router(room.router)
    app.add_middleware(Gate, token=token, loopback=loopback, max_body_bytes=max_body_bytes)
    app.add_exception_handler(errors.KDSegError, _answer)
    app.add_exception_handler(RequestValidationError, _answer_bad_value)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_failure)
    return app


async def _answer(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.KDSegError)
    return JSONResponse(errors.to_json(error), error.status or 500)


async def _answer_bad_value(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in error.errors())
    return await _answer(request, errors.BadRequest(f"The address {request.url.path} does not fit ({found})."))


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    body = errors.to_json(errors.NotFound(f"There is nothing at {request.method} {request.url.path[:120]}."))
    return JSONResponse(body, error.status_code)


async def _answer_failure(_: Request, error: Exception) -> JSONResponse:
    failure = errors.KDSegError(f"The backend failed on this request ({type(error).__name__}); its log tells more.")
    return JSONResponse(errors.to_json(failure), 500)

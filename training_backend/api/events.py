"""``GET /v1/jobs/{id}/events``: a job's history as server-sent events, from any point on.

    id: 17
    data: {"id": 17, "job": "…", "time": …, "payload": {"type": "Progress", …}}

A comment every second says that the connection lives; ``event: end`` that nothing more will come.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from slicer_kdseg.protocol import wire
from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.messages import FINAL_STATES
from training_backend.api.backend import Backend
from training_backend.api.intake import TheBackend

HEARTBEAT_SECONDS = 1.0
_AT_ONCE = 200

router = APIRouter(prefix="/v1/jobs")


@router.get("/{job}/events")
async def follow(backend: TheBackend, job: str, last_event_id: Annotated[str, Header()] = "0") -> StreamingResponse:
    if not last_event_id.isdigit() or len(last_event_id) > 18:
        raise BadRequest(f"Last-Event-ID must be a number, got '{last_event_id[:40]}'.")
    backend.followed.status(job)
    stream = _stream(backend, job, int(last_event_id))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _stream(backend: Backend, job: str, after: int) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    news = asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(news.set)

    with backend.bell.listening(job, wake):
        yield ": connected\n\n"
        while True:
            news.clear()
            over = backend.followed.status(job).state in FINAL_STATES  # asked first: its event is the last one
            events = backend.followed.events(job, after, _AT_ONCE)
            for event in events:
                yield f"id: {event.id}\ndata: {json.dumps(wire.event_to_json(event))}\n\n"
                after = event.id
            if events:
                continue
            if over:
                yield "event: end\ndata: \n\n"
                return
            try:
                await asyncio.wait_for(news.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                yield ": alive\n\n"

"""What endpoints take from a request: the backend and the body, within the size limit."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from slicer_kdseg.protocol import wire
from slicer_kdseg.protocol.errors import BadRequest, TooLarge
from training_backend.api.backend import Backend


def _backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


async def _body(request: Request) -> bytes:
    limit: int = request.app.state.max_body_bytes
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > limit:
            raise TooLarge(f"The request is longer than the {limit} bytes that this backend accepts; crop the image.")
    return bytes(content)


async def _json_body(body: Annotated[bytes, Depends(_body)]) -> dict[str, Any]:
    content = wire.parse(body)
    if not isinstance(content, dict):
        raise BadRequest("The request must be a JSON object.")
    return content


TheBackend = Annotated[Backend, Depends(_backend)]
RawBody = Annotated[bytes, Depends(_body)]
JsonBody = Annotated[dict[str, Any], Depends(_json_body)]


def only(content: dict[str, Any], **kinds: type) -> tuple[Any, ...]:
    """The values of exactly these keys with exactly these types. Raises :class:`BadRequest`."""
    if set(content) != set(kinds):
        raise BadRequest(f"The request must hold {', '.join(kinds)}, got {', '.join(map(str, content)) or 'nothing'}.")
    for name, kind in kinds.items():
        if type(content[name]) is not kind:
            raise BadRequest(f"'{name}' must be of type {kind.__name__}, got {content[name]!r:.40}.")
    return tuple(content[name] for name in kinds)

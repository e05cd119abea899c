"""Who may come in: token, host, origin and size, before any endpoint is reached.

On loopback the ``Host`` and ``Origin`` headers must name this machine: otherwise a web page that the user has
open could talk to the backend under a name of its own (DNS rebinding, cross-site requests).
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from slicer_kdseg.protocol import errors
from slicer_kdseg.protocol.address import is_loopback


class Gate:
    """ASGI middleware; ``token`` None lets everyone in who reaches the (loopback) socket."""

    def __init__(self, app: ASGIApp, token: str | None, loopback: bool, max_body_bytes: int) -> None:
        self._app = app
        self._token = token
        self._loopback = loopback
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(Headers(scope=scope))
        except errors.KDSegError as error:
            await JSONResponse(errors.to_json(error), error.status)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        if self._loopback:
            for name in ("host", "origin"):
                value = headers.get(name)
                if value is not None and not _names_this_machine(value):
                    raise errors.NotAllowed(
                        f"The backend serves this machine only, the request names '{value[:80]}' as {name}; "
                        "connect to 127.0.0.1."
                    )
        if self._token is not None:
            given = headers.get("authorization", "")
            if not given:
                raise errors.NotAllowed("The backend asks for a token; enter the one that it printed when it started.")
            if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                raise errors.NotAllowed("The token is wrong; enter the one that the backend printed when it started.")
        length = headers.get("content-length", "0")
        if not length.isdigit():
            raise errors.BadRequest("The request does not say how long it is; send a Content-Length.")
        if int(length) > self._max_body_bytes:
            raise errors.TooLarge(
                f"The request has {length} bytes, this backend accepts {self._max_body_bytes}; crop the image, "
                "or start the backend with a higher limit."
            )


def _names_this_machine(value: str) -> bool:
    try:
        host = urlsplit(value if "://" in value else f"//{value}").hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)

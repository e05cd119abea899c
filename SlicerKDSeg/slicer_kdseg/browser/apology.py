"""A page that says one sentence: what the browser shows where the workspace itself cannot run."""

from __future__ import annotations

import socket
from collections.abc import Callable

from aiohttp import web

from slicer_kdseg.browser.gate import HEADERS, LOOPBACK, sentence_page


def serve_sentence(sentence: str, port: int, ready: Callable[[str], object]) -> None:
    """Serve it on this machine until Ctrl-C; ``ready`` gets the address."""
    with socket.create_server((LOOPBACK[0], port)) as listening:
        own = listening.getsockname()[1]

        async def say(request: web.Request) -> web.Response:
            known = request.host in [f"{name}:{own}" for name in LOOPBACK]
            text = sentence_page(sentence) if known else ""
            return web.Response(text=text, status=503, content_type="text/html", headers=HEADERS)

        app = web.Application()
        app.router.add_get("/{path:.*}", say)
        ready(f"http://{LOOPBACK[0]}:{own}/")
        web.run_app(app, sock=listening, print=None)

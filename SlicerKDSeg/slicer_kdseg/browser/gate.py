"""Who may use the page: the browser that opened the printed address, nobody else.

The address carries a token that opens once; from then on a cookie speaks for that browser, so that a reload and a
second tab find the workspace again. Requests for another host name (DNS rebinding) or from another page (Origin) are
refused before anything else is looked at. A second user starts a workspace of their own: a process is one scene.
"""

from __future__ import annotations

import hmac
import html
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

ENTRANCE = ("/", "/index.html")
LOOPBACK = ("127.0.0.1", "localhost")
PAGE = (
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>KDSeg</title><style>body{{background:#101418;"
    "color:#e6e9ec;font:18px/1.5 sans-serif;max-width:34em;margin:20vh auto;padding:0 1em}}</style>"
    "<h1>KDSeg</h1><p>{}</p></html>"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
OTHER_BROWSER = (
    "This workspace belongs to the browser that opened it first, and its address opens only once."
    " Start one of your own with 'kdseg web'."
)
NO_TOKEN = "Open the whole address that 'kdseg web' has printed; this one lacks its token."
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """:attr:`port` is set once the server listens, :attr:`opened` once somebody has come in."""

    def __init__(self) -> None:
        self.port = 0
        self.token = secrets.token_urlsafe(32)
        self.opened = False
        self._session = secrets.token_urlsafe(32)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Cookies know no ports, so that the name tells workspaces apart."""
        return f"kdseg_{self.port}"

    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            refusal = self._refusal(request)
            if refusal:
                return _refused(refusal)
            if not _same(request.cookies.get(self.cookie, ""), self._session):
                return self._let_in(request)
            if request.path in ENTRANCE and "token" in request.query:
                raise web.HTTPFound("/index.html", headers=HEADERS)
            response = await handler(request)
            if not response.prepared:
                response.headers.update(HEADERS)
            return response

        return check

    def _refusal(self, request: web.Request) -> str:
        if request.host not in [f"{name}:{self.port}" for name in LOOPBACK]:
            return "The workspace answers only to the address that it has printed."
        origin = request.headers.get("Origin")
        if origin is None:
            needed = request.method not in ("GET", "HEAD") or "Upgrade" in request.headers
            return "Only the workspace's own page may do that." if needed else ""
        if origin not in [f"http://{name}:{self.port}" for name in LOOPBACK]:
            return "Another page may not use the workspace."
        return ""

    def _let_in(self, request: web.Request) -> web.StreamResponse:
        token = request.query.get("token", "")
        if request.path not in ENTRANCE or request.method != "GET" or not token:
            return _refused(NO_TOKEN)
        if self.opened or not _same(token, self.token):
            return _refused(OTHER_BROWSER)
        self.opened = True
        answer = web.HTTPFound("/index.html", headers=HEADERS)
        answer.set_cookie(self.cookie, self._session, httponly=True, samesite="Strict", path="/")
        return answer


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _refused(sentence: str) -> web.Response:
    return web.Response(text=sentence_page(sentence), status=403, content_type="text/html", headers=HEADERS)


def sentence_page(sentence: str) -> str:
    """A page with nothing but ``sentence``."""
    return PAGE.format(html.escape(sentence))

"""Only the browser that opened the printed address comes in, and only from the workspace's own page."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from Testing.browser.conftest import Served, User

WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def ask(
    served: Served, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of an answer; ``Host`` and ``Origin`` as a stranger would set them."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(urlsplit(served.origin).netloc, timeout=30)
    try:
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read(4000).decode("utf-8", "replace"), dict(answer.getheaders())
    finally:
        connection.close()


def enter(served: Served) -> str:
    """The cookie that the printed address gives."""
    status, _, headers = ask(served, "/?" + urlsplit(served.address).query)
    assert status == 302
    assert headers["Location"] == "/index.html"
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=Strict" in headers["Set-Cookie"]
    return headers["Set-Cookie"].partition(";")[0]


@pytest.mark.slow
def test_who_comes_in(serve: Callable[..., Served]) -> None:
    served = serve()
    own = served.origin
    for path in ("/", "/index.html", "/?token=wrong", "/kdseg/workspace.js", "/ws", "/made/x/y"):
        status, text, _ = ask(served, path)
        assert (status, "<h1>KDSeg</h1>" in text) == (403, True), path
    cookie = enter(served)
    assert ask(served, "/index.html", Cookie=cookie)[0] == 200
    assert ask(served, "/kdseg/workspace.js", Cookie=cookie)[0] == 200

    status, text, _ = ask(served, "/?" + urlsplit(served.address).query)
    assert status == 403
    assert "opens only once" in text
    assert ask(served, "/index.html", Cookie=cookie, Host="evil.example")[0] == 403
    assert ask(served, "/index.html", Cookie=cookie, Host="127.0.0.1:1")[0] == 403
    assert ask(served, "/index.html", Cookie=cookie[:-2] + "xx")[0] == 403

    assert ask(served, "/ws", Cookie=cookie, **WEBSOCKET)[0] == 403
    assert ask(served, "/ws", Cookie=cookie, Origin="http://evil.example", **WEBSOCKET)[0] == 403
    assert ask(served, "/ws", Cookie=cookie, Origin=own, **WEBSOCKET)[0] == 101
    assert ask(served, "/make/scene.mrb", "POST", b"", Cookie=cookie)[0] == 403
    assert ask(served, "/make/scene.mrb", "POST", b"", Cookie=cookie, Origin="null")[0] == 403
    assert ask(served, "/make/scene.mrb", "POST", b"", Cookie=cookie, Origin=own)[0] == 200

    huge = {"Content-Length": str(10 << 30), "Content-Type": "multipart/form-data; boundary=x"}
    status, text, _ = ask(served, "/upload", "POST", None, Cookie=cookie, Origin=own, **huge)
    assert status == 413
    assert "10.0 GB are more than the 4.0 GB" in text
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="../../evil.nrrd"\r\n\r\nx\r\n--x--\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    status, text, _ = ask(served, "/upload", "POST", body, Cookie=cookie, Origin=own, **form)
    assert status == 422
    assert "leads outside its folder" in text


@pytest.mark.slow
def test_two_users_have_two_scenes(serve: Callable[..., Served], visit: Callable[..., User]) -> None:
    first, second = serve(), serve()
    one = visit(first)
    one.open_sample()
    other = visit(second)
    other.sees("Open an image to begin")
    assert second.ask("space.parts.scene.GetNumberOfNodesByClass('vtkMRMLScalarVolumeNode')") == 0
    stranger = visit(first)
    stranger.sees("This workspace belongs to the browser that opened it first")
    stranger.shot("stranger")
    assert first.ask("session.annotation is not None")

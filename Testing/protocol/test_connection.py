"""How a connection keeps its sockets, against a real server on a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from slicer_kdseg.protocol import connection
from slicer_kdseg.protocol.connection import Connection


class Server(ThreadingHTTPServer):
    """Keeps sockets open and notes where each request came from and how it was signed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.peers: list[int] = []
        self.signed: list[str | None] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.peers.append(self.client_address[1])
        self.server.signed.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    own = Server()
    yield own
    own.shutdown()
    own.server_close()


def test_a_socket_is_used_again_until_the_backend_might_be_closing_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Connection(f"http://127.0.0.1:{server.server_port}")
    for _ in range(3):
        assert client.json("GET", "/v1/jobs") == {}
    assert len(set(server.peers)) == 1
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.0)
    assert client.json("GET", "/v1/jobs") == {}
    assert server.peers[-1] != server.peers[0]
    client.close()


def test_a_password_in_netrc_does_not_replace_the_token(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login anna password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    own = Connection(f"http://127.0.0.1:{server.server_address[1]}", "token")
    own._session.trust_env = True  # as for another machine
    own.json("GET", "/")
    assert server.signed == ["Bearer token"]
    own.close()

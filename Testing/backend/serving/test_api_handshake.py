"""Connecting says what is wrong in words that name the cause."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from slicer_kdseg.protocol import errors
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.connection import Connection
from slicer_kdseg.protocol.local import LocalBackend
from training_backend.api.serve import serve
from training_backend.jobs.probe import usable_devices


@contextmanager
def something_else(body: bytes, kind: str, status: int = 200):
    """A web server that is not KDSeg."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_handshake_names_methods_and_encodings(a_client):
    info = a_client.info()
    assert info.service == "kdseg"
    assert {"scribble", "supervised"} <= set(info.methods)
    assert {"raw", "zlib", "rle"} <= set(info.encodings)


def test_a_backend_that_serves_others_does_not_end_for_a_client(a_client):
    with pytest.raises(errors.NotAllowed, match="serves others too"):
        a_client.end()


def test_a_closed_port_is_a_refused_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with BackendClient(f"127.0.0.1:{port}") as client, pytest.raises(errors.BackendUnreachable, match="refused"):
        client.info()


def test_a_server_that_never_answers_is_a_timeout():
    with socket.create_server(("127.0.0.1", 0)) as server:
        silent = Connection(f"127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(errors.BackendUnreachable, match="did not answer in time"):
            silent.json("GET", "/v1/jobs", read_seconds=0.2)
        silent.close()


@pytest.mark.parametrize(
    ("body", "kind", "status", "expected", "sentence"),
    [
        (b"<html>Log in</html>", "text/html", 200, errors.NotKDSeg, "a web page, perhaps a proxy's"),
        (b"<html>Bad gateway</html>", "text/html", 502, errors.NotKDSeg, "status 502"),
        (b'{"name": "MONAILabel"}', "application/json", 200, errors.NotKDSeg, "not a KDSeg backend"),
        (b"[]", "application/json", 200, errors.NotKDSeg, "not a KDSeg backend"),
        (
            json.dumps({"service": "kdseg", "protocol_version": 99, "version": "9.9"}).encode(),
            "application/json",
            200,
            errors.WrongVersion,
            "speaks protocol 99, this side speaks 1",
        ),
    ],
)
def test_strangers_and_other_versions_are_told_apart(body, kind, status, expected, sentence):
    with (
        something_else(body, kind, status) as url,
        BackendClient(url) as client,
        pytest.raises(expected, match=sentence),
    ):
        client.info()


def test_a_wrong_token_is_said(start_backend):
    backend = start_backend()
    with BackendClient(backend.url, "guess") as client, pytest.raises(errors.NotAllowed, match="token is wrong"):
        client.info()
    with BackendClient(backend.url) as client, pytest.raises(errors.NotAllowed, match="asks for a token"):
        client.upload_case(np.arange(1024.0).reshape(1, 32, 32), np.eye(4))


def test_proxies_do_not_apply_to_this_machine(start_backend, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    backend = start_backend()
    with BackendClient(backend.url, backend.token) as client:
        assert client.info().service == "kdseg"


def test_serving_other_machines_needs_a_token(tmp_path):
    with pytest.raises(errors.NotAllowed, match="set a token"):
        serve(tmp_path, host="0.0.0.0", port=0)


def test_two_servers_do_not_share_a_root(start_backend, tmp_path):
    start_backend()
    with pytest.raises(errors.BackendUnreachable, match="Another KDSeg backend is running"):
        LocalBackend(tmp_path / "root", options=["--no-probe"])


def test_a_taken_port_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(errors.Conflict, match="another port"):
        serve(tmp_path, port=server.getsockname()[1])


def test_a_backend_ends_with_the_host_that_started_it(tmp_path):
    host = (
        "import sys, os; from pathlib import Path; from slicer_kdseg.protocol.local import LocalBackend; "
        f"backend = LocalBackend(Path({str(tmp_path / 'root')!r}), options=['--no-probe']); "
        "print(backend.pid, flush=True); os._exit(9)"
    )
    result = subprocess.run([sys.executable, "-c", host], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 9
    with LocalBackend(tmp_path / "root", options=["--no-probe"]) as again:  # the root is free again
        assert again.pid != int(result.stdout)


@pytest.mark.slow
def test_devices_are_tried_with_a_real_convolution():
    devices, versions = usable_devices()
    assert devices[0].name == "cpu"
    assert devices[0].usable
    assert versions["torch"].startswith("2.")

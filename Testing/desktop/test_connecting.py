"""*Test connection* names the cause, against real sockets and servers that go wrong; where the token is kept."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import Testing.desktop.needs_qt  # noqa: F401  first
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.local import LocalBackend
from Testing.desktop.standin.application import Module

Wait = Callable[..., None]
Draw = Callable[..., None]
NOWHERE = "127.0.0.1:9"
KEYRING = """
import json, pathlib
FILE = pathlib.Path(__file__).with_name("kept.json")
def get_password(service, name):
    return json.loads(FILE.read_text()).get(service + name) if FILE.exists() else None
def set_password(service, name, password):
    FILE.write_text(json.dumps({service + name: password}))
"""


@pytest.fixture
def a_panel(the_module: Module, a_volume: Any) -> Any:
    return the_module.open().panel


@contextmanager
def serving(body: bytes, kind: str, status: int = 200, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server that gives this answer to everything, as a login page or a proxy does."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def answer_of(panel: Any, wait: Wait, address: str, token: str = "") -> str:
    ui = panel.backend.ui
    ui.remoteButton.click()
    ui.addressEdit.text, ui.tokenEdit.text = address, token
    ui.testButton.click()
    wait(lambda: not panel.workplace.link.state.busy)
    return str(ui.linkLabel.text)


def test_nobody_a_stranger_a_wrong_token_and_a_backend(a_panel: Any, wait: Wait, tmp_path: Path) -> None:
    assert "nothing listens there" in answer_of(a_panel, wait, NOWHERE)
    with serving(b"<html>Please log in</html>", "text/html") as page:
        assert "not a KDSeg backend" in answer_of(a_panel, wait, page)
        assert "certificate is not trusted or it does not speak https" in answer_of(a_panel, wait, f"https://{page}")
    with LocalBackend(tmp_path / "other", options=("--no-probe",)) as backend:
        assert "token" in answer_of(a_panel, wait, backend.url, "wrong")
        assert "KDSeg 0.1.0 answers" in answer_of(a_panel, wait, backend.url, backend.token)
    a_panel.backend.ui.addressEdit.text = "ftp://nowhere"
    a_panel.backend.ui.testButton.click()
    assert "is not the address of a backend" in a_panel.ui.messageLabel.text


def test_a_host_that_says_nothing(a_panel: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    from slicer_kdseg.scene import backend_remote

    assert backend_remote.PATIENCE_SECONDS <= 10, "nobody watches a button for longer"
    monkeypatch.setattr(backend_remote, "PATIENCE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "was reached but did not answer in time" in answer_of(a_panel, wait, address)


def test_another_version(a_panel: Any, wait: Wait) -> None:
    other = json.dumps({"service": "kdseg", "protocol_version": 99, "version": "7.0"}).encode()
    with serving(other, "application/json") as address:
        said = answer_of(a_panel, wait, address)
    assert "version 7.0" in said
    assert "update the older of the two" in said


def test_a_proxy_in_the_way(a_panel: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(b"<html>Access denied</html>", "text/html", 403) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        said = answer_of(a_panel, wait, "http://gpu.example.org:8765")
    assert "status 403, a web page, perhaps a proxy's" in said
    monkeypatch.setenv("http_proxy", f"http://{NOWHERE}")
    assert "the proxy of this computer blocks the request" in answer_of(a_panel, wait, "http://gpu.example.org:8765")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the certificate is made by openssl")
def test_a_certificate_that_nobody_vouches_for(a_panel: Any, wait: Wait, tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving(b"{}", "application/json", tls=tls) as address:
        assert "its certificate is not trusted" in answer_of(a_panel, wait, f"https://{address}")


def test_the_token_is_kept_where_there_is_a_keyring(
    a_panel: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "keyring.py").write_text(KEYRING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "keyring", raising=False)
    ui = a_panel.backend.ui
    ui.remoteButton.click()
    with LocalBackend(tmp_path / "other", options=("--no-probe",)) as backend:
        ui.addressEdit.text, ui.tokenEdit.text = backend.url, backend.token
        ui.connectButton.click()
        wait(lambda: a_panel.workplace.link.state.stage == "connected")
        ui.tokenEdit.text = ""
        a_panel.backend.address_entered()
        assert ui.tokenEdit.text == backend.token
    monkeypatch.delitem(sys.modules, "keyring", raising=False)


def test_images_stay_on_this_computer_where_that_is_chosen_though_another_one_is_connected(
    a_panel: Any, wait: Wait, draw: Draw, tmp_path: Path
) -> None:
    place, ui = a_panel.workplace, a_panel.backend.ui
    draw(place.session.annotation, 0, 3, 3, slice(4, 44))
    draw(place.session.annotation, 1, 3, 13, slice(10, 18))
    ui.remoteButton.click()
    with LocalBackend(tmp_path / "other", options=("--no-probe",)) as other:
        ui.addressEdit.text, ui.tokenEdit.text = other.url, other.token
        ui.connectButton.click()
        wait(lambda: place.link.state.stage == "connected")
        ui.localButton.click()
        a_panel.train.ui.trainButton.click()
        wait(lambda: place.session.state.phase == "training", 60)
        assert place.link.state.runs_locally
        with BackendClient(other.url, other.token) as client:
            assert client.jobs() == []
        ui.remoteButton.click()
        a_panel.train.cancel()
        wait(lambda: place.session.state.can_train)
        a_panel.train.ui.trainButton.click()
        assert "press Connect" in a_panel.ui.messageLabel.text


@pytest.mark.parametrize("keyring", ["raise ImportError('no such package')", "def set_password(*_): raise OSError"])
def test_without_a_keyring_the_token_is_in_no_file(
    a_panel: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keyring: str
) -> None:
    """No package, or one whose system has no service: both are common."""
    import qt

    (tmp_path / "keyring.py").write_text(keyring)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "keyring", raising=False)
    ui = a_panel.backend.ui
    ui.remoteButton.click()
    ui.addressEdit.text, ui.tokenEdit.text = NOWHERE, "a secret"
    ui.connectButton.click()
    assert "No keyring can be used here; the token is kept until Slicer ends" in a_panel.ui.messageLabel.text
    wait(lambda: not a_panel.workplace.link.state.busy)
    settings = qt.QSettings()
    assert all("a secret" not in str(settings.value(key)) for key in settings.allKeys())
    monkeypatch.delitem(sys.modules, "keyring", raising=False)

"""Run the app on a socket, say where, and end with the host that started it."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

import uvicorn

from slicer_kdseg.protocol.address import check_port, is_loopback
from slicer_kdseg.protocol.errors import Conflict, NotAllowed
from slicer_kdseg.protocol.local import FINISH
from slicer_kdseg.protocol.messages import FINAL_STATES
from training_backend.api.app import MAX_BODY_BYTES, create_app
from training_backend.api.backend import Backend
from training_backend.jobs.runner import SILENCE_SECONDS


class _Announcing(uvicorn.Server):
    """Writes one JSON line ``{"url", "token"}`` to stdout when requests can come."""

    def __init__(self, config: uvicorn.Config, url: str, token: str | None) -> None:
        super().__init__(config)
        self._line = json.dumps({"url": url, "token": token})

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(self._line + "\n")
        sys.stdout.flush()


def serve(
    root: Path,
    host: str = "127.0.0.1",
    port: int = 8765,
    token: str | None = None,
    exit_with_stdin: bool = False,
    training: str | None = None,
    limit: int = 1,
    probe: bool = True,
    max_body_bytes: int = MAX_BODY_BYTES,
    silence_seconds: float = SILENCE_SECONDS,
) -> None:
    """Serve until SIGTERM, SIGINT or, with ``exit_with_stdin``, the end of stdin. Port 0 takes a free one.

    Raises :class:`BadRequest` for a port that there cannot be, :class:`NotAllowed` for a bind beyond this machine
    without a token, :class:`Conflict` when the root or the port is taken or the host is another machine.
    """
    check_port(port)
    loopback = is_loopback(host)
    if not loopback and not token:
        raise NotAllowed(
            f"Serving on {host} lets other machines in: set a token (--new-token, or KDSEG_TOKEN in the environment),"
            " or serve on 127.0.0.1."
        )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        elsewhere = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        advice = "give an address of this machine as host" if elsewhere else "choose another port"
        raise Conflict(f"The address {host}:{port} cannot be used ({error.strerror}); {advice}.") from error
    with listening:
        app = create_app(root, token, loopback, training, limit, probe, max_body_bytes, silence_seconds)
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listening.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, timeout_keep_alive=30)
        server = _Announcing(config, url, token)
        if exit_with_stdin:
            app.state.backend.end = threading.Event()
            for wait in (_end_with_stdin, _end_when_told):
                threading.Thread(target=wait, args=(server, app.state.backend), daemon=True).start()
        server.run(sockets=[listening])


def _end_with_stdin(server: uvicorn.Server, backend: Backend) -> None:
    """Who has written ``FINISH`` before leaving wants the jobs to be finished first."""
    said = b""
    while more := os.read(0, 1024):
        said = (said + more)[-len(FINISH) :]
    while said == FINISH and any(job.state not in FINAL_STATES for job in backend.store.history.all()):
        time.sleep(1)
    server.should_exit = True


def _end_when_told(server: uvicorn.Server, backend: Backend) -> None:
    assert backend.end is not None
    backend.end.wait()
    server.should_exit = True

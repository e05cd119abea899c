"""``kdseg web``: the workspace in a web browser, with a backend of its own, until Ctrl-C."""

from __future__ import annotations

import argparse
import socket
import sys
import webbrowser
from pathlib import Path

from slicer_kdseg.protocol.address import check_port
from slicer_kdseg.protocol.errors import Conflict, KDSegError
from training_backend.cli.results_folder import writable


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("web", help="annotate, train and review in a web browser")
    parser.add_argument("--root", type=Path, default=Path.home() / ".kdseg", metavar="DIR", help="where all is kept")
    parser.add_argument("--port", type=int, default=0, help="of the page, on this machine only; 0 takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="print the address instead of opening it")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    try:
        from slicer_kdseg.browser.apology import serve_sentence
        from slicer_kdseg.browser.rendering import require_rendering
        from slicer_kdseg.browser.workspace import Workspace
    except ImportError as error:
        raise KDSegError(
            f"The packages of the browser workspace are missing ({error.name}); run 'python3 run.py setup'."
        ) from None

    writable(options.root, "--root folder")
    check_port(options.port)
    _check_free(options.port)

    def ready(address: str) -> None:
        print(f"KDSeg is at {address}", flush=True)
        print(f"The address opens once, in one browser. All is kept in {options.root}. Ctrl-C ends KDSeg.", flush=True)
        if not options.no_browser:
            webbrowser.open(address)

    try:
        require_rendering()
    except KDSegError as error:
        print(f"kdseg: {error.sentence}", file=sys.stderr, flush=True)
        serve_sentence(error.sentence, options.port, ready)
        return 2
    space = Workspace(options.root, samples=sample_image)

    def begin(address: str) -> None:
        ready(address)
        space.workplace.link.start_local(space.workplace.python())

    space.run(options.port, begin)
    return 0


def _check_free(port: int) -> None:
    """The page's server itself would say nothing of it. Raises :class:`Conflict`."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise Conflict(f"The port {port} cannot be used ({error.strerror}); choose another --port.") from None


def sample_image() -> Path:
    import slicerio

    return Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd"

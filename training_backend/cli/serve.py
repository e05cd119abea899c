"""``kdseg serve``: a backend for one or many workspaces, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

from slicer_kdseg.protocol.errors import BadRequest
from training_backend.cli.results_folder import writable

DEFAULT_PORT = 8765
TOKEN_VARIABLE = "KDSEG_TOKEN"


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("serve", help="run a training backend")
    parser.add_argument("--root", type=Path, default=Path.home() / ".kdseg", metavar="DIR", help="where all is kept")
    parser.add_argument("--host", default="127.0.0.1", help="another address than loopback needs a token")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one")
    parser.add_argument("--new-token", action="store_true", help=f"make a token; else {TOKEN_VARIABLE} is used if set")
    parser.add_argument("--limit", type=int, default=1, help="jobs that train at once")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from training_backend.api.serve import serve

    if options.limit < 1:
        raise BadRequest("--limit must be at least 1: so many jobs train at once.")
    writable(options.root, "--root folder")
    token = secrets.token_urlsafe(32) if options.new_token else os.environ.get(TOKEN_VARIABLE)
    print(
        f"Everything is kept in {options.root}; Ctrl-C ends the backend, jobs go on at the next start.", file=sys.stderr
    )
    serve(options.root, options.host, options.port, token, limit=options.limit)
    return 0

"""``python -m training_backend.api --root DIR [--port 0] [--new-token] [--exit-with-stdin]``: a backend for a host.

The token may also come from the environment (``KDSEG_TOKEN``): a command line can be read by every user.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

from slicer_kdseg.protocol.errors import KDSegError
from training_backend.api.serve import serve
from training_backend.jobs.runner import SILENCE_SECONDS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="training_backend.api", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="where everything is kept")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765, help="0 takes a free port")
    parser.add_argument("--new-token", action="store_true", help="make a token and print it in the first line")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when whoever started this is gone")
    parser.add_argument("--training", help="module:function, which training workers run")
    parser.add_argument("--limit", type=int, default=1, help="jobs that train at once")
    parser.add_argument("--no-probe", action="store_true", help="do not try the devices")
    parser.add_argument("--silence-seconds", type=float, default=SILENCE_SECONDS, help="when a worker counts as hung")
    options = parser.parse_args(arguments)
    token = secrets.token_urlsafe(32) if options.new_token else os.environ.get("KDSEG_TOKEN")
    try:
        serve(
            options.root,
            options.host,
            options.port,
            token,
            exit_with_stdin=options.exit_with_stdin,
            training=options.training,
            limit=options.limit,
            probe=not options.no_probe,
            silence_seconds=options.silence_seconds,
        )
    except KDSegError as error:
        sys.stderr.write(error.sentence + "\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``kdseg``: every command is a file of this room with ``add_to(commands)`` and ``run(options)``.

Exit codes: 0 done, 1 a check failed, 2 one sentence says what was wrong with the request, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys

from slicer_kdseg.protocol.errors import KDSegError
from training_backend.cli import bench, demo, doctor, pictures, predict, serve, train, web


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="kdseg", description="From scribbles to a small segmentation model of your own, on your own machine."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (web, demo, serve, train, predict, bench, pictures, doctor):
        command.add_to(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except KDSegError as error:
        print(f"kdseg: {error.sentence}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nkdseg: interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

"""``kdseg demo``: what the project claims, measured in one run."""

from __future__ import annotations

import argparse


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("demo", help="measure")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    return 0

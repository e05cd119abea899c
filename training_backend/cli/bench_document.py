"""The tables of BENCHMARKS.md: each stands between two marks, and a new run replaces what is between them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from training_backend.cli.bench_rows import table


def put_section(document: Path, body: dict[str, Any]) -> None:
    """Write the command and the table of a result over those of its last run; a new bench goes to the end."""
    text = document.read_text(encoding="utf-8") if document.exists() else "# Benchmarks\n"
    name = _name(body)
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = "\n".join([begin, "", "```", body["command"], "```", "", table(body["summary"]), "", end])
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    written, times = found.subn(lambda _: section, text)
    document.write_text(written if times else f"{text.rstrip()}\n\n## {name}\n\n{section}\n", encoding="utf-8")


def _name(body: dict[str, Any]) -> str:
    """What was measured on what, for instance ``scribble on acdc_scribble``."""
    bench = body["command"].split()[2]
    return f"{bench} on {', '.join(dict.fromkeys(line['data'] for line in body['summary']))}"

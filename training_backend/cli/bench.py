"""``kdseg bench NAME``: what the project claims, measured in one run and written as JSON.

``loop``: time to the first preview and preview latency with a real backend and scene, the cost of bringing
a result into the scene against gzip NRRD and an import, and Dice against grow-cut at fixed CPU budgets.
``browser``: what a hand on the mouse waits for in the page, in headless Chromium, while a job trains.
A method's name: the method, its ablations, its baselines and the upper bound on a case folder, interleaved.
``table``: the rows of earlier runs (``--json``, several) as one table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import shlex
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from slicer_kdseg.protocol.errors import BadRequest
from training_backend.cli.bench_document import put_section
from training_backend.cli.bench_rows import BenchRow, result, table, told, without_repeats, write
from training_backend.cli.results_folder import writable

LIVE_SECONDS = 40.0
PARTS = ("scene", "previews", "ct", "acdc")
PROMISED = ("pushback_full_vs_gzip_nrrd", "pushback_local_vs_gzip_nrrd", "scene_update_vs_import")
METHOD_BENCHES: dict[str, str] = {
    "cross_modality": "training_backend.cli.bench_cross_modality",
    "one_shot": "training_backend.cli.bench_one_shot",
    "scribble": "training_backend.cli.bench_scribble",
    "shape_intensity": "training_backend.cli.bench_shape_intensity",
}
OF_TRAINING = {"data", "seconds", "seeds", "first_seed", "device", "only", "json", "write"}
USED: dict[str, set[str]] = {
    "table": {"json", "write"},
    "browser": {"json"},
    "loop": {"data", "seconds", "seeds", "only", "json", "write"},
    "cross_modality": OF_TRAINING | {"assistant"},
    "one_shot": OF_TRAINING,
    "scribble": OF_TRAINING,
    "shape_intensity": OF_TRAINING | {"elsewhere"},
}


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("bench", help="measure what is claimed")
    parser.add_argument("name", choices=["loop", "browser", *METHOD_BENCHES, "table"])
    parser.add_argument("--data", type=_folder, metavar="DIR", help="a case folder; for 'loop' with acdc_scribble/")
    parser.add_argument("--seconds", type=float, nargs="+", default=[], help="budgets; 'loop' is cut to the longest")
    parser.add_argument("--elsewhere", type=_folder, nargs="+", metavar="DIR", default=[], help="tested unchanged")
    parser.add_argument(
        "--assistant", type=_folder, metavar="DIR", help="the other kind of image, for 'cross_modality'"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda counts wall seconds")
    parser.add_argument("--only", action="append", help="measure this part, method or baseline alone; may be repeated")
    parser.add_argument("--json", type=Path, nargs="+", metavar="FILE", default=[])
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this Markdown file")
    parser.set_defaults(run=run, default_of=parser.get_default)


def _folder(text: str) -> Path:
    """Resolved, so that "." has a name too."""
    return Path(text).resolve()


def run(options: argparse.Namespace) -> int:
    _check(options)
    if options.name == "table":
        body = _earlier(options.json)
    elif options.name == "loop":
        body = _loop(options)
    elif options.name == "browser":
        from training_backend.cli.bench_browser import measure

        body = result([], _command(options), {"seconds": measure(_say)})
    else:
        body = _method(options)
    print(table(body["summary"]))
    for name, value in {**body.get("ratios", {}), **body.get("seconds", {})}.items():
        print(f"{name:<32} {value}")
    if options.json and options.name != "table":
        write(options.json[0], body)
        print(f"Written to {options.json[0]}.")
    if options.write is not None:
        put_section(options.write, body)
        print(f"The table is in {options.write}.")
    return 0


def _check(options: argparse.Namespace) -> None:
    """All that can be wrong with a request before hours are spent on it. Raises :class:`BadRequest`."""
    every = set().union(*USED.values())
    ignored = sorted(name for name in every - USED[options.name] if getattr(options, name) != options.default_of(name))
    if ignored:
        switch = f"--{ignored[0].replace('_', '-')}"
        raise BadRequest(f"The bench '{options.name}' does not use {switch}; leave it out.")
    if options.seeds < 1 or options.first_seed < 0:
        raise BadRequest("--seeds must be at least 1, --first-seed at least 0.")
    if not all(1 <= seconds < math.inf for seconds in options.seconds):
        raise BadRequest("--seconds must be at least 1 for every budget.")
    if options.name != "table" and len(options.json) > 1:
        raise BadRequest("A run writes one file; give one name to --json.")
    for file in (*(options.json if options.name != "table" else []), *([options.write] if options.write else [])):
        if file.is_dir():
            raise BadRequest(f"'{file}' is a folder; give the name of a file.")
        writable(file.parent, "place for it")


def _method(options: argparse.Namespace) -> dict[str, Any]:
    """The rows of a method's bench; what has been measured is kept after every row."""
    if options.data is None:
        raise BadRequest(f"The bench '{options.name}' needs --data with a case folder (images/, labels/).")
    import torch

    torch.set_num_threads(1)
    rows: list[BenchRow] = []
    command = _command(options)
    for own in importlib.import_module(METHOD_BENCHES[options.name]).rows(options, _say):
        rows.append(own)
        print(told(own), flush=True)
        if options.json:
            write(options.json[0], result(rows, command, {}))
    return result(rows, command, {})


def _loop(options: argparse.Namespace) -> dict[str, Any]:
    from training_backend.cli import bench_loop, bench_pushback

    strange = sorted(set(options.only or []) - set(PARTS))
    if strange:
        raise BadRequest(f"The bench 'loop' has no part {strange[0]!r}; it has {', '.join(PARTS)}.")
    parts = options.only or [part for part in PARTS if part != "acdc" or options.data is not None]
    if ("acdc" in parts) != (options.data is not None):
        raise BadRequest("The part 'acdc', and it alone, needs --data with the folder that holds acdc_scribble/.")
    costs, live, rows = {}, {}, []
    longest = max(options.seconds, default=math.inf)
    if "scene" in parts:
        _say("Bringing results into the scene")
        costs = bench_pushback.measure()
    if "previews" in parts:
        _say("Time to previews, with a real backend and a real scene")
        live = _live(min(LIVE_SECONDS, longest))
    for own in bench_loop.rows(parts, options.data, options.seeds, longest, _say):
        rows.append(own)
        print(told(own), flush=True)
    more = {
        "ratios": {name: round(costs[name], 4) for name in PROMISED if name in costs},
        "cpu_seconds": {name: round(value, 5) for name, value in costs.items() if name not in PROMISED},
        "seconds": live,
    }
    return result(rows, _command(options), more)


def _earlier(files: list[Path]) -> dict[str, Any]:
    if not files:
        raise BadRequest("The bench 'table' needs --json with the files of earlier runs.")
    runs = [_run_of(file) for file in files]
    rows = without_repeats([own for _, rows in runs for own in rows])
    return result(rows, "\n".join(dict.fromkeys(command for command, _ in runs)), {})


def _run_of(file: Path) -> tuple[str, list[BenchRow]]:
    """The command and the rows of an earlier run. Raises :class:`BadRequest`."""
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
        rows = [BenchRow(**own) for own in body["rows"]]
        if not body["command"].startswith("kdseg bench "):
            raise ValueError("no command of a bench")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as problem:
        raise BadRequest(f"'{file}' is not what --json of a bench has written ({problem!r}).") from None
    if not rows:
        raise BadRequest(f"'{file}' holds no rows; give the file of a bench that trains.")
    return body["command"], rows


def _command(options: argparse.Namespace) -> str:
    """The command that repeats the run, without the reader's own paths."""
    parts = ["kdseg", "bench", options.name]
    if options.data is not None:
        parts += ["--data", options.data.name]
    if options.seconds:
        parts += ["--seconds", *(f"{seconds:g}" for seconds in options.seconds)]
    if options.elsewhere:
        parts += ["--elsewhere", *(place.name for place in options.elsewhere)]
    if options.assistant is not None:
        parts += ["--assistant", options.assistant.name]
    parts += ["--seeds", str(options.seeds)]
    if options.first_seed:
        parts += ["--first-seed", str(options.first_seed)]
    if options.device != "cpu":
        parts += ["--device", options.device]
    for only in options.only or []:
        parts += ["--only", only]
    return shlex.join(parts)


def _live(seconds: float) -> dict[str, float]:
    """Wall seconds from the click to the first preview, and from a preview's event to the scene."""
    from training_backend.cli.demo import the_sample
    from training_backend.cli.live_loop import LiveLoop
    from training_backend.cli.stages import UnseenStage

    sample = the_sample()
    with (
        tempfile.TemporaryDirectory(prefix="kdseg-bench-") as root,
        LiveLoop(sample.image, sample.reference, sample.contract, UnseenStage(Path(root))) as loop,
    ):
        record = loop.run({"seconds": seconds}, lambda state: None, correction=False)
    return {
        "first_preview": round(record.shown[0].seconds, 3),
        "preview_latency_median": round(median(record.latencies_seconds), 4) if record.latencies_seconds else math.nan,
        "preview_latency_most": round(max(record.latencies_seconds, default=math.nan), 4),
        "previews": len(record.shown),
    }


def _say(sentence: str) -> None:
    print(f"{sentence} ...", flush=True)

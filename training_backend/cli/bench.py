"""``kdseg bench NAME``: what the project claims, measured in one run and written as JSON.

``loop``: time to the first preview and preview latency with a real backend and scene, the cost of bringing
a result into the scene against gzip NRRD and an import, and Dice against grow-cut at fixed CPU budgets.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from slicer_kdseg.protocol.errors import BadRequest

if TYPE_CHECKING:
    from training_backend.cli.bench_quality import BenchRow

LIVE_SECONDS = 40.0
PARTS = ("scene", "previews", "ct", "acdc")
PROMISED = ("pushback_full_vs_gzip_nrrd", "pushback_local_vs_gzip_nrrd", "scene_update_vs_import")


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("bench", help="measure what is claimed")
    parser.add_argument("name", choices=["loop"])
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder that holds acdc_scribble/")
    parser.add_argument("--seconds", type=float, default=math.inf, help="shorten every training budget to this")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part alone; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from training_backend.cli import bench_pushback, bench_quality

    parts = options.only or [part for part in PARTS if part != "acdc" or options.data is not None]
    if "acdc" in parts and options.data is None:
        raise BadRequest("The part 'acdc' needs --data with the folder that holds acdc_scribble/.")
    costs, live = {}, {}
    if "scene" in parts:
        _say("Bringing results into the scene")
        costs = bench_pushback.measure()
    if "previews" in parts:
        _say("Time to previews, with a real backend and a real scene")
        live = _live(min(LIVE_SECONDS, options.seconds))
    rows = []
    for row in _rows(parts, options):
        rows.append(row)
        _tell(row)
    ratios = {name: round(costs[name], 4) for name in PROMISED if name in costs}
    result = {
        "rows": bench_quality.as_json(rows),
        "summary": bench_quality.summary(rows),
        "ratios": ratios,
        "cpu_seconds": {name: round(value, 5) for name, value in costs.items() if name not in PROMISED},
        "seconds": live,
        "machine": {"system": platform.platform(terse=True), "python": platform.python_version()},
    }
    _report(result)
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"Written to {options.json}.")
    return 0


def _rows(parts: list[str], options: argparse.Namespace) -> Iterator[BenchRow]:
    from training_backend.cli import bench_quality

    if "ct" in parts:
        yield from bench_quality.on_the_ct(options.seeds, options.seconds, _say)
    if "acdc" in parts:
        yield from bench_quality.on_acdc(options.data, options.seeds, options.seconds, _say)


def _live(seconds: float) -> dict[str, float]:
    """Wall seconds from the click to the first preview, and from a preview's event to the scene."""
    from training_backend.cli.demo import the_sample
    from training_backend.cli.live_loop import LiveLoop

    sample = the_sample()
    with (
        tempfile.TemporaryDirectory(prefix="kdseg-bench-") as root,
        LiveLoop(sample.image, sample.reference, sample.contract, Path(root)) as loop,
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


def _tell(row: BenchRow) -> None:
    cost = f"{row.cpu_seconds:5.0f} ({row.spent_cpu_seconds:.1f}) CPU s"
    print(f"  {row.case:<22} {row.method:<15} {row.setting:<12} {cost:>20}  {row.mean_dice:.3f}", flush=True)


def _report(result: dict[str, Any]) -> None:
    print(f"\n{'method':<15} {'setting':<12} {'data':<12} {'CPU s':>6} {'(spent)':>8}  mean Dice [95 % interval]  n")
    for line in result["summary"]:
        low, high = line["ci"]
        cost = f"{line['cpu_seconds']:6.0f} {line['spent_cpu_seconds']:8.1f}"
        told = f"{line['mean_dice']:.3f} [{low:.3f}, {high:.3f}]  {line['n']}"
        print(f"{line['method']:<15} {line['setting']:<12} {line['data']:<12} {cost}  {told}")
    for name, value in {**result["ratios"], **result["seconds"]}.items():
        print(f"{name:<32} {value}")

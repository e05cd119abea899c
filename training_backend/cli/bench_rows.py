"""What a benchmark measures: one row a segmented case, and their means with intervals."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelContract
from training_backend.data.cases import Case
from training_backend.report.metrics import mean_interval, score


@dataclass(frozen=True)
class BenchRow:
    """One case segmented by one method.

    ``seed``: None for what does not depend on it (grow-cut of strokes that a person drew);
    ``budget``: the CPU seconds that a training was given, None for what has none (grow-cut, registration);
    ``cpu_seconds``: that budget, or what it took; ``spent_cpu_seconds``: all that its process took.
    ``dice``, ``surface_dice`` and ``hd95_mm`` are by class name.
    """

    method: str
    setting: str
    data: str
    seed: int | None
    case: str
    budget: float | None
    cpu_seconds: float
    dice: dict[str, float]
    surface_dice: dict[str, float]
    hd95_mm: dict[str, float]
    mean_dice: float
    spent_cpu_seconds: float


@dataclass(frozen=True)
class Cost:
    """CPU seconds on one thread: the budget of a training or None, and what was spent."""

    budget: float | None
    spent: float


def row(
    method: str,
    setting: str,
    data: str,
    seed: int | None,
    case: Case,
    cost: Cost,
    labels: np.ndarray,
    contract: LabelContract,
) -> BenchRow:
    """Score ``labels`` (D, H, W) against the case's own; a voxel left unlabelled counts as background."""
    assert case.labels is not None
    ids = tuple(label.id for label in contract.foreground)
    whole = np.where(labels == UNLABELLED, BACKGROUND, labels).astype(np.uint8)
    found = score(whole, case.labels, case.spacing_mm, ids).by_class
    named = {contract.by_id(id_).name: own for id_, own in found.items()}
    return BenchRow(
        method,
        setting,
        data,
        seed,
        case.name,
        cost.budget,
        round(cost.spent if cost.budget is None else cost.budget, 2),
        {name: round(own.dice, 4) for name, own in named.items()},
        {name: round(own.surface_dice, 4) for name, own in named.items()},
        {name: round(own.hd95_mm, 2) for name, own in named.items()},
        round(float(np.mean([own.dice for own in named.values()])), 4),
        round(cost.spent, 2),
    )


def without_repeats(rows: list[BenchRow]) -> list[BenchRow]:
    """Every measurement once, the last one of it: several runs may have made the same."""
    return list({(own.method, own.setting, own.data, own.seed, own.case, own.budget): own for own in rows}.values())


def summary(rows: list[BenchRow]) -> list[dict[str, Any]]:
    """Means over cases and seeds of every method, setting, data and budget; Dice with a bootstrap interval."""
    groups: dict[tuple[str, str, str, float | None], list[BenchRow]] = {}
    for own in rows:
        groups.setdefault((own.data, own.setting, own.method, own.budget), []).append(own)
    return [
        {
            "method": method,
            "setting": setting,
            "data": data,
            "cpu_seconds": _mean([own.cpu_seconds for own in group], 2),
            "mean_dice": _mean([own.mean_dice for own in group], 4),
            "ci": [round(end, 4) for end in mean_interval([own.mean_dice for own in group])],
            "surface_dice": _mean([value for own in group for value in own.surface_dice.values()], 4),
            "hd95_mm": _mean([value for own in group for value in own.hd95_mm.values()], 2),
            "class_dice": {
                name: _mean([own.dice[name] for own in group if name in own.dice], 4)
                for name in dict.fromkeys(name for own in group for name in own.dice)
            },
            "seeds": len({own.seed for own in group} - {None}),
            "n": len(group),
            "spent_cpu_seconds": _mean([own.spent_cpu_seconds for own in group], 2),
        }
        for (data, setting, method, _), group in groups.items()
    ]


def result(rows: list[BenchRow], command: str, more: dict[str, Any]) -> dict[str, Any]:
    """All that a benchmark has to say, as JSON; ``command`` repeats it."""
    machine = {"system": platform.platform(terse=True), "python": platform.python_version()}
    return {
        "command": command,
        "rows": [asdict(own) for own in rows],
        "summary": summary(rows),
        **more,
        "machine": machine,
    }


def write(path: Path, body: dict[str, Any]) -> None:
    """Over what was there before; a benchmark that is interrupted leaves what it has measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def told(own: BenchRow) -> str:
    """A row as a line on the terminal."""
    cost = f"{own.cpu_seconds:5.0f} ({own.spent_cpu_seconds:.1f}) CPU s"
    return f"  {own.case:<22} {own.method:<18} {own.setting:<12} {cost:>20}  {own.mean_dice:.3f}"


def table(lines: list[dict[str, Any]]) -> str:
    """A summary as a table in Markdown, one line a method."""
    head = "| data | setting | method | CPU s | spent | mean Dice [95 %] | surface Dice | HD95 mm | seeds | n |"
    body = [
        f"| {line['data']} | {line['setting']} | {line['method']} | {line['cpu_seconds']:.4g}"
        f" | {line['spent_cpu_seconds']:.4g} | {line['mean_dice']:.3f} [{line['ci'][0]:.3f}, {line['ci'][1]:.3f}]"
        f" | {line['surface_dice']:.3f} | {line['hd95_mm']:.1f} | {line['seeds'] or '–'} | {line['n']} |"
        for line in lines
    ]
    return "\n".join([head, "|" + "---|" * 10, *body])


def _mean(values: list[float], digits: int) -> float:
    return round(float(np.mean(values)), digits) if values else float("nan")

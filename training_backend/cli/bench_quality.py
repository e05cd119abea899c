"""Dice of what a user is shown, against grow-cut from the same strokes, at budgets of CPU seconds on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.labels import UNLABELLED, LabelContract
from slicer_kdseg.protocol.messages import CaseInUse, HeldOut, JobRequest, Payload
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli.terminal_desk import TerminalDesk
from training_backend.cli.train import annotated_cases, shown_labels
from training_backend.data.annotator import annotate
from training_backend.data.cases import Case, read_image
from training_backend.data.folder import CaseFolder, read_case_folder
from training_backend.data.growcut import growcut
from training_backend.report.metrics import dice_by_class, mean_interval

CT_BUDGETS = (30.0, 60.0)
ACDC_BUDGETS = (60.0, 300.0)
TRAINED = tuple(f"patient{10 * block + number:03d}_frame01" for block in (0, 2, 4, 6, 8) for number in (1, 6))
UNSEEN = tuple(f"patient{10 * block + number:03d}_frame01" for block in (0, 2, 4, 6, 8) for number in (3, 8))

Say = Callable[[str], None]


@dataclass(frozen=True)
class BenchRow:
    method: str
    setting: str
    data: str
    seed: int
    case: str
    cpu_seconds: float
    dice: dict[str, float]
    mean_dice: float


def summary(rows: list[BenchRow]) -> list[dict[str, Any]]:
    """Mean Dice with a bootstrap interval over cases and seeds, for every method, setting and data."""
    groups: dict[tuple[str, str, str], list[BenchRow]] = {}
    for row in rows:
        groups.setdefault((row.method, row.setting, row.data), []).append(row)
    found = []
    for (method, setting, data), own in groups.items():
        dice = [row.mean_dice for row in own]
        low, high = mean_interval(dice)
        found.append(
            {
                "method": method,
                "setting": setting,
                "data": data,
                "cpu_seconds": round(float(np.mean([row.cpu_seconds for row in own])), 2),
                "mean_dice": round(float(np.mean(dice)), 4),
                "ci": [round(low, 4), round(high, 4)],
                "n": len(own),
            }
        )
    return found


def on_the_ct(seeds: int, longest: float, say: Say) -> Iterator[BenchRow]:
    """One sparse volume, the hard case: strokes of a simulated annotator on every fifth slice of the chest CT."""
    from training_backend.cli.demo import the_sample

    sample = the_sample()
    volume = read_image(sample.image)
    growcut(volume.array[:3], annotate(sample.reference[:3], every=1))  # the filter takes seconds to load
    for seed in range(seeds):
        strokes = annotate(sample.reference, seed)
        case = Case("CTChest4", volume.array, volume.affine, strokes, sample.reference, sample.image)
        folder = CaseFolder(sample.contract, (case,))
        yield _growcut_row(case, sample.contract, "slicerio_ct", seed)
        for budget in _shortened(CT_BUDGETS, longest):
            say(f"chest CT, seed {seed}: {budget:.0f} CPU seconds")
            yield from _trained_rows(folder, budget, "slicerio_ct", seed)


def on_acdc(data: Path, seeds: int, longest: float, say: Say) -> Iterator[BenchRow]:
    """Ten scribbled patients trained together: scored on themselves, and on ten others without scribbles."""
    root = data / "acdc_scribble" if (data / "acdc_scribble").is_dir() else data
    if not (root / "scribbles").is_dir():
        raise BadRequest(f"'{data}' holds no acdc_scribble with scribbles/; give the folder that does.")
    trained, unseen = read_case_folder(root, TRAINED), read_case_folder(root, UNSEEN)
    others = tuple(replace(case, scribbles=None) for case in unseen.cases)
    for seed in range(seeds):
        for case in trained.cases if seed == 0 else ():
            yield _growcut_row(case, trained.contract, "acdc_scribbled", seed)
        for budget in _shortened(ACDC_BUDGETS, longest):
            say(f"ACDC, seed {seed}: {budget:.0f} CPU seconds")
            yield from _trained_rows(trained, budget, "acdc_scribbled", seed, others, "acdc_unscribbled")


def _growcut_row(case: Case, contract: LabelContract, data: str, seed: int) -> BenchRow:
    assert case.scribbles is not None
    begun = time.process_time()
    grown = growcut(case.image, case.scribbles)
    return _row("growcut", "from the strokes", data, seed, case, time.process_time() - begun, grown, contract)


def _trained_rows(
    folder: CaseFolder, budget: float, data: str, seed: int, others: tuple[Case, ...] = (), others_data: str = ""
) -> Iterator[BenchRow]:
    from training_backend.export.model import load_model
    from training_backend.jobs.training import Training

    differences = {"seconds": budget, "clock": "cpu", "threads": 1, "until_good": False, "seed": seed, "device": "cpu"}
    chosen = annotated_cases(folder, "scribble")
    used = tuple(CaseInUse(case.id, case.revision, case.kind, case.name) for case in chosen)
    request = JobRequest("scribble", folder.contract, used, "fast", differences)
    with TemporaryDirectory(prefix="kdseg-bench-") as work:
        desk = _SilentDesk(Path(work) / "model")
        begun = time.process_time()
        Training(Path(work) / "job", request, resolve("scribble", "fast", differences), chosen, desk).run()
        spent = time.process_time() - begun
        model = load_model(desk.model, "cpu")
        for case, trained in zip(folder.cases, chosen, strict=True):
            labels = shown_labels(desk, trained, model)
            alone = model.predict(case.image, case.affine)
            setting = f"{budget:.0f} s"
            yield _row("scribble", setting, data, seed, case, spent, labels, folder.contract)
            yield _row("scribble, model alone", setting, data, seed, case, spent, alone, folder.contract)
        for case in others:
            labels = model.predict(case.image, case.affine)
            yield _row("scribble", f"{budget:.0f} s", others_data, seed, case, spent, labels, folder.contract)


def _row(
    method: str,
    setting: str,
    data: str,
    seed: int,
    case: Case,
    spent: float,
    labels: np.ndarray,
    contract: LabelContract,
) -> BenchRow:
    assert case.labels is not None
    ids = tuple(label.id for label in contract.foreground)
    found = dice_by_class(np.where(labels == UNLABELLED, 0, labels), case.labels, ids)
    named = {contract.by_id(id_).name: round(value, 4) for id_, value in found.items()}
    mean = round(float(np.mean(list(found.values()))), 4)
    return BenchRow(method, setting, data, seed, case.name, round(spent, 2), named, mean)


def _shortened(budgets: tuple[float, ...], longest: float) -> tuple[float, ...]:
    return tuple(sorted({min(budget, longest) for budget in budgets}))


def as_json(rows: list[BenchRow]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


class _SilentDesk(TerminalDesk):
    def emit(self, payload: Payload) -> None:
        if isinstance(payload, HeldOut):
            self.held_out = payload

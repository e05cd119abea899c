"""Dice of what a user is shown, against grow-cut from the same strokes, at budgets of CPU seconds on one thread.

growcut            ours, padded at the volume's border
growcut_plain      Slicer's vtkImageGrowCutSegment as it is, the whole volume scaled to 0..1000: what is published
growcut_distilled  what a student of plain grow-cut labels predicts: no other teacher, no correction of the target
scribble           what is shown of a scribbled case; what the model predicts where nothing is drawn
scribble_alone     what the exported model predicts on a scribbled case, with no stroke to help it
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

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
from training_backend.data.growcut import LEVELS, growcut
from training_backend.report.metrics import dice_by_class, mean_interval

if TYPE_CHECKING:
    from training_backend.jobs.material import TrainingCase

CT, ACDC = "slicerio_ct", "acdc"
CT_BUDGETS = (30.0, 60.0)
ACDC_BUDGETS = (60.0, 300.0)
TRAINED = tuple(f"patient{10 * block + number:03d}_frame01" for block in (0, 2, 4, 6, 8) for number in (1, 6))
UNSEEN = tuple(f"patient{10 * block + number:03d}_frame01" for block in (0, 2, 4, 6, 8) for number in (3, 8))

Say = Callable[[str], None]


def growcut_as_it_is(image: np.ndarray, strokes: np.ndarray) -> np.ndarray:
    """Slicer's filter on the whole volume with nothing around it; ids (D, H, W), ``UNLABELLED`` where it did not grow.

    Voxels on the border of its input pass nothing on: strokes there are lost, which the padded one avoids.
    """
    import slicer

    from slicer_kdseg.scene.geometry import array_of_image, plain_image

    low, high = float(image.min()), float(image.max())
    grow = slicer.vtkImageGrowCutSegment()
    grow.SetIntensityVolume(plain_image(((image - low) / (high - low + 1e-6) * LEVELS).astype(np.int16)))
    grow.SetSeedLabelVolume(plain_image(np.where(strokes == UNLABELLED, 0, strokes + 1).astype(np.uint8)))
    grow.Update()
    grown = array_of_image(grow.GetOutput())
    return np.where(grown == 0, UNLABELLED, grown - 1).astype(np.uint8)


UNTRAINED = {"growcut": growcut, "growcut_plain": growcut_as_it_is}
DISTILLED = {"first_teachers": "growcut", "correction": 0.0, "consult": 0.0}


@dataclass(frozen=True)
class BenchRow:
    """``cpu_seconds`` is the budget of a training, ``spent_cpu_seconds`` all that its process took; grow-cut has no
    budget and both are what it took."""

    method: str
    setting: str
    data: str
    seed: int
    case: str
    cpu_seconds: float
    dice: dict[str, float]
    mean_dice: float
    spent_cpu_seconds: float


def summary(rows: list[BenchRow]) -> list[dict[str, Any]]:
    """Mean Dice with a bootstrap interval over cases and seeds, for every method, setting, data and budget."""
    groups: dict[tuple[str, str, str, float | None], list[BenchRow]] = {}
    for row in rows:
        budget = None if row.method in UNTRAINED else row.cpu_seconds
        groups.setdefault((row.method, row.setting, row.data, budget), []).append(row)
    found = []
    for (method, setting, data, _), own in groups.items():
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
                "spent_cpu_seconds": round(float(np.mean([row.spent_cpu_seconds for row in own])), 2),
            }
        )
    return found


def on_the_ct(seeds: int, longest: float, say: Say) -> Iterator[BenchRow]:
    """One sparse volume, the hard case: strokes of a simulated annotator on every fifth slice of the chest CT."""
    from training_backend.cli.demo import the_sample

    sample = the_sample()
    volume = read_image(sample.image)
    some, drawn = volume.array[:3], annotate(sample.reference[:3], every=1)
    growcut(some, drawn), growcut_as_it_is(some, drawn)  # the filters take seconds to load
    for seed in range(seeds):
        strokes = annotate(sample.reference, seed)
        case = Case("CTChest4", volume.array, volume.affine, strokes, sample.reference, sample.image)
        folder = CaseFolder(sample.contract, (case,))
        yield from _growcut_rows(case, sample.contract, CT, seed)
        for budget in _shortened(CT_BUDGETS, longest):
            say(f"chest CT, seed {seed}: {budget:.0f} CPU seconds")
            yield from _trained_rows(folder, budget, CT, seed)


def on_acdc(data: Path, seeds: int, longest: float, say: Say) -> Iterator[BenchRow]:
    """Ten scribbled patients trained together: scored on themselves, and on ten others without scribbles."""
    root = data / "acdc_scribble" if (data / "acdc_scribble").is_dir() else data
    if not (root / "scribbles").is_dir():
        raise BadRequest(f"'{data}' holds no acdc_scribble with scribbles/; give the folder that does.")
    trained, unseen = read_case_folder(root, TRAINED), read_case_folder(root, UNSEEN)
    others = tuple(replace(case, scribbles=None) for case in unseen.cases)
    for case in trained.cases:
        yield from _growcut_rows(case, trained.contract, ACDC, 0)
    for seed in range(seeds):
        for budget in _shortened(ACDC_BUDGETS, longest):
            say(f"ACDC, seed {seed}: {budget:.0f} CPU seconds")
            yield from _trained_rows(trained, budget, ACDC, seed, others)
            yield from _distilled_rows(trained, budget, ACDC, seed, others)


def _growcut_rows(case: Case, contract: LabelContract, data: str, seed: int) -> Iterator[BenchRow]:
    assert case.scribbles is not None
    for method, grow in UNTRAINED.items():
        begun = time.process_time()
        grown = grow(case.image, case.scribbles)
        spent = time.process_time() - begun
        yield _row(method, "scribbled", data, seed, case, (spent, spent), grown, contract)


def _trained_rows(
    folder: CaseFolder, budget: float, data: str, seed: int, others: tuple[Case, ...] = ()
) -> Iterator[BenchRow]:
    from training_backend.export.model import load_model

    chosen = annotated_cases(folder, "scribble")
    with TemporaryDirectory(prefix="kdseg-bench-") as work:
        desk, cost = _trained(Path(work), folder, chosen, {"seconds": budget, "seed": seed})
        model = load_model(desk.model, "cpu")
        for case, trained in zip(folder.cases, chosen, strict=True):
            shown = shown_labels(desk, trained, model)
            alone = model.predict(case.image, case.affine)
            yield _row("scribble", "scribbled", data, seed, case, cost, shown, folder.contract)
            yield _row("scribble_alone", "scribbled", data, seed, case, cost, alone, folder.contract)
        for case in others:
            labels = model.predict(case.image, case.affine)
            yield _row("scribble", "unscribbled", data, seed, case, cost, labels, folder.contract)


def _distilled_rows(
    folder: CaseFolder, budget: float, data: str, seed: int, others: tuple[Case, ...]
) -> Iterator[BenchRow]:
    from training_backend.export.model import load_model

    chosen = annotated_cases(folder, "scribble")
    with TemporaryDirectory(prefix="kdseg-bench-") as work:
        desk, cost = _trained(Path(work), folder, chosen, {"seconds": budget, "seed": seed, **DISTILLED})
        model = load_model(desk.model, "cpu")
        for setting, cases in (("scribbled", folder.cases), ("unscribbled", others)):
            for case in cases:
                labels = model.predict(case.image, case.affine)
                yield _row("growcut_distilled", setting, data, seed, case, cost, labels, folder.contract)


def _trained(
    work: Path, folder: CaseFolder, chosen: list[TrainingCase], differences: dict[str, Any]
) -> tuple[_SilentDesk, tuple[float, float]]:
    """One run on one thread; its desk, and the CPU seconds asked for and taken."""
    from training_backend.jobs.training import Training

    differences = {"clock": "cpu", "threads": 1, "until_good": False, "device": "cpu", **differences}
    used = tuple(CaseInUse(case.id, case.revision, case.kind, case.name) for case in chosen)
    request = JobRequest("scribble", folder.contract, used, "fast", differences)
    desk = _SilentDesk(work / "model")
    begun = time.process_time()
    Training(work / "job", request, resolve("scribble", "fast", differences), chosen, desk).run()
    return desk, (differences["seconds"], time.process_time() - begun)


def _row(
    method: str,
    setting: str,
    data: str,
    seed: int,
    case: Case,
    cost: tuple[float, float],
    labels: np.ndarray,
    contract: LabelContract,
) -> BenchRow:
    """``cost``: CPU seconds asked for and taken."""
    assert case.labels is not None
    ids = tuple(label.id for label in contract.foreground)
    found = dice_by_class(np.where(labels == UNLABELLED, 0, labels), case.labels, ids)
    named = {contract.by_id(id_).name: round(value, 4) for id_, value in found.items()}
    mean = round(float(np.mean(list(found.values()))), 4)
    asked, taken = (round(seconds, 2) for seconds in cost)
    return BenchRow(method, setting, data, seed, case.name, asked, named, mean, taken)


def _shortened(budgets: tuple[float, ...], longest: float) -> tuple[float, ...]:
    return tuple(sorted({min(budget, longest) for budget in budgets}))


def as_json(rows: list[BenchRow]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


class _SilentDesk(TerminalDesk):
    def emit(self, payload: Payload) -> None:
        if isinstance(payload, HeldOut):
            self.held_out = payload

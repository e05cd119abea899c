"""Dice of what a user is shown, against grow-cut from the same strokes, at budgets of CPU seconds on one thread.

growcut            ours, in the strokes' box with a margin, padded at its border
growcut_plain      Slicer's vtkImageGrowCutSegment as it is, the whole volume scaled to 0..1000: what is published
growcut_distilled  what a student of plain grow-cut labels predicts: no other teacher, no correction of the target
scribble           what is shown of a scribbled case; what the model predicts where nothing is drawn
scribble_alone     what the exported model predicts on a scribbled case, with no stroke to help it
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.labels import UNLABELLED, LabelContract
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli.bench_rows import BenchRow, Cost, row
from training_backend.cli.bench_runs import trained
from training_backend.cli.bench_scribble import DISTILLED, OURS
from training_backend.cli.train import training_cases
from training_backend.data.annotator import annotate
from training_backend.data.cases import Case, read_image
from training_backend.data.folder import CaseFolder, read_case_folder
from training_backend.data.growcut import LEVELS, growcut_near

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


UNTRAINED = {"growcut": growcut_near, "growcut_plain": growcut_as_it_is}


def rows(parts: list[str], data: Path, seeds: int, longest: float, say: Say) -> Iterator[BenchRow]:
    """The parts ``ct`` and ``acdc``; no budget is longer than ``longest`` CPU seconds."""
    if "ct" in parts:
        yield from on_the_ct(seeds, longest, say)
    if "acdc" in parts:
        yield from on_acdc(data, seeds, longest, say)


def on_the_ct(seeds: int, longest: float, say: Say) -> Iterator[BenchRow]:
    """One sparse volume, the hard case: strokes of a simulated annotator on every fifth slice of the chest CT."""
    from training_backend.cli.demo import the_sample

    sample = the_sample()
    volume = read_image(sample.image)
    some, drawn = volume.array[:3], annotate(sample.reference[:3], every=1)
    growcut_near(some, drawn), growcut_as_it_is(some, drawn)  # the filters take seconds to load
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
    drawn, unseen = read_case_folder(root, TRAINED), read_case_folder(root, UNSEEN)
    others = tuple(replace(case, scribbles=None) for case in unseen.cases)
    for case in drawn.cases:
        yield from _growcut_rows(case, drawn.contract, ACDC, None)
    for seed in range(seeds):
        for budget in _shortened(ACDC_BUDGETS, longest):
            say(f"ACDC, seed {seed}: {budget:.0f} CPU seconds")
            yield from _trained_rows(drawn, budget, ACDC, seed, others)


def _growcut_rows(case: Case, contract: LabelContract, data: str, seed: int | None) -> Iterator[BenchRow]:
    assert case.scribbles is not None
    for method, grow in UNTRAINED.items():
        begun = time.process_time()
        grown = grow(case.image, case.scribbles)
        yield row(method, "scribbled", data, seed, case, Cost(None, time.process_time() - begun), grown, contract)


def _trained_rows(
    folder: CaseFolder, budget: float, data: str, seed: int, others: tuple[Case, ...] = ()
) -> Iterator[BenchRow]:
    contract = folder.contract
    cases = training_cases(folder, resolve("scribble"))
    with trained(OURS, contract, cases, budget, seed) as ours:
        for case, own in zip(folder.cases, cases, strict=True):
            alone = ours.model.predict(case.image, case.affine)
            yield row("scribble", "scribbled", data, seed, case, ours.cost, ours.shown[own.id], contract)
            yield row("scribble_alone", "scribbled", data, seed, case, ours.cost, alone, contract)
        for case in others:
            labels = ours.model.predict(case.image, case.affine)
            yield row("scribble", "unscribbled", data, seed, case, ours.cost, labels, contract)
    if not others:
        return
    with trained(DISTILLED, contract, cases, budget, seed) as distilled:
        for setting, own_cases in (("scribbled", folder.cases), ("unscribbled", others)):
            for case in own_cases:
                labels = distilled.model.predict(case.image, case.affine)
                yield row("growcut_distilled", setting, data, seed, case, distilled.cost, labels, contract)


def _shortened(budgets: tuple[float, ...], longest: float) -> tuple[float, ...]:
    return tuple(sorted({min(budget, longest) for budget in budgets}))

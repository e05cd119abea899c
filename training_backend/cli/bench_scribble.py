"""``kdseg bench scribble``: strokes to a student, against what is cheaper, what is published and what is possible.

Cases in file order: every fifth from the first carries scribbles (its own, or those of the simulated annotator),
every fifth from the third and from the fifth is tested and has none, the others take part as unlabelled cases
wherever a variant learns from them. ``scribbled``: the same volumes that carry the strokes.

growcut            ours on the scribbled volume: the strokes alone, no training
scribble           what a user is shown of a scribbled case; what the model predicts where nothing is drawn
scribble_alone     what the exported model makes of a scribbled case without any stroke
growcut_distilled  a student of plain grow-cut labels; the same network, views, steps and predictions
partial_ce         strokes alone teach, by cross-entropy
dmpls              two decoders label for each other what the strokes leave open (MICCAI 2022)
nnunet_partial     Dice and cross-entropy on strokes, strong augmentation, deep supervision
full_masks         complete labels of the same cases: the upper bound
without_...        ours with one term switched off; early_teacher: it speaks in the first minute already
paper              the preset that follows the publication
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from slicer_kdseg.protocol.digests import case_id
from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.method_settings import ScribbleSettings
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli.bench_rows import BenchRow, Cost, row
from training_backend.cli.bench_runs import Trained, Variant, trained, wanted
from training_backend.cli.train import training_cases
from training_backend.data.annotator import annotate
from training_backend.data.cases import Case
from training_backend.data.folder import CaseFolder, read_case_folder
from training_backend.data.growcut import growcut_near

BUDGETS = (60.0, 300.0)
EVERY = 5
TRAINED, TESTED = (0,), (2, 4)
STROKES_ONLY = {"first_teachers": "none", "correction": 0.0, "consult": 0.0, "unlabelled": 0.0}
OURS = Variant("scribble", "scribble")
DISTILLED = Variant(
    "growcut_distilled",
    "scribble",
    {"first_teachers": "growcut", "correction": 0.0, "consult": 0.0, "unlabelled": 0.0},
)
BASELINES = (
    DISTILLED,
    Variant("full_masks", "supervised", {"rotation": ScribbleSettings.turns_for_several, "held_out": 0.0}),
    Variant("dmpls", "scribble", STROKES_ONLY | {"target_ce": 0.0, "target_dice": 0.0, "second_decoder": 0.5}),
    Variant("nnunet_partial", "scribble", STROKES_ONLY | {"deep_supervision": 1.0, "augmentation": 1.5}),
    Variant("partial_ce", "scribble", STROKES_ONLY | {"target_ce": 0.0, "target_dice": 0.0, "partial_ce": 1.0}),
)
ABLATIONS = (
    Variant("without_votes", "scribble", {"first_teachers": "growcut"}),
    Variant("without_correction", "scribble", {"correction": 0.0}),
    Variant("without_unlabelled", "scribble", {"unlabelled": 0.0}),
    Variant("without_cut_mix", "scribble", {"cut_mix": False}),
    Variant("without_partial_ce", "scribble", {"partial_ce": 0.0}),
    Variant("early_teacher", "scribble", {"teacher_after": 0.0, "unlabelled_from": 0.6}),
    Variant("paper", "scribble", preset="paper"),
)
VARIANTS = (OURS, *BASELINES, *ABLATIONS)
MOST_TRAINED, MOST_OTHERS = 10, 20


@dataclass(frozen=True)
class Roles:
    """Who is scribbled, who is tested without strokes, and who takes part without any annotation."""

    scribbled: tuple[Case, ...]
    tested: tuple[Case, ...]
    unlabelled: tuple[Case, ...]


def rows(options: argparse.Namespace, say: Callable[[str], None]) -> Iterator[BenchRow]:
    """Grow-cut of every scribbled case, then for every seed and budget all variants in turn."""
    chosen = wanted("scribble", options.only, {"growcut", *(variant.name for variant in VARIANTS)})
    folder = read_case_folder(options.data)
    data = options.data.name
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        roles = roles_of(folder, seed)
        if "growcut" in chosen:
            yield from _growcut_rows(roles, folder, data, seed, seed == options.first_seed)
        for seconds in options.seconds or BUDGETS:
            for variant in VARIANTS:
                if variant.name in chosen:
                    say(f"{data}, seed {seed}, {seconds:.0f} s: {variant.name}")
                    yield from _rows_of(variant, roles, folder.contract, (data, seed, seconds, options.device))


def roles_of(folder: CaseFolder, seed: int) -> Roles:
    """By place in the folder, so that no patient is in two roles; strokes are simulated where none are there."""
    cases = [case for case in folder.cases if case.labels is not None]
    places: dict[str, list[Case]] = {"scribbled": [], "tested": [], "unlabelled": []}
    for place, case in enumerate(cases):
        turn = place % EVERY
        places["scribbled" if turn in TRAINED else "tested" if turn in TESTED else "unlabelled"].append(case)
    if not places["scribbled"] or not places["tested"]:
        raise BadRequest(f"The bench needs three cases with labels/ at least, the folder has {len(cases)}.")
    scribbled = [
        case if case.scribbles is not None else replace(case, scribbles=_simulated(case, seed))
        for case in places["scribbled"][:MOST_TRAINED]
    ]
    others = (
        [replace(case, scribbles=None) for case in places[name][:MOST_OTHERS]] for name in ("tested", "unlabelled")
    )
    return Roles(tuple(scribbled), *(tuple(own) for own in others))


def _simulated(case: Case, seed: int) -> np.ndarray:
    """Strokes on every fifth slice along the coarsest axis."""
    assert case.labels is not None
    return annotate(case.labels, seed, axis=int(np.argmax(case.spacing_mm)))


def _growcut_rows(roles: Roles, folder: CaseFolder, data: str, seed: int, first: bool) -> Iterator[BenchRow]:
    """Strokes that a person drew are the same for every seed: grown with the first one, and counted as of none."""
    from training_backend.jobs.loading import load

    load()
    drawn = {case.name for case in folder.cases if case.scribbles is not None}
    for case in roles.scribbled:
        if case.name in drawn and not first:
            continue
        assert case.scribbles is not None
        begun = time.process_time()
        grown = growcut_near(case.image, case.scribbles)
        cost = Cost(None, time.process_time() - begun)
        own_seed = None if case.name in drawn else seed
        yield row("growcut", "scribbled", data, own_seed, case, cost, grown, folder.contract)


def _rows_of(
    variant: Variant, roles: Roles, contract: LabelContract, run: tuple[str, int, float, str]
) -> Iterator[BenchRow]:
    """``run``: data, seed, budget in seconds, device."""
    data, seed, seconds, device = run
    dense = variant.method == "supervised"
    taught = [replace(case, scribbles=None) if dense else replace(case, labels=None) for case in roles.scribbled]
    waiting = [replace(case, labels=None) for case in roles.unlabelled]
    cases = training_cases(CaseFolder(contract, (*taught, *waiting)), resolve(variant.method, variant.preset))
    with trained(variant, contract, cases, seconds, seed, device) as own:
        yield from _scored(variant, roles, contract, own, (data, seed))
        for case in roles.tested:
            labels = own.model.predict(case.image, case.affine)
            yield row(variant.name, "unscribbled", data, seed, case, own.cost, labels, contract)


def _scored(
    variant: Variant, roles: Roles, contract: LabelContract, own: Trained, run: tuple[str, int]
) -> Iterator[BenchRow]:
    """The scribbled cases: of ours also what is shown, beside what the model makes of them alone."""
    for case in roles.scribbled:
        alone = own.model.predict(case.image, case.affine)
        if variant.name == OURS.name:
            shown = own.shown[case_id(case.image, case.affine)]
            yield row(OURS.name, "scribbled", *run, case, own.cost, shown, contract)
            yield row("scribble_alone", "scribbled", *run, case, own.cost, alone, contract)
        else:
            yield row(variant.name, "scribbled", *run, case, own.cost, alone, contract)

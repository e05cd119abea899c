"""``kdseg bench cross_modality``: two labelled targets and the other kind of image of the same and other patients.

``--data`` holds the targets, ``--assistant`` the other kind of image; one file name is one patient in both. Of the
patients in file order the first third is never tested, because the method was tuned there; seeds test the other
two thirds in turn. Two patients that are not tested are labelled targets, another two for every seed, the others
unlabelled ones; the assistants are all patients that are not tested, so no tested heart is known in any image.
Every row is given the same CPU seconds in all, a pair of nets as much as a single one.

cross_modality            the model that is exported, one net
cross_modality_ensemble   both students of the same run, mean of their probabilities
target_only               one net, the labelled targets alone
two_target_nets           two nets of the labelled targets alone, mean of their probabilities
joint                     one net of targets and assistants as they are, in turn
joint_aligned             the same on assistants of the targets' size and look
without_...               ours with one term switched off; ..._ensemble: both students of it
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli.assistant_cases import assistants_of
from training_backend.cli.bench_rows import BenchRow, row
from training_backend.cli.bench_runs import Trained, Variant, trained, wanted
from training_backend.cli.train import training_cases
from training_backend.data.cases import Case
from training_backend.data.folder import CaseFolder, read_case_folder
from training_backend.jobs.training_case import TrainingCase
from training_backend.methods.cross_modality import CrossModality

BUDGETS = (120.0,)
LABELLED = 2
METHOD = "cross_modality"
APART = {"synthetic_to_real": 0.0, "real_to_synthetic": 0.0, "share_labels": 0.0}
AS_THEY_ARE = {"alignment": "none", "match_size": False}


@dataclass(frozen=True)
class Row:
    """A run and the names of its rows: of the exported net (``single``) and of both nets (``pair``), empty for none."""

    single: str
    pair: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    assistants: bool = True


OURS = Row(METHOD, f"{METHOD}_ensemble")
BASELINES = (
    Row("target_only", settings={"students": "one", "unlabelled": False}, assistants=False),
    Row("joint", settings={"students": "one"} | AS_THEY_ARE),
    Row("joint_aligned", settings={"students": "one"}),
    Row("", "two_target_nets", APART | {"merge_from": 1.0, "unlabelled": False}, assistants=False),
)
ABLATIONS = (
    Row("without_alignment", "without_alignment_ensemble", AS_THEY_ARE),
    Row("without_s_to_r", "without_s_to_r_ensemble", {"synthetic_to_real": 0.0}),
    Row("without_r_to_s", "without_r_to_s_ensemble", {"real_to_synthetic": 0.0}),
    Row("without_shared_labels", "without_shared_labels_ensemble", {"share_labels": 0.0}),
    Row("without_unlabelled", "without_unlabelled_ensemble", {"unlabelled": False}),
    Row("without_merge", "without_merge_ensemble", {"merge_from": 1.0}),
)
RUNS = (OURS, *BASELINES, *ABLATIONS)


@dataclass(frozen=True)
class Roles:
    """Names of the patients: ``labelled`` and ``unlabelled`` targets, and those that are tested."""

    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]
    tested: tuple[str, ...]


def rows(options: argparse.Namespace, say: Callable[[str], None]) -> Iterator[BenchRow]:
    """For every seed and budget all runs in turn."""
    if options.assistant is None:
        raise BadRequest(
            "The bench 'cross_modality' needs --assistant with the case folder of the other kind of image."
        )
    chosen = wanted("cross_modality", options.only, {name for run in RUNS for name in (run.single, run.pair) if name})
    targets, others = read_case_folder(options.data), read_case_folder(options.assistant)
    names = sorted({case.name for case in targets.cases} & {case.name for case in others.cases})
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        roles = roles_of(names, seed)
        for seconds in options.seconds or BUDGETS:
            for run in RUNS:
                if {run.single, run.pair} & chosen:
                    say(f"{options.data.name}, seed {seed}, {seconds:.0f} s: {run.single or run.pair}")
                    yield from _rows_of(run, roles, (targets, others), (seed, seconds, options), say)


def roles_of(names: list[str], seed: int) -> Roles:
    """Patients by place: block 1 or 2 of three is tested, and of the rest one pair after another is labelled."""
    size = len(names) // 3
    if size < 1 or len(names) - size < LABELLED:
        raise BadRequest(f"The bench needs three patients with both kinds of image at least, there are {len(names)}.")
    block = 1 + seed % 2
    tested = names[block * size : (block + 1) * size]
    rest = [name for name in names if name not in tested]
    labelled = [rest[(LABELLED * seed + n) % len(rest)] for n in range(LABELLED)]
    return Roles(tuple(labelled), tuple(name for name in rest if name not in labelled), tuple(tested))


def material(run: Row, roles: Roles, targets: CaseFolder, others: CaseFolder) -> list[TrainingCase]:
    """The cases of a run: nothing of a tested patient, and no label of an unlabelled target."""
    by_name = {case.name: replace(case, scribbles=None) for case in targets.cases}
    own = [by_name[name] for name in roles.labelled]
    own += [replace(by_name[name], labels=None) for name in roles.unlabelled]
    cases = training_cases(CaseFolder(targets.contract, tuple(own)), resolve(METHOD, "fast", dict(run.settings)))
    if run.assistants:
        known = {*roles.labelled, *roles.unlabelled}
        folder = CaseFolder(others.contract, tuple(case for case in others.cases if case.name in known))
        cases += assistants_of(folder, targets.contract)
    return cases


def _rows_of(
    run: Row,
    roles: Roles,
    folders: tuple[CaseFolder, CaseFolder],
    how: tuple[int, float, argparse.Namespace],
    say: Callable[[str], None],
) -> Iterator[BenchRow]:
    """``how``: seed, budget in seconds, options."""
    seed, seconds, options = how
    targets = folders[0]
    variant = Variant(run.single or run.pair, METHOD, run.settings)
    with trained(variant, targets.contract, material(run, roles, *folders), seconds, seed, options.device) as own:
        for sentence in own.said:
            say(sentence)
        for case in (case for case in targets.cases if case.name in roles.tested):
            if run.single:
                labels = own.model.predict(case.image, case.affine)
                yield row(run.single, "unscribbled", options.data.name, seed, case, own.cost, labels, targets.contract)
            if run.pair:
                labels = _by_both(own, case, targets.contract)
                yield row(run.pair, "unscribbled", options.data.name, seed, case, own.cost, labels, targets.contract)


def _by_both(own: Trained, case: Case, contract: LabelContract) -> np.ndarray:
    """What both students together make of a case, (D, H, W) ids."""
    assert isinstance(own.method, CrossModality)
    preprocess = own.method.real.preprocess
    image = preprocess.image(case.image, case.spacing_mm).to(own.method.items.device)
    channels = preprocess.restore_labels(own.method.ensemble(image), case.image.shape)
    return np.array(contract.ids, np.uint8)[channels.cpu().numpy()]

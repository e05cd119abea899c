"""``kdseg bench one_shot``: one labelled case and many unlabelled ones, against carrying labels over and against the
one labelled case alone.

Cases in file order. Of ``MANY`` or more every second from the first may take part as unlabelled (``UNLABELLED_CASES``
of them), of the others the first ``ATLASES`` are atlases in turn, one a seed, and the rest are tested (``unseen``).
Of fewer cases the first ones are atlases in turn and all the others are unlabelled and tested (``transductive``:
their images, not their labels, have been learnt from).

registration        SimpleITK, affine and diffeomorphic demons; CPU seconds are those of one case
propagation         our own registration; CPU seconds are those of one case
one_shot            the fast preset; its budget holds the registrations too
one_shot_new_case   the same predictions; CPU seconds are those of one case
atlas_only          the labelled case in strongly changed views alone; no unlabelled case takes part
atlas_only_placed   the same, told the place in the image; helps where patients lie alike
without_waiting     unlabelled cases teach from the first step on, three batches of four
without_correction  what was carried over is believed to the end
with_synthetic      half of the unlabelled batches show the atlas in a mixture of their shapes
with_hint           the same with exact shapes and a frozen teacher of reconstruction
paper               the preset that follows the publication
full_masks          complete labels of the unlabelled cases: the upper bound, only where others are tested
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli.bench_rows import BenchRow, Cost, row
from training_backend.cli.bench_runs import Trained, Variant, trained, wanted
from training_backend.cli.registration_baseline import carried_by_demons
from training_backend.cli.train import training_cases
from training_backend.data.cases import Case
from training_backend.data.folder import CaseFolder, read_case_folder
from training_backend.data.preprocess import standardise

BUDGETS = (150.0,)
MANY, ATLASES, UNLABELLED_CASES = 60, 5, 40
SAME_NETWORK = {"levels": 4, "fine_level": True, "momentum": 0.99}
SAME_VIEWS = {"elastic": 0.06, "shading": 1.3, "several_scales": False, "held_out": 0.0, "coarse": 0.0}
SHAPES = {"synthetic": 0.5}
OURS = Variant("one_shot", "one_shot")
TRAINED = (
    OURS,
    Variant("atlas_only", "one_shot", {"registered": 0}),
    Variant("atlas_only_placed", "one_shot", {"registered": 0, "position": True}),
    Variant("without_waiting", "one_shot", {"believe_from": 0.0, "atlas_share": 0.25, "correction": 0.5}),
    Variant("without_correction", "one_shot", {"correction": 0.0}),
    Variant("with_synthetic", "one_shot", SHAPES),
    Variant("with_hint", "one_shot", SHAPES | {"hint": 1.0}),
    Variant("paper", "one_shot", preset="paper"),
    Variant("full_masks", "supervised", SAME_NETWORK | SAME_VIEWS),
)
CARRIED = ("registration", "propagation")


@dataclass(frozen=True)
class Roles:
    """``setting``: whether the tested cases are among the unlabelled ones."""

    atlas: Case
    unlabelled: tuple[Case, ...]
    tested: tuple[Case, ...]
    setting: str


def rows(options: argparse.Namespace, say: Callable[[str], None]) -> Iterator[BenchRow]:
    """For every seed, which is an atlas, what is carried over and then, for every budget, all variants in turn."""
    chosen = wanted("one_shot", options.only, {*CARRIED, *(variant.name for variant in TRAINED)})
    folder = read_case_folder(options.data)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        roles = split(folder, seed)
        for name, carry in (("registration", carried_by_demons), ("propagation", _propagated(folder.contract))):
            if name in chosen:
                say(f"{options.data.name}, atlas {roles.atlas.name}: {name}")
                yield from _carried(name, carry, roles, options.data.name, seed, folder.contract)
        for seconds in options.seconds or BUDGETS:
            for variant in TRAINED:
                if variant.name not in chosen or (variant.name == "full_masks" and roles.setting == "transductive"):
                    continue
                say(f"{options.data.name}, atlas {roles.atlas.name}, {seconds:.0f} s: {variant.name}")
                cases = training_cases(taught(folder, roles, variant), resolve(variant.method, variant.preset))
                with trained(variant, folder.contract, cases, seconds, seed, options.device) as own:
                    yield from _tested(variant, own, roles, options.data.name, seed, folder.contract)


def split(folder: CaseFolder, seed: int) -> Roles:
    """Who is who when case or atlas number ``seed`` is the labelled one."""
    cases = [replace(case, scribbles=None) for case in folder.cases if case.labels is not None]
    if len(cases) >= MANY:
        atlases, others = cases[1::2], cases[::2][:UNLABELLED_CASES]
        if seed >= ATLASES:
            raise BadRequest(f"The bench has {ATLASES} atlases, seeds 0 to {ATLASES - 1}; there is no seed {seed}.")
        return Roles(atlases[seed], _blank(others), tuple(atlases[ATLASES:]), "unseen")
    if not 1 < len(cases) > seed:
        raise BadRequest(f"The bench needs two cases with labels/ at least and an atlas a seed, it has {len(cases)}.")
    rest = tuple(case for place, case in enumerate(cases) if place != seed)
    return Roles(cases[seed], _blank(rest), rest, "transductive")


def taught(folder: CaseFolder, roles: Roles, variant: Variant) -> CaseFolder:
    """What ``variant`` may learn from: the labels of the atlas alone, except for the upper bound."""
    if variant.name == "full_masks":
        names = {case.name for case in roles.unlabelled}
        return CaseFolder(folder.contract, tuple(replace(c, scribbles=None) for c in folder.cases if c.name in names))
    others = () if variant.name == "atlas_only" else roles.unlabelled
    return CaseFolder(folder.contract, (roles.atlas, *others))


def _blank(cases: list[Case] | tuple[Case, ...]) -> tuple[Case, ...]:
    return tuple(replace(case, labels=None) for case in cases)


def _carried(
    name: str,
    carry: Callable[[Case, Case], np.ndarray],
    roles: Roles,
    data: str,
    seed: int,
    contract: LabelContract,
) -> Iterator[BenchRow]:
    for case in roles.tested:
        begun = time.process_time()
        labels = carry(roles.atlas, case)
        cost = Cost(None, time.process_time() - begun)
        yield row(name, roles.setting, data, seed, case, cost, labels, contract)


def _propagated(contract: LabelContract) -> Callable[[Case, Case], np.ndarray]:
    """Labels carried over by our own registration, at the resolution of the files."""
    from training_backend.data.items import hot
    from training_backend.data.registration import register

    ids = np.array(contract.ids, np.uint8)

    def carry(atlas: Case, case: Case) -> np.ndarray:
        assert atlas.labels is not None
        moving, fixed = (standardise(torch.from_numpy(own.image.astype(np.float32))) for own in (atlas, case))
        placement = register(moving, fixed, atlas.spacing_mm, case.spacing_mm)
        channels = torch.from_numpy(np.searchsorted(ids, atlas.labels).astype(np.int8))
        belief = hot(channels, len(ids))
        carried = placement.carry(belief, atlas.spacing_mm, case.image.shape, case.spacing_mm)
        return ids[carried.argmax(dim=0).numpy()]

    return carry


def _tested(
    variant: Variant, own: Trained, roles: Roles, data: str, seed: int, contract: LabelContract
) -> Iterator[BenchRow]:
    for case in roles.tested:
        begun = time.process_time()
        labels = own.model.predict(case.image, case.affine)
        taken = Cost(None, time.process_time() - begun)
        yield row(variant.name, roles.setting, data, seed, case, own.cost, labels, contract)
        if variant == OURS:
            new_case = row(f"{variant.name}_new_case", roles.setting, data, seed, case, taken, labels, contract)
            yield replace(new_case, budget=own.cost.budget)

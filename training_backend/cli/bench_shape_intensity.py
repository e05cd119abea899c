"""``kdseg bench shape_intensity``: trained on one scanner, tested there and elsewhere, with and without the teacher.

Cases of ``--data`` in file order: the first, second and fourth of every five are learnt from, the others are tested
(``unscribbled``). Every folder of ``--elsewhere`` is tested unchanged; its first four cases were looked at while the
method was tuned and are left out. All students have the same network, views and predictions.

shape_intensity     the fast preset: views with every class in a contrast of its own
without             no such views, as many steps as shape_intensity had in this seed and budget
distilled           a teacher of shape instead, which learns within the budget
distilled_views     both
weak_...            the same with weak random intensities
distilled_with_...  one decision about the teacher taken the other way; paper: the preset that follows the publication
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli.bench_rows import BenchRow, row
from training_backend.cli.bench_runs import Trained, Variant, trained, wanted
from training_backend.cli.train import training_cases
from training_backend.data.cases import Case
from training_backend.data.folder import CaseFolder, read_case_folder

BUDGETS = (150.0,)
EVERY = 5
TRAINED = (0, 1, 3)
TUNED_ON = 4
ALL_OF_IT: dict[str, Any] = {"held_out": 0.0, "release": 1.0}
PLAIN: dict[str, Any] = {"painted_views": 0.0}
DISTILLED: dict[str, Any] = PLAIN | {"feature": 4.0}
WEAK: dict[str, Any] = {"shading": 1.0}
OURS, WITHOUT = "shape_intensity", "without"
DIFFERENCES: dict[str, dict[str, Any]] = {
    OURS: {},
    WITHOUT: PLAIN,
    "distilled": DISTILLED,
    "distilled_views": {"feature": 4.0},
    "weak_shape_intensity": WEAK,
    "weak_without": WEAK | PLAIN,
    "weak_distilled": WEAK | DISTILLED,
    "distilled_with_inheritance": DISTILLED | {"inherit": True},
    "distilled_with_inheritance_alone": PLAIN | {"inherit": True},
    "distilled_with_lasting_hints": DISTILLED | {"fade": 1.0},
    "distilled_with_weight_1": DISTILLED | {"feature": 1.0},
    "distilled_with_weight_16": DISTILLED | {"feature": 16.0},
    "distilled_with_raw_maps": DISTILLED | {"standardised": False},
    "distilled_with_last_map": DISTILLED | {"all_maps": False},
    "distilled_with_class_means": DISTILLED | {"paint": "means"},
    "distilled_with_no_skips": DISTILLED | {"teacher_skips": False},
    "distilled_with_no_gate": DISTILLED | {"teacher_skips": False, "gate": 0.0},
}
VARIANTS = (
    *(Variant(name, "shape_intensity", ALL_OF_IT | own) for name, own in DIFFERENCES.items()),
    Variant("paper", "shape_intensity", ALL_OF_IT, "paper"),
)


def rows(options: argparse.Namespace, say: Callable[[str], None]) -> Iterator[BenchRow]:
    """For every seed and budget all variants in turn."""
    chosen = _chosen(options.only)
    folder = read_case_folder(options.data)
    taught, held_out = split(folder)
    tested = {options.data.name: held_out}
    tested |= {place.name: read_case_folder(place).cases[TUNED_ON:] for place in options.elsewhere}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for seconds in options.seconds or BUDGETS:
            steps = 0
            for variant in VARIANTS:
                if variant.name not in chosen:
                    continue
                if variant.name == WITHOUT:
                    variant = replace(variant, settings={**variant.settings, "steps": steps})
                say(f"{options.data.name}, seed {seed}, {seconds:.0f} s: {variant.name}")
                cases = training_cases(CaseFolder(folder.contract, taught), resolve(variant.method, variant.preset))
                with trained(variant, folder.contract, cases, seconds, seed, options.device) as own:
                    steps = student_steps(own) if variant.name == OURS else steps
                    say(" ".join([f"{student_steps(own)} steps of the student.", str(own.method.notes), *own.said]))
                    for name, others in tested.items():
                        for case in others:
                            labels = own.model.predict(case.image, case.affine)
                            yield row(variant.name, "unscribbled", name, seed, case, own.cost, labels, folder.contract)


def split(folder: CaseFolder) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Cases to learn from and cases to be tested on, by place in the folder."""
    cases = [replace(case, scribbles=None) for case in folder.cases if case.labels is not None]
    taught = tuple(case for place, case in enumerate(cases) if place % EVERY in TRAINED)
    tested = tuple(case for place, case in enumerate(cases) if place % EVERY not in TRAINED)
    if not tested:
        raise BadRequest(f"The bench needs three cases with labels/ at least, the folder has {len(cases)}.")
    return taught, tested


def student_steps(own: Trained) -> int:
    """How many steps the student has made, as its optimiser counts them."""
    return int(next(iter(own.method.learner.optimizer.state.values()))["step"])


def _chosen(only: list[str] | None) -> set[str]:
    found = wanted("shape_intensity", only, {variant.name for variant in VARIANTS})
    if only and WITHOUT in only and OURS not in only:
        raise BadRequest(f"The row '{WITHOUT}' has the steps of '{OURS}'; give --only {OURS} too.")
    return found

"""``kdseg bench shape_intensity``: trained on one scanner, tested there and elsewhere, with and without the teacher.

Cases of ``--data`` in file order: the first, second and fourth of every five are learnt from, the others are tested
(``unscribbled``). Every folder of ``--elsewhere`` is tested unchanged; its first four cases were looked at while the
method was tuned and are left out.

shape_intensity    the fast preset
without            the same network, views and budget without the teacher; its seconds go to the student
without_views      the teacher, but no view in contrasts of its own
strong             neither: strong random intensities alone
weak_...           the pair of the first two with weak random intensities and no view in contrasts of its own
with_...           one decision of the teacher taken the other way; paper: the preset that follows the publication
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace

from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli.bench_rows import BenchRow, row
from training_backend.cli.bench_runs import Variant, trained
from training_backend.cli.train import training_cases
from training_backend.data.cases import Case
from training_backend.data.folder import CaseFolder, read_case_folder

BUDGETS = (120.0,)
EVERY = 5
TRAINED = (0, 1, 3)
TUNED_ON = 4
NO_TEACHER = {"feature": 0.0, "inherit": False}
NO_VIEWS = {"painted_views": 0.0}
WEAK = NO_VIEWS | {"shading": 1.0}
PAIR = (Variant("shape_intensity", "shape_intensity"), Variant("without", "shape_intensity", NO_TEACHER))
RIVALS = (
    Variant("without_views", "shape_intensity", NO_VIEWS),
    Variant("strong", "shape_intensity", NO_VIEWS | NO_TEACHER),
    Variant("weak_shape_intensity", "shape_intensity", WEAK),
    Variant("weak_without", "shape_intensity", WEAK | NO_TEACHER),
)
ABLATIONS = (
    Variant("with_inheritance_only", "shape_intensity", {"feature": 0.0}),
    Variant("with_hints_only", "shape_intensity", {"inherit": False}),
    Variant("with_feature_0.5", "shape_intensity", {"feature": 0.5}),
    Variant("with_feature_8", "shape_intensity", {"feature": 8.0}),
    Variant("with_raw_maps", "shape_intensity", {"standardised": False}),
    Variant("with_last_map", "shape_intensity", {"all_maps": False}),
    Variant("with_class_means", "shape_intensity", {"paint": "means"}),
    Variant("with_no_skips", "shape_intensity", {"teacher_skips": False}),
    Variant("with_no_gate", "shape_intensity", {"teacher_skips": False, "gate": 0.0}),
    Variant("paper", "shape_intensity", preset="paper"),
)
VARIANTS = (*PAIR, *RIVALS, *ABLATIONS)


def rows(options: argparse.Namespace, say: Callable[[str], None]) -> Iterator[BenchRow]:
    """For every seed and budget all variants in turn."""
    chosen = _chosen(options.only)
    folder = read_case_folder(options.data)
    taught, held_out = split(folder)
    tested = {options.data.name: held_out}
    tested |= {place.name: read_case_folder(place).cases[TUNED_ON:] for place in options.elsewhere}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for seconds in options.seconds or BUDGETS:
            for variant in VARIANTS:
                if variant.name not in chosen:
                    continue
                say(f"{options.data.name}, seed {seed}, {seconds:.0f} s: {variant.name}")
                cases = training_cases(CaseFolder(folder.contract, taught), resolve(variant.method, variant.preset))
                with trained(variant, folder.contract, cases, seconds, seed, options.device) as own:
                    for sentence in own.said:
                        say(sentence)
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


def _chosen(only: list[str] | None) -> set[str]:
    known = {variant.name for variant in VARIANTS}
    strange = sorted(set(only or []) - known)
    if strange:
        raise BadRequest(f"The bench 'shape_intensity' has no row {strange[0]!r}; it has {', '.join(sorted(known))}.")
    return set(only or known)

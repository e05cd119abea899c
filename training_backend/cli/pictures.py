"""``kdseg pictures --out DIR``: the pictures of the README, one a method, made by training each of them once.

Scribbles on the chest CT of the slicerio package; the others on phantoms made by code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from slicer_kdseg.protocol.digests import case_id
from slicer_kdseg.protocol.labels import UNLABELLED, LabelContract
from training_backend.cli.bench_runs import Variant, trained
from training_backend.cli.results_folder import writable
from training_backend.data.annotator import annotate
from training_backend.data.cases import as_read, read_image
from training_backend.data.growcut import growcut
from training_backend.data.items import hot
from training_backend.data.phantom import CONTRACT, OTHER_MEANS, SCANNER_MEANS, phantom
from training_backend.data.recontrast import draw_contrasts, recontrasted
from training_backend.report.pictures import Panel, side_by_side

if TYPE_CHECKING:
    from slicer_kdseg.protocol.messages import AnnotationKind, CaseRole
    from training_backend.jobs.training_case import TrainingCase

SHAPE = (12, 96, 96)
SLICE = 6
SPACING = (1.0, 1.0)
AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])
CT_SLICE = 17
Drawn = tuple[list[Panel], LabelContract, tuple[float, float]]


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("pictures", help="draw the pictures of the README")
    parser.add_argument("--out", type=Path, default=Path("Resources/Screenshots"), metavar="DIR")
    parser.add_argument("--seconds", type=float, default=100.0, help="CPU seconds of training for each picture")
    parser.add_argument("--only", choices=sorted(PICTURES), action="append")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    writable(options.out)
    for method in options.only or PICTURES:
        print(f"{method} ...", flush=True)
        panels, contract, spacing_mm = PICTURES[method](options.seconds)
        (options.out / f"method_{method}.png").write_bytes(side_by_side(panels, contract, spacing_mm))
    print(f"The pictures are in {options.out}.")
    return 0


def of_scribble(seconds: float) -> Drawn:
    from training_backend.cli.demo import the_sample

    sample = the_sample()
    volume = read_image(sample.image)
    strokes = annotate(sample.reference)
    case = _case("chest", volume.array, strokes, volume.affine, "scribble")
    grown = growcut(volume.array, strokes)
    with trained(Variant("scribble", "scribble"), sample.contract, [case], seconds, 0) as ours:
        shown = ours.shown[case.id]
    image, strokes, grown, shown, reference = (
        as_read(array, volume.affine) for array in (volume.array, strokes, grown, shown, sample.reference)
    )
    drawn = min(np.flatnonzero((strokes != UNLABELLED).any(axis=(1, 2))), key=lambda z: abs(z - CT_SLICE))
    panels = [
        Panel("a few strokes on some slices", image[drawn], strokes[drawn], strokes=True),
        Panel("at once: grow-cut", image[CT_SLICE], grown[CT_SLICE]),
        Panel("the student, a minute later", image[CT_SLICE], shown[CT_SLICE]),
        Panel("reference", image[CT_SLICE], reference[CT_SLICE]),
    ]
    return panels, sample.contract, SPACING


def of_one_shot(seconds: float) -> Drawn:
    image, labels = phantom(SHAPE, seed=0)
    atlas = _case("atlas", image, labels)
    others = [_unlabelled(seed) for seed in range(1, 5)]
    with trained(Variant("one_shot", "one_shot"), CONTRACT, [atlas, *others], seconds, 0) as ours:
        carried, learnt = ours.first[others[0].id], ours.shown[others[0].id]
    other = others[0].image[SLICE]
    panels = [
        Panel("one labelled case", image[SLICE], labels[SLICE]),
        Panel("another case, unlabelled", other),
        Panel("at once: labels carried over", other, carried[SLICE]),
        Panel("the student", other, learnt[SLICE]),
    ]
    return panels, CONTRACT, SPACING


def of_shape_intensity(seconds: float) -> Drawn:
    cases = [_case(f"case {seed}", *phantom(SHAPE, seed=seed)) for seed in range(4)]
    image, labels = cases[0].image, cases[0].annotation
    stranger, _ = phantom(SHAPE, seed=9, means=SCANNER_MEANS)
    target = hot(torch.from_numpy(labels.astype(np.int8)), len(CONTRACT.ids))[None]
    contrasts = draw_contrasts(1, len(CONTRACT.ids), 3, 1.0, torch.Generator().manual_seed(0))
    again = recontrasted(torch.from_numpy(image)[None, None], target, contrasts)[0, 0].numpy()
    with trained(Variant("shape_intensity", "shape_intensity"), CONTRACT, cases, seconds, 0) as ours:
        said = ours.model.predict(stranger, AFFINE)
    panels = [
        Panel("several labelled cases", image[SLICE], labels[SLICE]),
        Panel("the same in another contrast", again[SLICE]),
        Panel("another scanner, never seen", stranger[SLICE]),
        Panel("the student there", stranger[SLICE], said[SLICE]),
    ]
    return panels, CONTRACT, SPACING


def of_cross_modality(seconds: float) -> Drawn:
    image, labels = phantom(SHAPE, seed=0)
    target = _case("target", image, labels)
    assistants = [
        _case(f"assistant {seed}", *phantom(SHAPE, seed=seed, means=OTHER_MEANS), role="assistant")
        for seed in range(1, 5)
    ]
    other, _ = phantom(SHAPE, seed=9)
    with trained(Variant("cross_modality", "cross_modality"), CONTRACT, [target, *assistants], seconds, 0) as ours:
        said = ours.model.predict(other, AFFINE)
    panels = [
        Panel("one labelled case", image[SLICE], labels[SLICE]),
        Panel("and labelled ones of another kind", assistants[0].image[SLICE], assistants[0].annotation[SLICE]),
        Panel("a new case of the first kind", other[SLICE]),
        Panel("the student there", other[SLICE], said[SLICE]),
    ]
    return panels, CONTRACT, SPACING


PICTURES: dict[str, Callable[[float], Drawn]] = {
    "scribble": of_scribble,
    "one_shot": of_one_shot,
    "shape_intensity": of_shape_intensity,
    "cross_modality": of_cross_modality,
}


def _case(
    name: str,
    image: np.ndarray,
    labels: np.ndarray,
    affine: np.ndarray = AFFINE,
    kind: AnnotationKind = "dense",
    role: CaseRole = "target",
) -> TrainingCase:
    from training_backend.jobs.training_case import TrainingCase

    return TrainingCase(case_id(image, affine), name, image, affine, kind, 1, labels, role=role)


def _unlabelled(seed: int) -> TrainingCase:
    image, labels = phantom(SHAPE, seed=seed)
    return _case(f"case {seed}", image, np.full_like(labels, UNLABELLED))

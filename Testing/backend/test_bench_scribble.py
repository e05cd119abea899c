"""What the scribble bench compares: no patient in two roles, every row on the same cases, unknown rows refused."""

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest

from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli import bench_scribble
from training_backend.cli.bench_scribble import VARIANTS, _rows_of, roles_of, rows
from training_backend.data.cases import Case
from training_backend.data.folder import CaseFolder
from training_backend.data.phantom import CONTRACT, phantom

AFFINE = np.diag([1.0, 1.0, 6.0, 1.0])
SMALL = {"channels": 4, "levels": 3, "batch": 2, "slice_size": 48, "steps": 3}


def a_folder(count: int) -> CaseFolder:
    pairs = [phantom((8, 48, 48), seed=number) for number in range(count)]
    cases = [Case(f"p{n}", image, AFFINE, None, labels) for n, (image, labels) in enumerate(pairs)]
    return CaseFolder(CONTRACT, tuple(cases))


def test_no_patient_is_in_two_roles_and_only_the_trained_carry_strokes():
    roles = roles_of(a_folder(10), seed=0)
    groups = [{case.name for case in own} for own in (roles.scribbled, roles.tested, roles.unlabelled)]
    assert groups == [{"p0", "p5"}, {"p2", "p4", "p7", "p9"}, {"p1", "p3", "p6", "p8"}]
    assert all((case.scribbles != UNLABELLED).any() for case in roles.scribbled)
    assert all(case.scribbles is None for case in (*roles.tested, *roles.unlabelled))


def test_simulated_strokes_differ_between_seeds_and_repeat():
    folder = a_folder(3)
    first, again, other = (roles_of(folder, seed).scribbled[0].scribbles for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_variant_is_a_list_of_settings_that_exist():
    for variant in VARIANTS:
        resolve(variant.method, variant.preset, dict(variant.settings))
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)


def test_an_unknown_row_is_refused(tmp_path):
    options = Namespace(only=["scribbel"], data=tmp_path, seeds=1, seconds=[1.0], device="cpu")
    with pytest.raises(BadRequest, match="no row 'scribbel'"):
        list(rows(options, lambda sentence: None))


def test_growcut_of_drawn_strokes_is_measured_once_and_of_simulated_ones_with_every_seed(monkeypatch, tmp_path):
    simulated = a_folder(6)  # the first and the sixth case are scribbled
    drawn = replace(simulated.cases[0], scribbles=roles_of(simulated, 0).scribbled[0].scribbles)
    folder = replace(simulated, cases=(drawn, *simulated.cases[1:]))
    monkeypatch.setattr(bench_scribble, "read_case_folder", lambda _: folder)
    options = Namespace(only=["growcut"], data=tmp_path, seeds=2, first_seed=3, seconds=[1.0], device="cpu")
    found = [(own.case, own.seed) for own in rows(options, lambda sentence: None)]
    assert found == [("p0", None), ("p5", 3), ("p5", 4)]


@pytest.mark.parametrize("name", [variant.name for variant in VARIANTS])
def test_every_variant_segments_the_same_cases(name):
    variant = next(own for own in VARIANTS if own.name == name)
    small = replace(variant, settings={**variant.settings, **SMALL})
    roles = roles_of(a_folder(3), seed=0)
    found = list(_rows_of(small, roles, CONTRACT, ("phantoms", 0, 1.0, "cpu")))
    settings = {(own.case, own.setting) for own in found}
    assert settings == {("p0", "scribbled"), ("p2", "unscribbled")}
    assert {own.method for own in found} == ({"scribble", "scribble_alone"} if name == "scribble" else {name})

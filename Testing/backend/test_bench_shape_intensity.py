"""The roles of the shape_intensity bench: nobody is trained on and tested, and no row stands for another."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli.bench_shape_intensity import VARIANTS, rows, split
from training_backend.data.cases import Case
from training_backend.data.folder import CaseFolder
from training_backend.data.phantom import CONTRACT, phantom


def a_folder(count: int) -> CaseFolder:
    image, labels = phantom((6, 16, 16))
    case = Case("", image, np.eye(4), labels, labels, Path("case.nii.gz"))
    return CaseFolder(CONTRACT, tuple(replace(case, name=f"case{place}") for place in range(count)))


def test_three_of_five_are_learnt_from_and_nobody_is_in_both_parts():
    taught, tested = split(a_folder(10))
    assert [case.name for case in taught] == ["case0", "case1", "case3", "case5", "case6", "case8"]
    assert [case.name for case in tested] == ["case2", "case4", "case7", "case9"]
    assert all(case.scribbles is None for case in (*taught, *tested))


def test_too_few_cases_are_refused_with_their_number():
    with pytest.raises(BadRequest, match="the folder has 2"):
        split(a_folder(2))


@pytest.mark.parametrize("only", [["magic"], ["without"]], ids=["unknown", "half of a pair"])
def test_a_row_that_cannot_be_measured_is_refused_before_anything_is_read(only):
    options = Namespace(only=only, data=Path("nowhere"), elsewhere=[], seeds=1, first_seed=0, seconds=[], device="cpu")
    with pytest.raises(BadRequest, match=only[0]):
        next(rows(options, print))


def test_every_variant_has_settings_that_exist_and_rivals_have_no_teacher():
    settings = {own.name: resolve(own.method, own.preset, dict(own.settings)) for own in VARIANTS}
    without = [name for name, own in settings.items() if own.feature == 0 and not own.inherit]
    assert without == ["shape_intensity", "without", "weak_shape_intensity", "weak_without"]
    assert [name for name in without if settings[name].painted_views] == ["shape_intensity", "weak_shape_intensity"]
    assert not settings["distilled"].painted_views
    assert settings["paper"].paint == "means"

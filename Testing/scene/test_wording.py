from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from slicer_kdseg.protocol.messages import HeldOut
from slicer_kdseg.scene.wording import quality, verdicts


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["open"], "0 of 1 case has a verdict."),
        (["accepted"], "1 of 1 case has a verdict."),
        (["open", "rejected", "open"], "1 of 3 cases has a verdict."),
        (["open", "rejected", "accepted"], "2 of 3 cases have a verdict."),
    ],
)
def test_verdicts_are_counted_as_a_person_counts(given: list[str], sentence: str) -> None:
    cases: list[Any] = [SimpleNamespace(verdict=verdict) for verdict in given]
    assert verdicts(cases) == sentence


def test_a_training_on_strokes_that_kept_none_aside_says_what_to_do() -> None:
    nothing = HeldOut(2, {}, {}, 0.0, 0.0)
    assert "draw on more slices" in quality(nothing, of_strokes=True)
    assert quality(nothing) == ""

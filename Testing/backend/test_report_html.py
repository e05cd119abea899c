"""The report a clinician reads: sentences, pictures and tables from one story; numbers that match."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from training_backend.data.annotator import annotate, correct
from training_backend.data.phantom import CONTRACT, phantom
from training_backend.report.html import write_report
from training_backend.report.metrics import Scores, score
from training_backend.report.pictures import most_unsure_slices, picture_colors
from training_backend.report.story import CorrectionMade, HeldOutPoint, Looks, LossPoint, Row, Story
from training_backend.report.words import how_good, where_to_look

SPACING = (3.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def a_story() -> Story:
    image, truth = phantom((12, 40, 40))
    preview = np.roll(truth, 3, axis=1)
    strokes = annotate(truth)
    correction = correct(truth, preview, strokes)
    uncertainty = np.where(preview != truth, 200, 0).astype(np.uint8)
    scored = {name: score(labels, truth, SPACING, (1, 2, 3)) for name, labels in (("rolled", preview), ("true", truth))}
    return Story(
        title="A phantom <ball>",
        subject="a phantom",
        contract=CONTRACT,
        looks=Looks(image, SPACING, preview, truth, truth, strokes, correction.strokes, uncertainty),
        first_preview=Row("first preview", scored["rolled"], 1.0),
        growcut=Row("grow-cut from the final strokes", scored["rolled"]),
        previews=(Row("student preview", scored["rolled"], 20.0),),
        student=Row("student at the end", scored["true"], 60.0, "What is shown: <the student>."),
        model=Row("the saved model alone", scored["rolled"], meaning="What is taken away."),
        correction=CorrectionMade("rod", correction.slices, 4, 30.0, 0.3, 1.0),
        first_preview_seconds=1.0,
        total_seconds=61.0,
        losses=tuple(LossPoint(float(t), {"partial_cross_entropy": 1 / (1 + t)}) for t in range(5)),
        held_out=(HeldOutPoint(5.0, 0.5, 0.6), HeldOutPoint(20.0, 0.9, 0.6)),
    )


def test_the_page_needs_nothing_beside_it_and_reads_from_words_to_tables(a_story, tmp_path):
    page = write_report(tmp_path, a_story).read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "A phantom &lt;ball&gt;" in page
    assert page.index("What was done") < page.index("<img") < page.index("<table")
    assert page.index("What is shown: &lt;the student&gt;.") < page.index("<table")
    assert "prefers-color-scheme: dark" in page
    assert page.count("currentColor") > 10
    assert {"before_and_after.png", "unsure.png", "held_out.svg"} <= {p.name for p in (tmp_path / "pictures").iterdir()}


def test_the_numbers_hold_the_promised_keys(a_story, tmp_path):
    write_report(tmp_path, a_story)
    numbers = json.loads((tmp_path / "report.json").read_text())
    assert set(numbers["dice"]) == {"first_preview", "growcut", "student", "model_alone"}
    assert numbers["dice"]["student"] == {"ball": 1.0, "shell": 1.0, "rod": 1.0, "mean": 1.0}
    assert numbers["seconds"] == {"first_preview": 1.0, "total": 61.0}
    assert numbers["correction"]["class"] == "rod"
    assert numbers["correction"]["before"] < numbers["correction"]["after"]
    assert [row["name"] for row in numbers["rows"]][-1] == "student at the end"


def test_the_words_do_not_praise_what_is_not_better(a_story):
    assert "better than grow-cut" in " ".join(how_good(a_story))
    worse = replace(a_story, student=a_story.growcut)
    assert "no better than grow-cut" in " ".join(how_good(worse))
    sunk = replace(a_story, correction=replace(a_story.correction, after=0.2))
    assert "did not rise" in " ".join(how_good(sunk))


def test_a_story_without_reference_or_uncertainty_is_still_told(a_story, tmp_path):
    looks = replace(a_story.looks, reference=None, uncertainty=None)
    empty = Row("student at the end", Scores({}, (1, 2, 3), 1.0))
    write_report(tmp_path, replace(a_story, looks=looks, student=empty, correction=None, held_out=(), losses=()))
    assert json.loads((tmp_path / "report.json").read_text())["dice"]["student"] == {"mean": None}
    assert where_to_look(replace(a_story, looks=looks))


def test_unsure_slices_are_the_worst_and_not_neighbours():
    uncertainty = np.zeros((9, 4, 4), np.uint8)
    uncertainty[4], uncertainty[5], uncertainty[8], uncertainty[1] = 200, 190, 50, 100
    assert most_unsure_slices(uncertainty) == (1, 4, 8)


def test_colours_that_look_alike_are_told_apart():
    alike = replace(CONTRACT, classes=tuple(replace(c, color=(0.9, 0.9, 0.8)) for c in CONTRACT.classes))
    colors = picture_colors(alike)
    assert np.linalg.norm(np.subtract(colors[1], colors[2])) > 0.5
    assert picture_colors(CONTRACT)[1] == CONTRACT.by_id(1).color

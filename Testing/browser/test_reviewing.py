"""The tab Review: verdicts by keys, a correction on a copy, what has changed, notes, models and rolling back."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from Testing.browser.conftest import COUNTING, Served, User

CASE = "space.review.reviewed[0]"
NOTE = (
    "too small at the apex and at the base, the wall between both ventricles is cut, and the papillary muscles are in"
)


@pytest.mark.slow
def test_a_reader_corrects_and_rolls_back(
    serve: Callable[..., Served], visit: Callable[..., User], tmp_path: Path
) -> None:
    served = serve(*COUNTING)
    user = visit(served)
    user.open_sample()
    user.stroke(1, (0.35, 0.45), (0.45, 0.50))
    user.click("Add class")
    user.stroke(2, (0.48, 0.40), (0.54, 0.44))
    user.choose_class("background")
    user.stroke(0, (0.45, 0.80), (0.56, 0.80))
    drawn = served.ask("session.annotation.read().counts")
    for models in (1, 2):
        user.tab("Train")
        user.click("Train")
        served.until("session.state.phase == 'training' and session.state.preview_source == 'student'")
        user.click("Stop")
        served.until(f"session.state.phase == 'annotating' and len(session.state.models) == {models}")

    user.tab("Review")
    served.until("space.review.shown.chosen")
    assert not served.ask("session.annotation.node.GetDisplayNode().GetVisibility()")  # strokes would hide the result
    user.page.keyboard.press("p")  # nothing is drawn in before Correct, least of all the hidden strokes
    user.sees(re.compile("There is nothing to draw in now"))
    user.page.keyboard.press("Alt+c")
    served.until(f"{CASE}.verdict == 'corrected' and space.tools.shown.tool == 'paint'")
    before = served.ask(f"voxels({CASE}.volume, {CASE}.reviewed)['count']")
    user.drag((0.40, 0.30), (0.60, 0.30))
    served.until(f"voxels({CASE}.volume, {CASE}.reviewed)['count'] > {before}")
    assert served.ask(f"voxels({CASE}.volume, {CASE}.prediction)['count']") == before
    served.until("any(int(row.changed) > 0 for row in space.review.shown.differences)")
    user.page.keyboard.press("2")
    served.until("space.tools.shown.name == 'class 2'")
    user.click("Class that is drawn: class 2")
    user.page.locator(".v-overlay--active").get_by_text("class 1", exact=True).click()
    served.until("space.tools.shown.name == 'class 1'")
    user.page.locator(".v-menu.v-overlay--active").wait_for(state="hidden")
    user.page.keyboard.press("2")
    served.until("space.tools.shown.name == 'class 2'")
    user.drag((0.40, 0.35), (0.60, 0.35))
    served.until("any(row.name == 'class 2' and int(row.changed) > 0 for row in space.review.shown.differences)")
    user.page.get_by_label("Note").fill(NOTE)
    user.page.get_by_label("Note").press("Enter")
    served.until(f"{CASE}.note == {NOTE!r}")
    user.sees(re.compile(NOTE))
    verdict = user.page.locator(".kdseg-case .v-chip")
    assert verdict.evaluate("chip => chip.scrollWidth <= chip.clientWidth")  # a long note leaves it its place
    assert user.page.locator(".kdseg-two-lines").evaluate("note => note.scrollHeight > note.clientHeight")
    user.shot("corrected")
    user.page.keyboard.press("Alt+r")
    served.until(f"{CASE}.verdict == 'rejected'")
    user.sees("1 of 1 case has a verdict.")
    report = user.download("Review report (CSV, HTML)", tmp_path)
    table = zipfile.ZipFile(report).read("kdseg_review/kdseg_review.csv").decode()
    assert re.search(f"rejected.*{NOTE}", table)

    assert served.ask("session.state.current_model") == 2
    user.page.get_by_role("button", name="Make model 1 current").click()
    served.until("session.state.current_model == 1")
    user.shot("rolled-back")
    user.tab("Annotate")
    served.until("session.annotation.node.GetDisplayNode().GetVisibility()")
    assert served.ask("session.annotation.read().counts") == drawn

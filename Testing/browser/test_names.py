"""Every control has a name that a screen reader says, in every tab, menu and dialog, and the keyboard reaches it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from Testing.browser.conftest import COUNTING, Served, User
from Testing.browser.test_files import SAMPLE

TABS = ("Annotate", "Train", "Review")
WITHOUT_A_NAME = """() => {
  const controls = "button, input:not([type=file]), select, textarea, a[href], [tabindex='0'], [role=button],"
    + " [role=slider], [role=checkbox], [role=tab], [role=combobox], [role=option], [role=menuitem]";
  const text = (id) => document.getElementById(id)?.textContent || "";
  const name = (element) => [
    element.getAttribute("aria-label"),
    (element.getAttribute("aria-labelledby") || "").split(" ").map(text).join(" "),
    [...(element.labels || [])].map((label) => label.textContent).join(" "),
    element.textContent,
  ].join(" ").trim();
  const seen = [...document.querySelectorAll(controls)].filter(
    (element) => element.checkVisibility() && !element.closest("[aria-hidden=true]"));
  return [seen.length, seen.filter((element) => !name(element)).map((element) => element.outerHTML.slice(0, 300))];
}"""


def all_named(user: User, at_least: int) -> None:
    count, nameless = user.page.evaluate(WITHOUT_A_NAME)
    assert not nameless
    assert count >= at_least


@pytest.mark.slow
def test_the_keyboard_reaches_what_the_mouse_does(serve: Callable[..., Served], visit: Callable[..., User]) -> None:
    served = serve()
    user = visit(served)
    user.open_sample()
    user.click("Add class")
    expect(user.page.locator('[data-class="class 2"] .kdseg-name')).to_be_focused()
    drawn = user.page.get_by_role("button", name="Draw class 1: no stroke yet")
    drawn.focus()
    user.page.keyboard.press("Tab")
    user.page.keyboard.press("Shift+Tab")
    assert drawn.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    user.page.keyboard.press("Enter")
    served.until("space.tools.shown.name == 'class 1'")


@pytest.mark.slow
def test_classes_have_names_of_their_own(serve: Callable[..., Served], visit: Callable[..., User]) -> None:
    served = serve()
    user = visit(served)
    user.open_sample()
    user.rename("class 1", "class 2")
    user.click("Add class")
    field = user.page.locator('[data-class="class 3"] .kdseg-name')
    expect(field).to_be_focused()
    for refused, words in (("  ", "A class needs a name"), ("Class 2", "Another class is called 'Class 2' already")):
        field.fill(refused)
        field.press("Enter")
        user.sees(re.compile(words))
        expect(field).to_have_value("class 3")
        user.shot(words[:7])
    user.rename("class 3", "heart")
    expect(user.page.get_by_role("alert")).to_have_count(0)
    assert served.ask("[row.name for row in space.annotate.shown.classes]") == ["background", "class 2", "heart"]

    names = ["liver", "spleen", "left kidney", "right kidney", "pancreas", "stomach", "aorta", "bladder", "spine"]
    for name in names:  # added, written and entered, without looking for the row
        user.click("Add class")
        expect(user.page.locator(".kdseg-class:last-child .kdseg-name")).to_be_focused()
        user.page.keyboard.type(name)
        user.page.keyboard.press("Enter")
        user.page.locator(f'[data-class="{name}"]').wait_for()
    expect(user.page.locator('[data-class="spine"]')).to_be_in_viewport(ratio=1)
    expect(user.page.get_by_label("Add background where it is safe")).to_be_in_viewport(ratio=1)
    user.page.keyboard.press("e")  # the name is entered, and a key is a key again
    served.until("space.tools.shown.tool == 'erase'")
    user.shot("twelve")
    user.click("Light or dark")
    user.page.mouse.move(5, 5)
    user.shot("light")


@pytest.mark.slow
def test_every_control_has_a_name(serve: Callable[..., Served], visit: Callable[..., User], tmp_path: Path) -> None:
    served = serve(*COUNTING)
    user = visit(served)
    keyboard = user.page.keyboard
    for tab in TABS:
        user.tab(tab)
        all_named(user, 15)
    user.tab("Annotate")
    user.open_sample()
    user.click("Add class")
    all_named(user, 25)
    user.click("a finished segmentation")
    user.sees("Segmentation")
    all_named(user, 25)
    user.click("a few strokes")

    for menu in ("Open", "Download", "Class that is drawn: class 2"):
        user.click(menu)
        user.page.locator(".v-overlay--active").get_by_role("list").wait_for()
        all_named(user, 25)
        keyboard.press("Escape")
        user.page.locator(".v-menu.v-overlay--active").wait_for(state="hidden")
    user.click("Keys")
    user.page.get_by_text("Keys and mouse").wait_for()
    all_named(user, 25)
    user.click("Close")
    user.click("Open")
    user.page.get_by_text("A folder where KDSeg runs").click()
    shutil.copy(SAMPLE, tmp_path / "thorax.nrrd")
    user.page.get_by_label("Folder").fill(str(tmp_path))
    user.page.get_by_label("Folder").press("Enter")
    user.sees("thorax.nrrd")
    all_named(user, 25)
    user.click("Close")

    user.stroke(2, (0.48, 0.40), (0.54, 0.44))
    user.choose_class("class 1")
    user.stroke(1, (0.35, 0.45), (0.42, 0.50))
    user.tab("Train")
    for more in ("Advanced", "Where it trains"):
        user.page.get_by_text(more).click()
    user.click("Train")
    served.until("session.state.preview_source == 'student'")
    all_named(user, 30)
    user.click("Stop")
    served.until("session.state.phase == 'annotating' and session.state.models")
    user.tab("Review")
    served.until("space.review.shown.chosen")
    user.click("Correct")
    served.until("space.review.shown.correcting")
    all_named(user, 30)

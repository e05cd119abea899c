"""Tools, keys, classes, views: what the mouse does to the scene."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from Testing.browser.conftest import COUNTING, Served, User

if TYPE_CHECKING:
    from playwright.sync_api import Locator

BRUSHES = "[n for n in scene.GetNodesByClass('vtkMRMLModelNode') if n.GetName().endswith('BrushModel')]"
BRUSH_SEEN = f"any(n.GetDisplayNode().GetVisibility() for n in {BRUSHES})"
COUNTS = "session.annotation.read().counts"
OFFSET = "space.views.slices[0].get_slice_value()"
MESSAGES = "__import__('slicer_kdseg.protocol.messages').protocol.messages"
WINDOW = "[(node := session.annotation.volume.GetDisplayNode()).GetWindow(), node.GetLevel()]"
PRESETS = {
    "Soft tissue": [350, 40],
    "Lung": [1400, -500],
    "Bone": [1000, 400],
    "Brain": [100, 50],
    "Liver": [150, 70],
}


@pytest.mark.slow
def test_tools_keys_and_classes(serve: Callable[..., Served], visit: Callable[..., User]) -> None:
    served = serve()
    user = visit(served)
    keyboard = user.page.keyboard
    user.page.get_by_role("button", name="Open the sample chest CT").focus()
    keyboard.press("Enter")
    served.until("space.tools.shown.tool == 'paint'")
    assert not served.ask(BRUSH_SEEN)
    user.point(0.5, 0.5)
    served.until(BRUSH_SEEN)
    user.page.mouse.move(5, 5)
    served.until(f"not {BRUSH_SEEN}")

    bare = image_at(user, 0.40, 0.475)
    user.stroke(1, (0.35, 0.45), (0.45, 0.50))
    user.page.mouse.move(5, 5)
    shines_through(user, bare, served.ask("session.annotation.contract.by_id(1).color"))
    painted = served.ask(COUNTS)["1"]
    user.click("Erase")
    user.drag((0.40, 0.475), (0.45, 0.50))
    served.until(f"{COUNTS}.get(1, 0) < {painted}")
    keyboard.press("Control+z")
    served.until(f"{COUNTS}.get(1, 0) == {painted}")
    keyboard.press("Control+z")
    served.until(f"not {COUNTS}")
    keyboard.press("Control+y")
    served.until(f"{COUNTS}.get(1, 0) == {painted}")

    keyboard.press("d")
    served.until("space.tools.shown.tool == 'draw'")
    user.stroke(1, (0.60, 0.40), (0.70, 0.40), (0.70, 0.50), (0.60, 0.50))
    drawn = served.ask(COUNTS)["1"]
    assert drawn > painted + 100  # an outline is filled
    assert served.ask("len(session.annotation.read().drawn)") == 1
    user.click("Scissors: cut away through all slices")
    user.drag((0.55, 0.35), (0.75, 0.35), (0.75, 0.55), (0.55, 0.55))
    served.until(f"{COUNTS}.get(1, 0) <= {painted}")

    user.click("Add class")
    user.page.locator('[data-class="class 2"] .kdseg-name:focus').press("Enter")
    keyboard.press("p")
    served.until("space.tools.shown.tool == 'paint'")
    user.stroke(2, (0.50, 0.40), (0.55, 0.43))
    user.page.get_by_role("button", name="Remove class 2").click()
    served.until("len(session.annotation.contract.foreground) == 1")
    keyboard.press("Control+z")
    served.until(f"{COUNTS}.get(2, 0) > 0")
    user.page.get_by_role("button", name="Show or hide class 2").click()
    served.until("not space.annotate.shown.classes[2].visible")
    user.shot("drawn")

    before = served.ask(OFFSET)
    keyboard.press("ArrowUp")
    served.until(f"{OFFSET} > {before}")
    keyboard.press("n")
    served.until(f"space.annotate.shown.next_sentence and {OFFSET} == {before}")  # where the strokes are
    user.sees(served.ask("space.annotate.shown.next_sentence"))
    field = served.ask("list(space.views.slices[0].get_view_node().GetFieldOfView())")
    zoom(user)
    served.until(f"list(space.views.slices[0].get_view_node().GetFieldOfView()) != {field}")
    found = served.ask(WINDOW)
    for name, window in {**PRESETS, "Automatic": found}.items():
        user.choose("Window", name)
        served.until(f"{WINDOW} == {window}")
    brush = served.ask("space.tools.shown.brush_mm")
    keyboard.press("]")
    served.until(f"space.tools.shown.brush_mm > {brush}")
    user.click("Axial view alone, or all four")
    served.until("space.views.shown.arrangement == 'axial'")
    user.shot("alone")
    user.click("Light or dark")
    served.until("space.server.state.theme == 'light'")
    user.click("Axial view alone, or all four")
    served.until("space.views.shown.arrangement == 'four'")
    user.shot("light")
    in_a_narrow_window(user)


def in_a_narrow_window(user: User) -> None:
    """The toolbar takes two lines; where even these are too long, the page can be moved sideways."""
    name, last = user.page.locator(".kdseg-drawing-name"), user.page.get_by_role("button", name="Fit the views")
    user.page.set_viewport_size({"width": 1024, "height": 768})
    assert width(name) > 30
    assert right_edge(last) <= 1024
    user.shot("narrow")
    user.page.set_viewport_size({"width": 700, "height": 600})
    assert right_edge(last) > 700
    user.page.locator(".kdseg-brand").hover()
    user.page.mouse.wheel(1000, 0)
    user.page.wait_for_function("window.scrollX > 0")
    assert right_edge(last) <= 700
    user.shot("narrower")


def width(found: Locator) -> float:
    box = found.bounding_box()
    assert box is not None
    return box["width"]


def right_edge(found: Locator) -> float:
    box = found.bounding_box()
    assert box is not None
    return box["x"] + box["width"]


def image_at(user: User, x: float, y: float) -> tuple[int, ...]:
    """Once the image is seen there: grey and not black."""
    end = time.monotonic() + 20
    while max(seen := user.pixel(x, y)) - min(seen) > 3 or not seen[0]:
        assert time.monotonic() < end, f"{seen} is not grey"
    return seen


def shines_through(user: User, bare: tuple[int, ...], color: list[float]) -> None:
    """The image is seen under a stroke of ``color``: both are mixed half and half."""
    mixed = (255 * np.array(color) + np.array(bare)) / 2
    end = time.monotonic() + 20
    while np.abs(np.array(seen := user.pixel(0.40, 0.475)) - mixed).max() > 25:
        assert time.monotonic() < end, f"{seen} is not {mixed}"


def zoom(user: User) -> None:
    """Right drag upwards in the axial view."""
    box, mouse = user.point(0.5, 0.6), user.page.mouse
    mouse.down(button="right")
    mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.3 * box["height"], steps=6)
    mouse.up(button="right")


@pytest.mark.slow
def test_how_the_preview_is_shown(serve: Callable[..., Served], visit: Callable[..., User]) -> None:
    served = serve(*COUNTING)
    user = visit(served)
    user.open_sample()
    user.stroke(1, (0.35, 0.45), (0.45, 0.50))
    user.page.get_by_label("Grow a preview while I draw").check()
    user.stroke(1, (0.66, 0.40), (0.70, 0.46))
    served.until("session.preview is not None and int(session.preview.labels.any())")
    assert served.ask("session.state.job_id") == ""
    user.tab("Train")
    user.click("Train")
    served.until("session.state.preview_source == 'student'")

    served.ask(f"[session.signals.progressed.emit({MESSAGES}.Progress(n, 0, None, '', {{'ce': 1}})) for n in (1, 2)]")
    served.ask(f"session.become(held_out={MESSAGES}.HeldOut(2, {{}}, {{}}, 0, 0))")
    user.sees("No strokes could be kept aside; draw on more slices to have quality measured.")
    user.page.locator(".kdseg-legend").wait_for()
    assert user.page.locator(".kdseg-legend").inner_text() == "loss"

    display = "session.preview.node.GetDisplayNode()"
    user.page.get_by_label("Outline only").check()
    served.until(f"not {display}.GetVisibility2DFill()")
    user.page.get_by_label("Show preview").uncheck()
    served.until(f"not {display}.GetVisibility()")
    user.page.get_by_label("Show preview").check()
    user.page.get_by_label("Outline only").uncheck()
    served.until(f"{display}.GetVisibility2DFill()")
    slider = user.page.get_by_role("slider", name="Opacity of the preview")
    slider.focus()
    slider.press("End")
    served.until(f"{display}.GetOpacity2DFill() == 1.0")

    user.page.get_by_label("Where it is unsure").check()
    unsure = "scene.GetNodeByID(space.views.slices[0].get_foreground_volume_id() or '')"
    served.until(f"{unsure} is not None and {unsure}.GetAttribute('KDSeg.Role') == 'uncertainty'")
    user.tab("Review")
    served.until(f"{unsure} is None")
    step = served.ask("session.state.preview_step")
    served.until(f"session.state.preview_step > {step}")
    assert served.ask(f"{unsure} is None")
    user.shot("review")
    user.tab("Train")
    served.until(f"{unsure} is not None")
    surfaces = "[n for n in scene.GetNodesByClass('vtkMRMLModelNode') if n.GetAttribute('KDSeg.Role') == 'surface']"
    served.until(f"sum(n.GetPolyData().GetNumberOfCells() for n in {surfaces}) > 0")
    assert served.ask(f"[bool(n.GetSaveWithScene()) for n in {surfaces}]") == [False]
    user.shot("shown")
    user.click("Cancel")
    served.until("session.state.phase == 'annotating'")
    assert served.ask("session.state.job_state") == "cancelled"

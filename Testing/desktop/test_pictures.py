"""Every tab in every state as a picture in ``demo_output/desktop``, to be looked at; and no text in them is cut.

The panel stands in a scrolling column as wide as Slicer's own.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import Testing.desktop.needs_qt  # noqa: F401  first
from slicer_kdseg.scene.geometry import new_volume
from Testing.desktop.conftest import ROOT
from Testing.desktop.standin.application import Desktop, Module
from Testing.desktop.standin.pythonqt import unwrap

FOLDER = ROOT / "demo_output" / "desktop"
WIDTH, HEIGHT = 480, 700
LONGEST_LAYOUT = 5.0  # seconds, on a busy machine
Wait = Callable[..., None]
Look = Callable[[Any, str], None]


@pytest.fixture
def look(wait: Wait) -> Iterator[Look]:
    """``look(panel, name)``: a picture, and no text that is wider or higher than its place."""
    from PySide6.QtWidgets import QScrollArea

    FOLDER.mkdir(parents=True, exist_ok=True)
    faults: dict[str, list[str]] = {}
    column = QScrollArea()
    column.setWidgetResizable(True)
    column.resize(WIDTH, HEIGHT)

    def take(panel: Any, name: str) -> None:
        widget = unwrap(panel.widget)
        if column.widget() is not widget:
            column.setWidget(widget)
            column.show()
        began = time.monotonic()  # hints follow a stroke after 300 ms, and texts that grow need a second layout
        wait(lambda: time.monotonic() > began + (LONGEST_LAYOUT if cut(widget) + jumps(widget) else 0.4))
        widget.grab().save(str(FOLDER / f"{name}.png"))
        if found := cut(widget) + jumps(widget):
            faults[name] = found

    yield take
    assert faults == {}


def cut(root: Any) -> list[str]:
    """Texts that do not fit into their widgets, and tables whose columns do not."""
    from PySide6.QtWidgets import QAbstractButton, QLabel, QTableWidget

    found = []
    for widget in root.findChildren(QLabel) + root.findChildren(QAbstractButton):
        text = widget.text()
        if not widget.isVisible() or folded(widget) or not text or not widget.objectName():
            continue  # without a name: inside of one of Slicer's own
        wraps = isinstance(widget, QLabel) and widget.wordWrap()
        high = widget.heightForWidth(widget.width()) if wraps else widget.sizeHint().height()
        if widget.height() < high or (not wraps and widget.width() < widget.minimumSizeHint().width()):
            found.append(f"{text!r} needs {high} pixels of height and has {widget.width()} x {widget.height()}")
    tables = [table for table in root.findChildren(QTableWidget) if table.isVisible()]
    wide = [table for table in tables if table.horizontalHeader().length() > table.viewport().width()]
    return found + [f"{table.objectName()} is wider than its place" for table in wide]


def jumps(root: Any) -> list[str]:
    """Where the key Tab goes upwards by more than a row: the eyes follow the keys."""
    from PySide6.QtCore import QPoint, Qt

    order, widget = [], root.nextInFocusChain()
    while widget is not root:
        takes = widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        if root.isAncestorOf(widget) and widget.isVisible() and widget.objectName() and takes and not folded(widget):
            order.append(widget)
        widget = widget.nextInFocusChain()
    rows = [(widget.mapTo(root, QPoint(0, 0)).y(), widget.objectName()) for widget in order]
    return [f"Tab jumps up from {a[1]} to {b[1]}" for a, b in itertools.pairwise(rows) if b[0] < a[0] - 20]


def folded(widget: Any) -> bool:
    above = widget.parentWidget()
    return above is not None and (bool(above.property("collapsed")) or folded(above))


def test_every_tab_in_every_state(
    the_module: Module, a_desktop: Desktop, look: Look, draw: Callable[..., None], wait: Wait
) -> None:
    panel = the_module.open().panel
    tabs, train, backend, review = panel.ui.tabs, panel.train.ui, panel.backend.ui, panel.review.ui
    session, link = panel.workplace.session, panel.workplace.link
    for number, tab in enumerate(("annotate", "train", "review")):
        tabs.currentIndex = number
        look(panel, f"1_empty_{tab}")
    review.nextButton.click()
    look(panel, "1_empty_review_next")

    tabs.currentIndex = 0
    image = np.random.default_rng(3).normal(0, 4, (10, 40, 48)).astype(np.float32)
    image[2:8, 8:20, 8:20] += 100
    new_volume(a_desktop.scene, "abdomen", image, np.diag([1.0, 1.0, 4.0, 1.0]))
    wait(lambda: session.annotation is not None)
    look(panel, "2_annotate_opened")
    for d in (3, 6):
        draw(session.annotation, 0, d, 3, slice(4, 44))
        draw(session.annotation, 1, d, 13, slice(10, 18))
    panel.annotate.ui.nextSliceButton.click()
    look(panel, "2_annotate_drawn")
    panel.annotate.ui.atlasButton.click()
    look(panel, "2_annotate_finished_segmentation")

    tabs.currentIndex = 1
    train.trainButton.click()
    look(panel, "3_train_refused")
    train.scribblesButton.click()
    train.advancedButton.collapsed = train.backendArea.collapsed = False
    look(panel, "3_train_unfolded")
    backend.remoteButton.click()
    backend.addressEdit.text = "127.0.0.1:9"
    backend.testButton.click()
    wait(lambda: not link.state.busy)
    look(panel, "3_train_elsewhere_refused")
    backend.localButton.click()
    train.advancedButton.collapsed = True

    train.trainButton.click()
    look(panel, "4_train_starting")
    wait(lambda: session.state.phase == "training" and session.state.preview_source == "student", 60)
    draw(session.annotation, 1, 4, 13, slice(10, 18))
    train.correctButton.click()
    wait(lambda: session.state.joined_revision == 2)
    look(panel, "4_train_training")
    os.kill(link._local.pid, signal.SIGKILL)
    wait(lambda: link.state.stage == "none" and bool(session.state.trouble))
    look(panel, "4_train_backend_killed")
    backend.startButton.click()
    wait(lambda: session.state.phase == "training" and not session.state.trouble, 60)
    train.stopButton.click()
    wait(lambda: session.state.can_train and bool(session.state.models))
    look(panel, "5_train_stopped")

    tabs.currentIndex = 2
    review.nextButton.click()
    look(panel, "6_review_chosen")
    review.correctButton.click()
    review.noteEdit.text = "the left border is two slices too low"
    panel.review.note_written()
    look(panel, "6_review_correcting")
    review.acceptButton.click()
    look(panel, "6_review_every_verdict")
    a_desktop.scene.Clear(False)
    for number, tab in enumerate(("annotate", "train", "review")):
        tabs.currentIndex = number
        look(panel, f"7_closed_{tab}")


def test_waiting_for_another_training(
    the_module: Module, a_desktop: Desktop, a_volume: Any, look: Look, draw: Callable[..., None], wait: Wait
) -> None:
    panel = the_module.open().panel
    session = panel.workplace.session

    def train() -> None:
        wait(lambda: session.annotation is not None)
        draw(session.annotation, 0, 3, 3, slice(4, 44))
        draw(session.annotation, 1, 3, 13, slice(10, 18))
        panel.train.ui.trainButton.click()

    panel.ui.tabs.currentIndex = 1
    train()
    wait(lambda: session.state.phase == "training" and session.state.preview_source == "student", 60)
    a_desktop.scene.Clear(False)
    noise = np.random.default_rng(4).normal(0, 4, (10, 40, 48)).astype(np.float32)
    new_volume(a_desktop.scene, "next", noise, np.eye(4))
    train()
    wait(lambda: session.state.can_make_way)
    look(panel, "9_train_waits_for_another")


def test_the_review_module(the_review_module: Module, a_volume: Any, look: Look) -> None:
    look(the_review_module.open().panel, "8_review_module")

"""Every word of the panels in another language: one in which every sentence stands between these marks: «so».

What is not between them was never offered to Slicer's translations. Names of the user's own things, numbers and
what a backend writes are not.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

import Testing.desktop.needs_qt  # noqa: F401  first
from slicer_kdseg.scene.geometry import new_volume
from Testing.desktop.standin.application import Desktop, Module

Wait = Callable[..., None]
SHOWN = ("text", "title", "toolTip", "placeholderText")
NOT_OURS = {"folderLabel", "addressEdit", "tokenEdit", "noteEdit", "methodBox", "presetBox", "deviceBox"}
SENTENCE = re.compile(r"«[^«»]*»")


@pytest.fixture
def another_language(a_desktop: Desktop) -> Iterator[None]:
    from PySide6.QtCore import QTranslator
    from PySide6.QtWidgets import QApplication

    from slicer_kdseg.protocol.words import translate_with

    class Marking(QTranslator):
        def translate(self, context: str, text: str, disambiguation: str | None = None, n: int = -1) -> str:
            assert threading.current_thread() is threading.main_thread(), f"'{text}' is asked for on another thread"
            return f"«{text}»" if text.strip() else text

    translator = Marking()
    QApplication.installTranslator(translator)
    translate_with(QApplication.translate)
    yield
    QApplication.removeTranslator(translator)
    translate_with(None)


def untranslated(panel: Any) -> list[str]:
    """Of every widget of the panel what holds letters outside of the marks."""
    found = []
    for widget in slicer.util.findChildren(panel.widget):
        if not widget.name:  # inside of one of Slicer's own
            continue
        texts = {name: getattr(widget, name, "") for name in SHOWN if widget.name not in NOT_OURS}
        if widget.className() == "QTabWidget":
            texts |= {f"tab {n}": widget.tabText(n) for n in range(widget.count)}
        if widget.className() == "QTableWidget":
            heads = (widget.horizontalHeaderItem(n) for n in range(widget.columnCount))
            texts |= {f"column {n}": head.text() for n, head in enumerate(heads)}
        for name, text in texts.items():
            if isinstance(text, str) and re.search("[a-z]", bare(text)):
                found.append(f"{widget.className()} {widget.name}.{name}: {text}")
    return found


def bare(text: str) -> str:
    """``text`` without what stands between marks, also between marks inside of marks."""
    while SENTENCE.search(text):
        text = SENTENCE.sub("", text)
    return text


def test_every_word_of_the_panels_can_be_translated(
    another_language: None,
    the_module: Module,
    a_desktop: Desktop,
    draw: Callable[..., None],
    wait: Wait,
    tmp_path: Path,
) -> None:
    """Opened, drawn in, refused, trained, corrected, killed, reviewed, closed; a fault lists widget and text."""
    panel = the_module.open().panel
    session, train, backend = panel.workplace.session, panel.train.ui, panel.backend.ui
    found = untranslated(panel)

    def click(button: Any) -> None:
        button.click()
        wait(lambda: True)
        found.extend(untranslated(panel))

    assert panel.annotate.ui.nextSliceButton.text == "«Next slice to annotate»"
    for button in (train.folderButton, panel.review.ui.nextButton, panel.review.ui.reportButton):
        click(button)
    new_volume(a_desktop.scene, "1", np.random.default_rng(3).normal(0, 4, (10, 40, 48)), np.eye(4))
    wait(lambda: session.annotation is not None)
    click(panel.annotate.ui.nextSliceButton)
    click(train.trainButton)  # nothing is drawn
    draw(session.annotation, 0, 3, 3, slice(4, 44))
    draw(session.annotation, 1, 3, 13, slice(10, 18))
    draw(session.annotation, 1, 4, 13, slice(10, 18))
    click(train.oneCaseButton)
    click(train.trainButton)  # strokes are no labelled case
    click(train.scribblesButton)
    train.folderEdit.currentPath = str(tmp_path / "none")
    click(train.folderButton)
    click(train.trainButton)
    wait(lambda: session.state.phase == "training" and session.state.preview_source == "student", 60)
    click(train.correctButton)
    os.kill(panel.workplace.link._local.pid, signal.SIGKILL)
    wait(lambda: panel.workplace.link.state.stage == "none" and bool(session.state.trouble))
    found.extend(untranslated(panel))
    click(backend.startButton)
    wait(lambda: session.state.phase == "training" and not session.state.trouble, 60)
    click(train.stopButton)
    wait(lambda: session.state.can_train and bool(session.state.models))
    written_by_the_backend = session.state.sentence
    backend.addressEdit.text = "127.0.0.1:9"
    click(backend.testButton)
    wait(lambda: not panel.workplace.link.state.busy)
    for button in (panel.review.ui.nextButton, panel.review.ui.correctButton, panel.review.ui.acceptButton):
        click(button)
    a_desktop.scene.Clear(False)
    found.extend(untranslated(panel))
    assert {text for text in found if not text.endswith(written_by_the_backend)} == set()


def test_a_translation_that_lost_a_placeholder_is_not_used() -> None:
    from slicer_kdseg.protocol import words

    contexts = []

    def translate(context: str, text: str) -> str:
        contexts.append(context)
        return {"{n} images": "Bilder", "ready": "bereit", "{n} of {all}": "{all} von {n}"}.get(text, text)

    words.translate_with(translate)
    try:
        said = [words.tr(text) for text in ("{n} images", "ready", "{n} of {all}")]
    finally:
        words.translate_with(None)
    assert said == ["{n} images", "bereit", "{all} von {n}"]
    assert contexts[0].endswith("test_translation")


def test_what_another_thread_writes_is_translated_where_it_is_said() -> None:
    """PythonQt is asked on its own thread only."""
    from slicer_kdseg.protocol import words
    from slicer_kdseg.protocol.errors import BackendUnreachable

    raised: list[BackendUnreachable] = []

    def fail() -> None:
        cause = words.tr("nothing listens there")
        raised.append(BackendUnreachable(words.tr("{url} cannot be reached: {cause}").format(url="host", cause=cause)))

    asked = []

    def translate(context: str, text: str) -> str:
        asked.append(threading.current_thread())
        return {
            "nothing listens there": "niemand da",
            "{url} cannot be reached: {cause}": "{cause}: {url} antwortet nicht",
        }.get(text, text)

    words.translate_with(translate)
    try:
        elsewhere = threading.Thread(target=fail)
        elsewhere.start()
        elsewhere.join()
        assert asked == []
        assert str(raised[0]) == "host cannot be reached: nothing listens there"
        assert raised[0].sentence == "niemand da: host antwortet nicht"
    finally:
        words.translate_with(None)

"""The tutorial, clicked as it is written: at most eight clicks from an opened image to a student's segmentation, and
every name in it is one that the panels have."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import Testing.desktop.needs_qt  # noqa: F401  first
from slicer_kdseg.scene import backend_link, backend_python
from Testing.desktop.standin.application import Module
from Testing.desktop.standin.pythonqt import unwrap

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "Resources" / "Documentation" / "tutorial.md").read_text(encoding="utf-8")
OF_SLICER = {"Sample Data", "Segmentation", "KDSeg", "KDSegChest", "KDSegChestLabelled", "Add", "class 1", "background"}
LOST = "kdseg_no_such_package"
Wait = Callable[..., None]


def steps() -> list[str]:
    found = re.findall(r"^(\d)\. (.*?)(?=^\d\. |^\w|\Z)", TUTORIAL, re.M | re.S)
    assert [number for number, _ in found] == [str(n + 1) for n in range(len(found))]
    return [" ".join(text.split()) for _, text in found]


def names(text: str) -> set[str]:
    """What stands between single stars, menu by menu."""
    starred = re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", " ".join(text.split()).replace("**", "\n"))
    return {part.strip() for found in starred for part in found.split("▸")}


def test_the_numbered_clicks_lead_to_a_students_segmentation(
    the_module: Module, a_volume: Any, draw: Callable[..., None], wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(backend_python.NEEDED, LOST, f"{LOST}>=1")
    monkeypatch.setattr(
        backend_link.Installation, "run", lambda self, told: backend_python.NEEDED.pop(LOST), raising=True
    )
    panel: Any = None

    def choose_the_module() -> None:
        nonlocal panel
        panel = the_module.open().panel
        for d in (3, 6):
            draw(panel.workplace.session.annotation, 1, d, 13, slice(10, 18))

    def click_background() -> None:
        annotation = panel.workplace.session.annotation
        unwrap(panel.annotate.ui.editor).setCurrentSegmentID(annotation.segment_id_of(0))
        for d in (3, 6):
            draw(annotation, 0, d, 3, slice(4, 44))

    def open_the_tab() -> None:
        panel.ui.tabs.currentIndex = 1

    def train_without_a_backend() -> None:
        panel.train.ui.trainButton.click()
        wait(lambda: LOST.replace("_", "-") in panel.ui.messageLabel.text.replace("_", "-"), 60)

    def install() -> None:
        panel.backend.ui.installButton.click()
        wait(lambda: not panel.workplace.link.state.busy, 60)

    def train() -> None:
        panel.train.ui.trainButton.click()
        wait(lambda: panel.workplace.session.state.preview_source == "student", 60)

    clicks = (
        ("list of modules", lambda: None),
        ("*Segmentation ▸ KDSeg*", choose_the_module),
        ("*background* in the list", click_background),
        ("Open the tab *Train*", open_the_tab),
        ("Press *Train*", train_without_a_backend),
        ("press *Install what is missing*", install),
        ("press *Train* again", train),
    )
    written = steps()
    assert len(written) == len(clicks) <= 8
    for text, (said, click) in zip(written, clicks, strict=True):
        assert said in text
        click()
    assert panel.workplace.session.preview.labels.any()
    assert "in seven clicks besides the" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_button_is_in_the_tab_that_the_tutorial_names() -> None:
    tabs = ("Annotate", "Train", "Review")
    flowing = " ".join(TUTORIAL.split())
    for button, tab in re.findall(rf"press \*([^*]+)\* in the tab \*({'|'.join(tabs)})\*", flowing):
        file = ROOT / "SlicerKDSeg" / "Resources" / "UI" / f"KDSeg{tab}.ui"
        assert button in [string.text for string in ElementTree.parse(file).iter("string")]
    assert "press *Send corrections* in the tab" in flowing


def test_every_name_in_the_tutorial_is_one_of_the_panels() -> None:
    shown = set(OF_SLICER)
    for file in (ROOT / "SlicerKDSeg" / "Resources" / "UI").glob("*.ui"):
        shown |= {string.text or "" for string in ElementTree.parse(file).iter("string")}
    assert names(TUTORIAL) - shown == set()

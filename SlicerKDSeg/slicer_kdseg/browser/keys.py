"""The page's keys: one table, shown in the help and sent to the page, so that it reports no other key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slicer_kdseg.browser.workspace import Workspace

SIGNS = {"arrowup": "↑", "arrowdown": "↓"}
MOUSE = [("Wheel", "Slices"), ("Right drag", "Zoom"), ("Middle drag", "Move"), ("Shift+wheel", "Brush size")]


def bindings(space: Workspace) -> dict[str, tuple[str, Callable[[], object]]]:
    """Key to its words and what it does; the order is the help's."""
    tools, views, annotate, train = space.tools, space.views, space.annotate, space.train
    keys: dict[str, tuple[str, Callable[[], object]]] = {
        "p": ("Paint", lambda: tools.use("paint")),
        "e": ("Erase", lambda: tools.use("erase")),
        "d": ("Draw an outline", lambda: tools.use("draw")),
        "x": ("Scissors", lambda: tools.use("scissors")),
        "v": ("Look around", lambda: tools.use("look")),
        "ctrl+z": ("Undo", tools.undo),
        "ctrl+y": ("Redo", tools.redo),
        "ctrl+shift+z": ("Redo", tools.redo),
        "arrowup": ("Next axial slice", lambda: views.step(1)),
        "arrowdown": ("Previous axial slice", lambda: views.step(-1)),
        "[": ("Smaller brush", lambda: tools.set_brush(tools.shown.brush_mm / 1.25)),
        "]": ("Larger brush", lambda: tools.set_brush(tools.shown.brush_mm * 1.25)),
        "n": ("Next slice to annotate", annotate.go_to_next_slice),
        "t": ("Train", train.train),
        "c": ("Send corrections", train.correct),
        "f": ("Fit the views", views.fit),
        "alt+a": ("Accept", space.review.accept),
        "alt+c": ("Correct", space.review.correct),
        "alt+r": ("Reject", space.review.reject),
        "alt+n": ("Next case", space.review.next),
    }
    for number in range(10):
        keys[str(number)] = (f"Class {number}" if number else "Background", partial(annotate.choose_class, number))
    return keys


def key_words(keys: dict[str, tuple[str, Callable[[], object]]]) -> list[tuple[str, str]]:
    """The help: keys that do the same stand together, and what the mouse does comes last."""
    found: dict[str, list[str]] = {}
    for key, (words, _) in keys.items():
        if not key.isdecimal():
            found.setdefault(words, []).append("+".join(SIGNS.get(part, part.capitalize()) for part in key.split("+")))
    rows = [(" or ".join(names), words) for words, names in found.items()]
    return [*rows, ("0 … 9", "Choose background or a class"), *MOUSE]

"""The tab Annotate: which image, what is given, the classes and what still lacks strokes, the next slice."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, replace
from typing import Any

from slicer_kdseg.browser.annotate_page import LONGEST_NAME
from slicer_kdseg.browser.front import Front
from slicer_kdseg.browser.images import Item, image_items, segmentation_items
from slicer_kdseg.browser.tools import Tools, hex_color, rgb_color
from slicer_kdseg.browser.views import Views
from slicer_kdseg.protocol.errors import BadAnnotation, KDSegError
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelClass
from slicer_kdseg.scene.annotation import Annotation, find_finished
from slicer_kdseg.scene.displaying import hide_of_others, show_only
from slicer_kdseg.scene.editing import WAYS
from slicer_kdseg.scene.guidance import coverage_hints
from slicer_kdseg.scene.segments import describe
from slicer_kdseg.scene.state import SessionState
from slicer_kdseg.scene.watching import StrokeWatch
from slicer_kdseg.scene.workplace import Workplace

AFTER_A_STROKE_SECONDS = 0.3
COLORS = ("#e6733a", "#3aa6e6", "#58c26a", "#d457b8", "#e0c23a", "#8a6de0", "#e05555", "#45c9bd", "#b08a5a", "#9fb83a")


@dataclass(frozen=True)
class ClassShown:
    """One row of the list of classes."""

    id: int
    segment: str
    name: str
    color: str
    sentence: str
    drawn: bool
    visible: bool
    removable: bool


@dataclass(frozen=True)
class AnnotateShown:
    """``added`` is the segment id of the class that was added just now, whose name is to be written."""

    images: tuple[Item, ...] = ()
    image: str = ""
    way: str = "scribble"
    segmentations: tuple[Item, ...] = ()
    finished: str = ""
    classes: tuple[ClassShown, ...] = ()
    added: str = ""
    problem: str = ""
    next_sentence: str = ""
    grow: bool = False
    background: bool = True
    ready: bool = False


class AnnotateTab:
    def __init__(self, front: Front, workplace: Workplace, views: Views, tools: Tools) -> None:
        self._front, self._place, self._views, self._tools = front, workplace, views, tools
        self.shown = AnnotateShown()
        self._watch: StrokeWatch | None = None
        self._watched: Any = None
        self._later: asyncio.TimerHandle | None = None
        workplace.session.signals.state_changed.connect(self.show)
        workplace.session.signals.preview_arrived.connect(lambda shown: self._hide_others())
        workplace.session.signals.predicted.connect(lambda volume: self._hide_others())
        workplace.chosen.connect(lambda choices: self.refresh())
        self.refresh()

    # Clicks

    def draw_class(self, segment: str) -> None:
        self._tools.choose(segment)

    def choose_image(self, id_: str) -> None:
        self._place.choose(volume=id_)
        self.open()

    def choose_way(self, way: str) -> None:
        self._place.give("atlas" if way == "atlas" else "scribble")
        self._edit()
        self.refresh()

    def choose_finished(self, id_: str) -> None:
        node = self._place.scene.GetNodeByID(id_)
        volume = self._place.scene.GetNodeByID(self._place.choices.volume)
        if node is not None and volume is not None:
            self._place.give("atlas")
            self._place.work_with_labels(volume, node)
            self._edit()
            self.refresh()

    def open(self) -> None:
        """What was chosen, into session, views and tools; nothing if the image is not there (any more)."""
        self._place.open()
        self._edit()
        self.refresh()

    def add_class(self) -> None:
        annotation, names = self._required(), self._names()
        taken = {label.id for label in annotation.contract.classes}
        id_ = next((n for n in range(1, UNLABELLED) if n not in taken), None)
        if id_ is None:
            raise BadAnnotation(f"There are {UNLABELLED} classes already; remove one first.")
        name = next(name for n in itertools.count(id_) if (name := f"class {n}") not in names)
        with self._tools.as_one_step():
            annotation.add_class(LabelClass(id_, name, rgb_color(COLORS[(id_ - 1) % len(COLORS)])))
        self._tools.choose(annotation.segment_id_of(id_))
        self.refresh()
        self._become(added=annotation.segment_id_of(id_))

    def rename(self, id_: int, name: str) -> None:
        self._front.show_again("annotate")
        before, name = self._required().contract.by_id(id_).name, name.strip()[:LONGEST_NAME]
        if not name:
            raise BadAnnotation(f"A class needs a name; this one is still called '{before}'.")
        if name.casefold() in self._names(without=id_):
            raise BadAnnotation(f"Another class is called '{name}' already; this one is still called '{before}'.")
        self._front.say("")
        if name != before:
            self._describe(id_, name=name)

    def recolor(self, id_: int, color: str) -> None:
        self._describe(id_, color=rgb_color(color))

    def remove_class(self, id_: int) -> None:
        annotation = self._required()
        if len(annotation.contract.foreground) < 2 and id_ != BACKGROUND:
            raise BadAnnotation("One class has to stay; rename it instead.")
        with self._tools.as_one_step():
            annotation.node.GetSegmentation().RemoveSegment(annotation.segment_id_of(id_))
        self.refresh()

    def choose_class(self, id_: int) -> None:
        self._tools.choose_class(id_)

    def toggle(self, segment: str) -> None:
        display = self._required().node.GetDisplayNode()
        display.SetSegmentVisibility(segment, not display.GetSegmentVisibility(segment))
        self.refresh()

    def go_to_next_slice(self) -> None:
        place = self._place.go_to_next_slice()
        self._become(next_sentence=place.sentence)

    def choose_growing(self, wanted: bool) -> None:
        self._place.choose(grow_while_drawing=bool(wanted))
        self._drawn_soon()

    def choose_background(self, wanted: bool) -> None:
        self._place.choose(automatic_background=bool(wanted))

    # What happens meanwhile

    def stroke_drawn(self) -> None:
        """A little after the last stroke: hints, and grow-cut if it is wanted and nothing is being trained."""
        self._later = None
        with self._front.server.state:
            self.refresh()
            self._place.grow_after_a_stroke()

    def show(self, state: SessionState) -> None:
        annotation = self._place.session.annotation
        node = annotation.node if annotation is not None else None
        if node is not self._watched:
            self._watched = node
            self._end_watch()
            if annotation is not None:
                self._watch = StrokeWatch(annotation, self._drawn_soon)
            self._edit()
            self.refresh()

    def refresh(self) -> None:
        scene, choices = self._place.scene, self._place.choices
        annotation = self._place.session.annotation
        problem, rows = "", self.shown.classes
        try:
            rows = self._rows(annotation) if annotation is not None else ()
        except KDSegError as error:
            problem = error.sentence
        volume = scene.GetNodeByID(choices.volume) if choices.volume else None
        finished = find_finished(scene, volume) if volume is not None else None
        self._become(
            images=image_items(scene),
            image=choices.volume,
            way=choices.way,
            segmentations=segmentation_items(scene),
            finished=finished.GetID() if finished is not None else "",
            classes=rows,
            added="",
            problem=problem,
            grow=choices.grow_while_drawing,
            background=choices.automatic_background,
            ready=annotation is not None,
        )

    def close(self) -> None:
        self._end_watch()
        if self._later is not None:
            self._later.cancel()

    def _edit(self) -> None:
        """Views and tools follow the session, whichever tab has opened what it works on."""
        annotation = self._place.session.annotation
        if annotation is None:
            self._tools.let_go()
            return
        self._views.show_volume(annotation.volume)
        hide_of_others(self._place.scene, annotation.volume)
        show_only(annotation.node, [])
        self._place.show_preview()
        first = annotation.contract.foreground
        segment = annotation.segment_id_of(first[0].id) if first else ""
        way = WAYS[self._place.choices.way]
        self._tools.edit(annotation.volume, annotation.node, segment, "draw" if way == "Draw" else "paint")

    def _hide_others(self) -> None:
        if self._views.volume is not None:
            hide_of_others(self._place.scene, self._views.volume)

    def _rows(self, annotation: Annotation) -> tuple[ClassShown, ...]:
        display = annotation.node.GetDisplayNode()
        segments = set(annotation.node.GetSegmentation().GetSegmentIDs())
        rows = []
        for hint in coverage_hints(annotation):
            try:
                segment = annotation.segment_id_of(hint.id)
            except BadAnnotation:
                continue  # background that only the contract has: there is nothing to draw in
            rows.append(
                ClassShown(
                    hint.id,
                    segment,
                    hint.name,
                    hex_color(hint.color),
                    hint.sentence.removeprefix(f"{hint.name}: "),
                    hint.drawn,
                    segment in segments and bool(display.GetSegmentVisibility(segment)),
                    hint.id != BACKGROUND,
                )
            )
        return tuple(rows)

    def _names(self, without: int | None = None) -> set[str]:
        """Of the classes, in small letters."""
        return {label.name.casefold() for label in self._required().contract.classes if label.id != without}

    def _describe(self, id_: int, **changes: Any) -> None:
        annotation = self._required()
        segment = annotation.node.GetSegmentation().GetSegment(annotation.segment_id_of(id_))
        with self._tools.as_one_step():
            describe(segment, replace(annotation.contract.by_id(id_), **changes))
        self._tools.choose(self._tools.shown.segment)
        self.refresh()

    def _required(self) -> Annotation:
        annotation = self._place.session.annotation
        if annotation is None:
            raise BadAnnotation("Choose an image first.")
        return annotation

    def _drawn_soon(self) -> None:
        if self._later is not None:
            self._later.cancel()
        self._later = asyncio.get_event_loop().call_later(
            AFTER_A_STROKE_SECONDS, self._front.guarded(self.stroke_drawn)
        )

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._watch = None

    def _become(self, **changes: Any) -> None:
        self.shown = replace(self.shown, **changes)
        self._front.show("annotate", self.shown)

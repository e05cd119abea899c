"""The tab Review: cases, verdicts with keys, what a reader changed, notes; and the numbered models."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from slicer_kdseg.browser.front import Front
from slicer_kdseg.browser.tools import Tools
from slicer_kdseg.browser.views import Views
from slicer_kdseg.protocol.errors import BadAnnotation, KDSegError
from slicer_kdseg.scene.displaying import hide_of_others, show_only
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.review import ClassDifference, Review, ReviewCase, differences_later
from slicer_kdseg.scene.wording import difference_cells, nothing_open, verdicts
from slicer_kdseg.scene.workplace import Workplace


@dataclass(frozen=True)
class CaseShown:
    id: str
    image: str
    prediction: str
    verdict: str
    note: str


@dataclass(frozen=True)
class DifferenceShown:
    name: str
    predicted_ml: str
    reviewed_ml: str
    dice: str
    changed: str


@dataclass(frozen=True)
class ReviewShown:
    """``chosen`` is the node ID of the prediction that is looked at."""

    cases: tuple[CaseShown, ...] = ()
    count: str = ""
    chosen: str = ""
    note: str = ""
    correcting: bool = False
    differences: tuple[DifferenceShown, ...] = ()


class ReviewTab:
    def __init__(self, front: Front, workplace: Workplace, views: Views, tools: Tools) -> None:
        self._front, self._place, self._views, self._tools = front, workplace, views, tools
        self._review = Review(workplace.scene)
        self._errands = Errands(("compare",))
        self.shown = ReviewShown()
        self._later: asyncio.TimerHandle | None = None
        signals = workplace.session.signals
        signals.predicted.connect(lambda volume: self.refresh())
        signals.preview_arrived.connect(lambda shown: self.refresh())
        tools.editor.segmentation_modified.connect(self._edited)
        front.show("review", self.shown)

    # Clicks

    def refresh(self) -> None:
        cases = self._cases()
        chosen = self._case(self.shown.chosen)
        self._become(
            cases=tuple(_shown(case) for case in cases),
            count=verdicts(cases) if cases else "",
            chosen=self.shown.chosen if chosen is not None else "",
            note=chosen.note if chosen is not None else "",
        )

    def choose(self, id_: str) -> None:
        case = self._case(id_)
        if case is None:
            return
        self._tools.let_go()
        copies = [found.reviewed for found in self._cases() if found.reviewed is not None]
        show_only(case.reviewed or case.prediction, [found.prediction for found in self._cases()] + copies)
        self._views.show_volume(case.volume)
        hide_of_others(self._place.scene, case.volume)
        self._become(chosen=id_, correcting=False, differences=())
        self.refresh()
        self._compare()

    def next(self) -> None:
        found = self._review.next_open(self._case(self.shown.chosen))
        if found is None:
            self._front.say(nothing_open(self._cases()))
            return
        self.choose(found.prediction.GetID())

    def accept(self) -> None:
        self._review.accept(self._required())
        self._after_a_verdict()

    def reject(self) -> None:
        self._review.reject(self._required())
        self._after_a_verdict()

    def correct(self) -> None:
        """A copy is edited, never the prediction; strokes of the tab Annotate stay as they are."""
        case = self._review.correct(self._required())
        assert case.reviewed is not None
        show_only(case.reviewed, [found.prediction for found in self._cases()])
        self._views.show_volume(case.volume)
        self._tools.edit(case.volume, case.reviewed, "")
        self._become(correcting=True)
        self.refresh()
        self._compare()

    def write_note(self, text: str) -> None:
        self._review.note(self._required(), text)
        self.refresh()

    # Coming and going

    def enter(self) -> None:
        """The tab is seen. The first case is looked at if none was."""
        self._tools.let_go()
        self._show_strokes(False)
        self._views.hide_uncertainty(True)
        self.refresh()
        if self.shown.chosen:
            self.choose(self.shown.chosen)
        elif self.shown.cases:
            self.choose(self.shown.cases[0].id)

    def leave(self) -> None:
        self._tools.let_go()
        self._become(correcting=False)
        for case in self._cases():
            if case.reviewed is not None and case.reviewed.GetDisplayNode() is not None:
                case.reviewed.GetDisplayNode().SetVisibility(False)
        self._show_strokes(True)
        self._views.hide_uncertainty(False)

    def tick(self) -> None:
        self._errands.drain()

    def close(self) -> None:
        if self._later is not None:
            self._later.cancel()
        self._errands.close()

    @property
    def reviewed(self) -> list[ReviewCase]:
        """What a report is about."""
        return self._cases()

    def _after_a_verdict(self) -> None:
        self._tools.let_go()
        self._become(correcting=False)
        self.refresh()
        self._compare()
        self.next()

    def _show_strokes(self, shown: bool) -> None:
        """They lie over what is judged; they stay in the scene."""
        annotation = self._place.session.annotation
        display = annotation.node.GetDisplayNode() if annotation is not None else None
        if display is not None:
            display.SetVisibility(shown)

    def _cases(self) -> list[ReviewCase]:
        return self._review.cases()

    def _case(self, id_: str) -> ReviewCase | None:
        return next((case for case in self._cases() if case.prediction.GetID() == id_), None)

    def _required(self) -> ReviewCase:
        case = self._case(self.shown.chosen)
        if case is None:
            raise BadAnnotation("Choose a case in the list first.")
        return case

    def _edited(self, *_: Any) -> None:
        if not self.shown.correcting:
            return
        if self._later is not None:
            self._later.cancel()
        self._later = asyncio.get_running_loop().call_later(0.5, self._front.guarded(self._compare))

    def _compare(self) -> None:
        case = self._case(self.shown.chosen)
        self._errands.forget()
        if case is None or case.reviewed is None:
            return
        try:
            compare = differences_later(case)
        except KDSegError as error:  # another grid, for instance; the verdict is the reader's all the same
            self._front.say(error.sentence)
            return
        self._errands.send("compare", compare, self._show_differences, lambda error: self._front.say(error.sentence))

    def _show_differences(self, found: list[ClassDifference]) -> None:
        self._become(differences=tuple(DifferenceShown(*difference_cells(row)) for row in found))

    def _become(self, **changes: Any) -> None:
        self.shown = replace(self.shown, **changes)
        self._front.show("review", self.shown)


def _shown(case: ReviewCase) -> CaseShown:
    return CaseShown(case.prediction.GetID(), case.name, case.prediction.GetName(), case.verdict, case.note)

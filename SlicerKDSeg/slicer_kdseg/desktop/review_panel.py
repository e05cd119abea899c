"""The review panel: cases, verdicts with keys, differences, notes, report. It needs no model and no backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from slicer_kdseg.desktop.binding import Quiet, bind
from slicer_kdseg.desktop.editor_host import EditorHost
from slicer_kdseg.desktop.folder import only_folders
from slicer_kdseg.desktop.table import fill_table
from slicer_kdseg.protocol.errors import BadAnnotation, KDSegError
from slicer_kdseg.scene.displaying import show_only
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.review import ClassDifference, Review, ReviewCase, differences_later, has_voxels
from slicer_kdseg.scene.review_report import write_report

BINDINGS = (
    ("caseTable", "itemSelectionChanged()", "case_chosen"),
    ("refreshButton", "clicked()", "refresh"),
    ("nextButton", "clicked()", "next"),
    ("acceptButton", "clicked()", "accept"),
    ("correctButton", "clicked()", "correct"),
    ("rejectButton", "clicked()", "reject"),
    ("noteEdit", "editingFinished()", "note_written"),
    ("reportButton", "clicked()", "report"),
)
COMPARED_MILLISECONDS = 100
SHORTCUTS = (("nextButton", "Alt+N"), ("acceptButton", "Alt+A"), ("correctButton", "Alt+C"), ("rejectButton", "Alt+R"))


class ReviewPanel:
    """``tag`` names its segment editor's node; ``say`` shows a sentence."""

    def __init__(self, widget: Any, scene: Any, review: Review, say: Callable[[str], object], tag: str) -> None:
        self.widget = widget
        self.ui = slicer.util.childWidgetVariables(widget)
        self._scene, self._review, self._say = scene, review, say
        self._cases: list[ReviewCase] = []
        self.editor = EditorHost(self.ui.reviewEditor, scene, tag)
        self._errands = Errands(("compare",))
        self._clock = qt.QTimer()
        self._clock.setInterval(COMPARED_MILLISECONDS)
        self._clock.connect("timeout()", self._errands.drain)
        widget.setMRMLScene(scene)
        for name, keys in SHORTCUTS:
            getattr(self.ui, name).shortcut = qt.QKeySequence(keys)
        bind(self.ui, BINDINGS, self, say)
        self.ui.reviewEditor.visible = False
        only_folders(self.ui.reportEdit)
        self.refresh()

    @property
    def cases(self) -> list[ReviewCase]:
        """As the scene holds them now."""
        return self._review.cases()

    @property
    def case(self) -> ReviewCase | None:
        row = self.ui.caseTable.currentRow()
        return self._cases[row] if 0 <= row < len(self._cases) else None

    # Clicks

    def refresh(self) -> None:
        chosen = self.case
        self._cases = [case for case in self._review.cases() if has_voxels(case.prediction)]
        rows = [(case.name, case.prediction.GetName(), _verdict(case), case.reader, case.note) for case in self._cases]
        with Quiet(self.ui.caseTable):
            fill_table(self.ui.caseTable, (_("Image"), _("Prediction"), _("Verdict"), _("Reader"), _("Note")), rows)
            self._select(chosen)
        self._show_case()

    def case_chosen(self) -> None:
        self.editor.sleep()
        self.ui.reviewEditor.visible = False
        case = self.case
        if case is not None:
            show_only(case.reviewed or case.prediction, [c.prediction for c in self._cases] + self._copies())
            slicer.util.setSliceViewerLayers(background=case.volume)
        self._show_case()

    def next(self) -> None:
        found = self._review.next_open(self.case)
        if found is None:
            self._say(_("Every case has a verdict."))
            return
        self._select(found)
        self.case_chosen()

    def accept(self) -> None:
        self._review.accept(self._required())
        self.refresh()
        self.next()

    def correct(self) -> None:
        """A copy is edited, never the prediction; strokes of the tab Annotate stay as they are."""
        case = self._review.correct(self._required())
        self.refresh()
        show_only(case.reviewed, [c.prediction for c in self._cases])
        self.ui.reviewEditor.visible = True
        self.editor.edit(case.volume, case.reviewed, "scribble")
        self.editor.wake()

    def reject(self) -> None:
        self._review.reject(self._required())
        self.refresh()
        self.next()

    def note_written(self) -> None:
        case = self.case
        if case is not None and self.ui.noteEdit.text != case.note:
            self._review.note(case, self.ui.noteEdit.text)
            self.refresh()

    def report(self) -> None:
        folder = self.ui.reportEdit.currentPath
        if not folder:
            raise BadAnnotation(_("Choose a folder for the report first."))
        files = write_report(self._cases, Path(folder))
        self._say(_("The report is in '{page}' and '{table}'.").format(page=files.page, table=files.table.name))

    # Coming and going

    def enter(self) -> None:
        self.refresh()
        if self.ui.reviewEditor.visible:
            self.editor.wake()

    def leave(self) -> None:
        self.editor.sleep()

    def scene_closing(self) -> None:
        self.editor.let_go()
        self._errands.forget()
        self._cases = []
        with Quiet(self.ui.caseTable):
            self.ui.caseTable.setRowCount(0)

    def close(self) -> None:
        self.editor.sleep()
        self._clock.stop()
        self._errands.close()

    def _required(self) -> ReviewCase:
        case = self.case
        if case is None:
            raise BadAnnotation(_("Choose a case in the table first."))
        return case

    def _select(self, case: ReviewCase | None) -> None:
        nodes = [found.prediction for found in self._cases]
        if case is not None and case.prediction in nodes:
            self.ui.caseTable.selectRow(nodes.index(case.prediction))

    def _show_case(self) -> None:
        case = self.case
        for button in (self.ui.acceptButton, self.ui.correctButton, self.ui.rejectButton, self.ui.noteEdit):
            button.enabled = case is not None
        self.ui.countLabel.text = _("{done} of {all} cases have a verdict.").format(
            done=sum(found.verdict != "open" for found in self._cases), all=len(self._cases)
        )
        with Quiet(self.ui.noteEdit):
            self.ui.noteEdit.text = case.note if case is not None else ""
        self._show_differences([])
        self._errands.forget()
        if case is not None and case.reviewed is not None:
            try:
                compare = differences_later(case)
            except KDSegError as error:  # another grid, for instance; the verdict is the reader's all the same
                self._say(error.sentence)
                return
            self._errands.send("compare", compare, self._show_differences, self._not_compared)
            self._clock.start()

    def _show_differences(self, found: list[ClassDifference]) -> None:
        rows = [
            (
                row.name,
                f"{row.predicted_ml:.1f}",
                f"{row.reviewed_ml:.1f}",
                "–" if row.dice is None else f"{row.dice:.3f}",
                str(row.changed_voxels),
            )
            for row in found
        ]
        head = (_("Class"), _("Predicted, ml"), _("Reviewed, ml"), _("Dice"), _("Changed voxels"))
        fill_table(self.ui.differenceTable, head, rows)
        if found:
            self._clock.stop()

    def _not_compared(self, error: KDSegError) -> None:
        self._clock.stop()
        self._say(error.sentence)

    def _copies(self) -> list[Any]:
        return [case.reviewed for case in self._cases if case.reviewed is not None]


def _verdict(case: ReviewCase) -> str:
    words = {"open": _("open"), "accepted": _("accepted"), "corrected": _("corrected"), "rejected": _("rejected")}
    return words[case.verdict]

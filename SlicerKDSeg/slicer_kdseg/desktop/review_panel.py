"""The review panel: cases, verdicts with keys, differences, notes, report. It needs no model and no backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import qt
import slicer
from slicer.i18n import tr as _

from slicer_kdseg.desktop.binding import Quiet, bind
from slicer_kdseg.desktop.editor_host import EditorHost
from slicer_kdseg.desktop.folder import only_folders
from slicer_kdseg.desktop.slice_views import look_at_image
from slicer_kdseg.desktop.table import fill_table
from slicer_kdseg.protocol.errors import BadAnnotation, KDSegError
from slicer_kdseg.scene.displaying import hide_of_others, show_only
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.review import ClassDifference, Review, ReviewCase, differences_later
from slicer_kdseg.scene.review_report import ReportFiles, ReviewReport
from slicer_kdseg.scene.wording import difference_cells, nothing_open, verdicts

T = TypeVar("T")
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
        self._comparing, self._errands = Errands(("compare",)), Errands(("freeze", "report"))
        self._seen = False
        self._under_way = 0
        self._report: ReviewReport | None = None
        self._compared = True
        self._clock = qt.QTimer()
        self._clock.setInterval(COMPARED_MILLISECONDS)
        self._clock.connect("timeout()", self._tick)
        widget.setMRMLScene(scene)
        for name, keys in SHORTCUTS:
            getattr(self.ui, name).shortcut = qt.QKeySequence(keys)
        bind(self.ui, BINDINGS, self, say)
        self._show_editor(False)
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
        self._look()
        rows = [(case.name, case.prediction.GetName(), _verdict(case), case.reader, case.note) for case in self._cases]
        with Quiet(self.ui.caseTable):
            fill_table(self.ui.caseTable, (_("Image"), _("Prediction"), _("Verdict"), _("Reader"), _("Note")), rows)
            self._select(chosen)
        self._show_case()

    def case_chosen(self) -> None:
        self._end_editing()
        self._show_in_views()
        self._show_case()

    def next(self) -> None:
        found = self._review.next_open(self.case)
        if found is None:
            self._say(nothing_open(self._cases))
            return
        self._select(found)
        self.case_chosen()

    def accept(self) -> None:
        case = self._required()
        self._send("freeze", self._review.accept_later(case), lambda copy: self._kept(case, copy))
        self._after_a_verdict()

    def correct(self) -> None:
        """A copy is edited, never the prediction; strokes of the tab Annotate stay as they are."""
        case = self._required()
        self._send("freeze", self._review.correct_later(case), lambda copy: self._edit(self._review.keep(case, copy)))

    def reject(self) -> None:
        self._review.reject(self._required())
        self._after_a_verdict()

    def note_written(self) -> None:
        case = self.case
        if case is not None and self.ui.noteEdit.text != case.note:
            self._review.note(case, self.ui.noteEdit.text)
            self.refresh()

    def report(self) -> None:
        folder = self.ui.reportEdit.currentPath
        if not folder:
            raise BadAnnotation(_("Choose a folder for the report first."))
        report = ReviewReport(self._cases)
        self._report = report
        self.ui.reportButton.enabled = False
        self._send("report", lambda: report.write(Path(folder)), self._reported)

    # Coming and going

    def enter(self) -> None:
        self._seen = True
        self.refresh()
        self._show_in_views()
        if self._editing:  # the widget's own 'visible' is false until the module is shown
            self.editor.wake()

    def leave(self) -> None:
        self._seen = False
        self.editor.sleep()

    def scene_closing(self) -> None:
        self.editor.let_go()
        self._show_editor(False)
        self._comparing.forget()
        self._cases = []
        with Quiet(self.ui.caseTable):
            self.ui.caseTable.setRowCount(0)

    def close(self) -> None:
        self.editor.sleep()
        self._clock.stop()
        self._comparing.close()
        self._errands.close()

    def _look(self) -> None:
        self._cases = self._review.cases()

    def _required(self) -> ReviewCase:
        case = self.case
        if case is None:
            raise BadAnnotation(_("Choose a case in the table first."))
        return case

    def _select(self, case: ReviewCase | None) -> None:
        nodes = [found.prediction for found in self._cases]
        if case is not None and case.prediction in nodes:
            self.ui.caseTable.selectRow(nodes.index(case.prediction))

    def _show_in_views(self) -> None:
        """Of all cases only the chosen one, as the reader has left it."""
        case = self.case
        if case is not None:
            show_only(case.reviewed or case.prediction, [c.prediction for c in self._cases] + self._copies())
            hide_of_others(self._scene, case.volume)
            look_at_image(self._scene, case.volume)

    def _show_case(self) -> None:
        case = self.case
        for button in (self.ui.acceptButton, self.ui.correctButton, self.ui.rejectButton, self.ui.noteEdit):
            button.enabled = case is not None
        self.ui.countLabel.text = verdicts(self._cases)
        with Quiet(self.ui.noteEdit):
            self.ui.noteEdit.text = case.note if case is not None else ""
        self._show_differences([])
        self._comparing.forget()
        self._compared = True
        if case is not None and case.reviewed is not None:
            try:
                compare = differences_later(case)
            except KDSegError as error:  # another grid, for instance; the verdict is the reader's all the same
                self._say(error.sentence)
                return
            self._compared = False
            self._comparing.send("compare", compare, self._show_differences, self._not_compared)
            self._clock.start()

    def _show_differences(self, found: list[ClassDifference]) -> None:
        rows = [difference_cells(row) for row in found]
        head = (_("Class"), _("Predicted, ml"), _("Reviewed, ml"), _("Dice"), _("Changed voxels"))
        fill_table(self.ui.differenceTable, head, rows)
        self._compared = True

    def _not_compared(self, error: KDSegError) -> None:
        self._compared = True
        self._say(error.sentence)

    def _send(self, lane: str, work: Callable[[], T], then: Callable[[T], object]) -> None:
        """What goes on whichever case is chosen meanwhile."""

        def over() -> None:
            self._under_way -= 1
            if lane == "report":
                self._report = None
                self.ui.reportButton.enabled = True

        def done(found: T) -> None:
            over()
            then(found)

        def failed(error: KDSegError) -> None:
            over()
            self._say(error.sentence)

        self._under_way += 1
        self._errands.send(lane, work, done, failed)
        self._clock.start()

    def _kept(self, case: ReviewCase, copy: Any) -> None:
        """The table and a note that is being written stay as they are."""
        self._review.keep(case, copy)
        self._look()
        if self.case is not None and self.case.prediction is case.prediction:
            self._show_case()

    def _edit(self, case: ReviewCase) -> None:
        """Unless another case was chosen while the copy was made; the brush waits until the panel is seen."""
        chosen = self.case
        self.refresh()
        if case.reviewed is None or chosen is None or chosen.prediction is not case.prediction:
            return
        self._show_editor(True)
        self.editor.edit(case.volume, case.reviewed, "scribble")
        if self._seen:
            self._show_in_views()
            self.editor.wake()

    def _after_a_verdict(self) -> None:
        self._end_editing()
        self.refresh()
        self.next()

    def _end_editing(self) -> None:
        """The case has its verdict, or another one is looked at: the brush rests."""
        self.editor.sleep()
        self._show_editor(False)

    def _show_editor(self, wanted: bool) -> None:
        self._editing = self.ui.reviewEditor.visible = wanted

    def _reported(self, files: ReportFiles) -> None:
        self._say(_("The report is in '{page}' and '{table}'.").format(page=files.page, table=files.table.name))

    def _tick(self) -> None:
        self._comparing.drain()
        self._errands.drain()
        if self._report is not None:
            done, all_ = self._report.done, self._report.cases
            self._say(_("Writing the report: {done} of {all} cases compared.").format(done=done, all=all_))
        elif self._compared and not self._under_way:
            self._clock.stop()

    def _copies(self) -> list[Any]:
        return [case.reviewed for case in self._cases if case.reviewed is not None]


def _verdict(case: ReviewCase) -> str:
    words = {"open": _("open"), "accepted": _("accepted"), "corrected": _("corrected"), "rejected": _("rejected")}
    return words[case.verdict]

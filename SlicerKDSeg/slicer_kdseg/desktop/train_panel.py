"""The tab Train: two big choices, a time budget, four buttons, and what can be seen while it trains."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from slicer_kdseg.desktop.binding import Quiet, bind
from slicer_kdseg.desktop.folder import FolderImages, only_folders
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.protocol.settings import preset_names
from slicer_kdseg.scene.backend_state import LinkState
from slicer_kdseg.scene.charting import LearningChart
from slicer_kdseg.scene.choices import DEVICES, Choices, way_of
from slicer_kdseg.scene.state import SessionState
from slicer_kdseg.scene.wording import happening, quality, time_left
from slicer_kdseg.scene.workplace import ONE_CASE, STROKES, Workplace

CHART_EVERY_TICKS = 20  # a second
BINDINGS = (
    ("scribblesButton", "clicked()", "scribbles_chosen"),
    ("oneCaseButton", "clicked()", "one_case_chosen"),
    ("twoMinutesButton", "clicked()", "budget_chosen"),
    ("tenMinutesButton", "clicked()", "budget_chosen"),
    ("untilGoodButton", "clicked()", "budget_chosen"),
    ("othersSelector", "checkedNodesChanged()", "others_chosen"),
    ("folderButton", "clicked()", "load_folder"),
    ("methodBox", "currentIndexChanged(int)", "method_chosen"),
    ("presetBox", "currentIndexChanged(int)", "preset_chosen"),
    ("deviceBox", "currentIndexChanged(int)", "device_chosen"),
    ("trainButton", "clicked()", "train"),
    ("correctButton", "clicked()", "correct"),
    ("stopButton", "clicked()", "stop"),
    ("cancelButton", "clicked()", "cancel"),
    ("otherButton", "clicked()", "make_way"),
)


class TrainPanel:
    def __init__(self, widget: Any, workplace: Workplace) -> None:
        self.widget = widget
        self.ui = slicer.util.childWidgetVariables(widget)
        self._place = workplace
        self._chart: LearningChart | None = None
        self._ticks = 0
        self._troubled = False
        self._folder: FolderImages | None = None
        widget.setMRMLScene(workplace.scene)
        self.ui.oneCaseButton.visible = ONE_CASE in SETTINGS
        with Quiet(self.ui.methodBox, self.ui.deviceBox):
            self.ui.methodBox.addItems(sorted(SETTINGS))
            self.ui.deviceBox.addItems(list(DEVICES))
        only_folders(self.ui.folderEdit)
        bind(self.ui, BINDINGS, self, workplace.say)
        self._disconnect = [
            workplace.session.signals.state_changed.connect(self.show),
            workplace.chosen.connect(self.show_choices),
            workplace.link.changed.connect(self.show_link),
            workplace.ticked.connect(self._ticked),
        ]
        self.show_choices(workplace.choices)
        self.show(workplace.session.state)

    # Clicks

    def scribbles_chosen(self) -> None:
        self._place.learn_by(STROKES)

    def one_case_chosen(self) -> None:
        self._place.learn_by(ONE_CASE)

    def budget_chosen(self) -> None:
        if self.ui.tenMinutesButton.checked:
            self._place.choose(budget="10 min")
        else:
            self._place.choose(budget="until good" if self.ui.untilGoodButton.checked else "2 min")

    def others_chosen(self) -> None:
        nodes = self.ui.othersSelector.checkedNodes()
        self._place.choose(others=tuple(node.GetID() for node in nodes))

    def load_folder(self) -> None:
        self._folder = FolderImages(self.ui.folderEdit.currentPath)
        self.ui.folderButton.enabled = False

    def method_chosen(self) -> None:
        self._place.learn_by(self.ui.methodBox.currentText)

    def preset_chosen(self) -> None:
        if self.ui.presetBox.currentText:
            self._place.choose(preset=self.ui.presetBox.currentText)

    def device_chosen(self) -> None:
        self._place.choose(device=self.ui.deviceBox.currentText)

    def train(self) -> None:
        self._place.train()
        self.show(self._place.session.state)

    def correct(self) -> None:
        self._place.correct()

    def stop(self) -> None:
        self._place.session.stop()

    def cancel(self) -> None:
        self._place.cancel()

    def make_way(self) -> None:
        self._place.session.make_way()

    # What is shown

    def show(self, state: SessionState) -> None:
        ui, waits = self.ui, self._place.waits_for_backend
        ui.trainButton.enabled = state.can_train and not waits
        for choice in (ui.scribblesButton, ui.oneCaseButton, ui.advancedButton):  # they open another segmentation
            choice.enabled = not (state.can_cancel or waits)
        ui.correctButton.enabled = state.can_correct
        ui.stopButton.enabled = state.can_stop
        ui.cancelButton.enabled = state.can_cancel or waits
        ui.stateLabel.text = self._place.link.state.sentence if waits else happening(state)
        ui.otherButton.visible = state.can_make_way and self._place.link.state.local
        ui.failureLabel.text = state.failure or state.trouble
        ui.failureLabel.visible = bool(state.failure or state.trouble)
        ui.progressBar.visible = state.can_cancel or waits
        ui.progressBar.value = round(100 * state.fraction)
        ui.timeLabel.text = time_left(state.seconds_left) if state.phase == "training" else ""
        ui.qualityLabel.text = quality(state.held_out, of_strokes=way_of(state.method) == "scribble")
        if state.trouble and not self._troubled:
            ui.backendArea.collapsed = False  # address and buttons to go on with are in there
        self._troubled = bool(state.trouble)

    def show_link(self, link: LinkState) -> None:
        state = self._place.session.state
        if link.missing or (link.stage == "none" and state.can_cancel):
            self.ui.backendArea.collapsed = False  # the button that installs it, or starts it again, is in there
        self.show(state)

    def show_choices(self, choices: Choices) -> None:
        ui = self.ui
        buttons = {"2 min": ui.twoMinutesButton, "10 min": ui.tenMinutesButton, "until good": ui.untilGoodButton}
        with Quiet(ui.scribblesButton, ui.oneCaseButton, ui.methodBox, ui.presetBox, ui.deviceBox, *buttons.values()):
            ui.scribblesButton.checked = choices.method == STROKES
            ui.oneCaseButton.checked = choices.method == ONE_CASE
            buttons[choices.budget].checked = True
            ui.methodBox.setCurrentText(choices.method)
            ui.deviceBox.setCurrentText(choices.device)
            ui.presetBox.clear()
            ui.presetBox.addItems(preset_names(choices.method))
            ui.presetBox.setCurrentText(choices.preset)
        with Quiet(ui.othersSelector):
            chosen = [self._place.scene.GetNodeByID(id_) for id_ in choices.others]
            for node in ui.othersSelector.checkedNodes():
                if node not in chosen:
                    ui.othersSelector.uncheck(node)
            for node in chosen:
                if node is not None:
                    ui.othersSelector.check(node)
        ui.othersSelector.update()  # CTK does not repaint what was checked by a program

    def close(self) -> None:
        for disconnect in self._disconnect:
            disconnect()

    def scene_closing(self) -> None:
        self.ui.plotWidget.setMRMLPlotViewNode(None)
        self.ui.plotWidget.visible = False
        self._chart = None
        self._folder = None
        self.ui.folderButton.enabled = True

    def _load_one(self, folder: FolderImages) -> None:
        try:
            volume = folder.load_one()
            self._place.choose(others=(*self._place.choices.others, volume.GetID()))
            loaded = _(
                "Images loaded from the folder, which take part: {done} of {all}; with strokes or labels: {labelled}."
            )
            self._place.say(loaded.format(done=folder.done, all=folder.count, labelled=folder.labelled))
        except KDSegError as error:
            self._place.say(error.sentence)
        if folder.over:
            self._folder = None
            self.ui.folderButton.enabled = True

    def _ticked(self) -> None:
        self._ticks += 1
        if self._folder is not None:
            self._load_one(self._folder)
        history, state = self._place.session.history, self._place.session.state
        if self._ticks % CHART_EVERY_TICKS or not state.job_id or state.job_id != history.job_id:
            return  # what was trained in a scene that was closed is no curve of this one
        if self._chart is None or not self._chart.present:
            self._chart = LearningChart(self._place.scene)
            self.ui.plotWidget.setMRMLPlotViewNode(self._chart.view())
            self.ui.plotWidget.visible = True
        self._chart.show(history)

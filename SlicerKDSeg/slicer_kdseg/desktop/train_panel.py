"""The tab Train: two big choices, a time budget, four buttons, and what can be seen while it trains."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from slicer_kdseg.desktop.backend_state import LinkState
from slicer_kdseg.desktop.binding import Quiet, bind
from slicer_kdseg.desktop.folder import load_images, only_folders
from slicer_kdseg.desktop.wording import quality, time_left
from slicer_kdseg.desktop.workplace import Workplace
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.protocol.settings import preset_names
from slicer_kdseg.scene.charting import LearningChart
from slicer_kdseg.scene.choices import Choices
from slicer_kdseg.scene.state import SessionState

ONE_CASE = "one_shot"
CHART_EVERY_TICKS = 20  # a second
DEVICES = ("auto", "cpu", "cuda")
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
)


class TrainPanel:
    def __init__(self, widget: Any, workplace: Workplace) -> None:
        self.widget = widget
        self.ui = slicer.util.childWidgetVariables(widget)
        self._place = workplace
        self._chart: LearningChart | None = None
        self._ticks = 0
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
        self._place.choose(method="scribble", preset="fast", way="scribble")

    def one_case_chosen(self) -> None:
        self._place.choose(method=ONE_CASE, preset="fast", way="atlas")

    def budget_chosen(self) -> None:
        if self.ui.tenMinutesButton.checked:
            self._place.choose(budget="10 min")
        else:
            self._place.choose(budget="until good" if self.ui.untilGoodButton.checked else "2 min")

    def others_chosen(self) -> None:
        nodes = self.ui.othersSelector.checkedNodes()
        self._place.choose(others=tuple(node.GetID() for node in nodes))

    def load_folder(self) -> None:
        volumes = load_images(self.ui.folderEdit.currentPath)
        known = self._place.choices.others
        self._place.choose(others=(*known, *(volume.GetID() for volume in volumes)))
        self._place.say(_("{n} images were loaded and take part.").format(n=len(volumes)))

    def method_chosen(self) -> None:
        self._place.choose(method=self.ui.methodBox.currentText, preset="fast")

    def preset_chosen(self) -> None:
        if self.ui.presetBox.currentText:
            self._place.choose(preset=self.ui.presetBox.currentText)

    def device_chosen(self) -> None:
        self._place.choose(device=self.ui.deviceBox.currentText)

    def train(self) -> None:
        self._place.train()
        self.show(self._place.session.state)

    def correct(self) -> None:
        self._place.session.send_correction()
        self._place.say(_("What you drew was sent; the training takes it up at its next step."))

    def stop(self) -> None:
        self._place.session.stop()

    def cancel(self) -> None:
        if self._place.waits_for_backend:
            self._place.forget_request()
        else:
            self._place.session.cancel()

    # What is shown

    def show(self, state: SessionState) -> None:
        ui, waits = self.ui, self._place.waits_for_backend
        ui.trainButton.enabled = state.can_train and not waits
        ui.correctButton.enabled = state.can_correct
        ui.stopButton.enabled = state.can_stop
        ui.cancelButton.enabled = state.can_cancel or waits
        ui.stateLabel.text = self._place.link.state.sentence if waits else state.sentence
        ui.failureLabel.text = state.failure or state.trouble
        ui.failureLabel.visible = bool(state.failure or state.trouble)
        ui.progressBar.visible = state.can_cancel or waits
        ui.progressBar.value = round(100 * state.fraction)
        ui.timeLabel.text = time_left(state.seconds_left) if state.phase == "training" else ""
        ui.qualityLabel.text = quality(state.held_out)

    def show_link(self, link: LinkState) -> None:
        if link.missing:
            self.ui.backendArea.collapsed = False  # the button that installs it is in there
        self.show(self._place.session.state)

    def show_choices(self, choices: Choices) -> None:
        ui = self.ui
        buttons = {"2 min": ui.twoMinutesButton, "10 min": ui.tenMinutesButton, "until good": ui.untilGoodButton}
        with Quiet(ui.scribblesButton, ui.oneCaseButton, ui.methodBox, ui.presetBox, ui.deviceBox, *buttons.values()):
            ui.scribblesButton.checked = choices.method == "scribble"
            ui.oneCaseButton.checked = choices.method == ONE_CASE
            buttons[choices.budget].checked = True
            ui.methodBox.setCurrentText(choices.method)
            ui.deviceBox.setCurrentText(choices.device)
            ui.presetBox.clear()
            ui.presetBox.addItems(preset_names(choices.method))
            ui.presetBox.setCurrentText(choices.preset)
        with Quiet(ui.othersSelector):
            for node in (self._place.scene.GetNodeByID(id_) for id_ in choices.others):
                if node is not None:
                    ui.othersSelector.check(node)

    def close(self) -> None:
        for disconnect in self._disconnect:
            disconnect()

    def scene_closing(self) -> None:
        self.ui.plotWidget.setMRMLPlotViewNode(None)
        self._chart = None

    def _ticked(self) -> None:
        self._ticks += 1
        history = self._place.session.history
        if self._ticks % CHART_EVERY_TICKS or not history.version:
            return
        if self._chart is None or not self._chart.present:
            self._chart = LearningChart(self._place.scene)
            self.ui.plotWidget.setMRMLPlotViewNode(self._chart.view())
        self._chart.show(history)

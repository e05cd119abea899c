"""The numbered models: which is current, roll back, use on other images, take away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from slicer_kdseg.desktop.binding import Quiet, bind
from slicer_kdseg.desktop.folder import only_folders
from slicer_kdseg.desktop.table import fill_table
from slicer_kdseg.protocol.errors import NotFound
from slicer_kdseg.protocol.messages import ModelInfo
from slicer_kdseg.scene.state import SessionState
from slicer_kdseg.scene.wording import score
from slicer_kdseg.scene.workplace import Workplace

BINDINGS = (
    ("modelsButton", "clicked()", "refresh"),
    ("currentButton", "clicked()", "make_current"),
    ("predictButton", "clicked()", "predict"),
    ("takeButton", "clicked()", "take_away"),
)


class ModelsPanel:
    def __init__(self, widget: Any, workplace: Workplace) -> None:
        self.widget = widget
        self.ui = slicer.util.childWidgetVariables(widget)
        self._place = workplace
        self._models: tuple[ModelInfo, ...] = ()
        only_folders(self.ui.takeEdit)
        bind(self.ui, BINDINGS, self, workplace.say)
        signals = workplace.session.signals
        self._disconnect = [
            signals.state_changed.connect(self.show),
            signals.finished.connect(lambda state: self._ask_quietly()),
            signals.model_downloaded.connect(
                lambda folder: workplace.say(_("The model is in '{folder}'.").format(folder=folder))
            ),
        ]
        self.show(workplace.session.state)

    def refresh(self) -> None:
        self._place.session.models.refresh()

    def make_current(self) -> None:
        self._place.session.models.make_current(self._chosen().number)

    def predict(self) -> None:
        """The current model on other images; while they are being segmented the same button cancels that."""
        if self._place.session.state.predicting:
            self._place.leave_others()
        else:
            self._place.predict_others()

    def take_away(self) -> None:
        if not self.ui.takeEdit.currentPath:
            raise NotFound(_("Choose a folder for the model first."))
        number = self._chosen().number
        self._place.session.models.download(number, Path(self.ui.takeEdit.currentPath) / f"kdseg-model-{number}")

    def show(self, state: SessionState) -> None:
        if state.predicting:
            self.ui.predictButton.text = _("Cancel ({n} to go)").format(n=state.predicting)
        else:
            self.ui.predictButton.text = _("Segment other images")
        if state.models == self._models and self.ui.modelTable.columnCount:
            return
        self._models = state.models
        rows = [
            (str(model.number), "●" if model.current else "", model.method, score(model), model.sentence)
            for model in state.models
        ]
        head = (_("Number"), _("Current"), _("Method"), _("Quality"), _("What is known of it"))
        with Quiet(self.ui.modelTable):
            fill_table(self.ui.modelTable, head, rows)
        for button in (self.ui.currentButton, self.ui.predictButton, self.ui.takeButton):
            button.enabled = bool(rows)

    def close(self) -> None:
        for disconnect in self._disconnect:
            disconnect()

    def _ask_quietly(self) -> None:
        if self._place.link.state.stage == "connected":
            self.refresh()

    def _chosen(self) -> ModelInfo:
        row = self.ui.modelTable.currentRow()
        if not 0 <= row < len(self._models):
            raise NotFound(_("Choose a model in the table first."))
        return self._models[row]

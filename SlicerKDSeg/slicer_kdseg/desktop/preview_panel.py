"""How the preview is shown while it trains: at all, how opaque, as an outline, and where the student is unsure."""

from __future__ import annotations

from typing import Any

from slicer_kdseg.desktop.binding import Quiet, bind
from slicer_kdseg.scene.choices import Choices
from slicer_kdseg.scene.state import PreviewShown
from slicer_kdseg.scene.uncertainty import lay_over_views, take_from_views
from slicer_kdseg.scene.workplace import Workplace

BINDINGS = (
    ("previewBox", "toggled(bool)", "chosen"),
    ("outlineBox", "toggled(bool)", "chosen"),
    ("opacitySlider", "valueChanged(double)", "chosen"),
    ("uncertaintyBox", "toggled(bool)", "uncertainty_chosen"),
)


class PreviewPanel:
    def __init__(self, ui: Any, workplace: Workplace) -> None:
        self.ui = ui
        self._place = workplace
        bind(ui, BINDINGS, self, workplace.say)
        self._disconnect = [
            workplace.chosen.connect(self.show_choices),
            workplace.session.signals.preview_arrived.connect(self._arrived),
        ]
        self.show_choices(workplace.choices)

    def chosen(self) -> None:
        self._place.choose(
            preview_visible=self.ui.previewBox.checked,
            outline=self.ui.outlineBox.checked,
            opacity=round(self.ui.opacitySlider.value, 2),
        )
        self._place.show_preview()

    def uncertainty_chosen(self) -> None:
        wanted = self.ui.uncertaintyBox.checked
        self._place.choose(uncertainty=wanted)
        self._place.session.show_uncertainty_map(wanted)
        self._overlay(wanted)

    def show_choices(self, choices: Choices) -> None:
        ui = self.ui
        with Quiet(ui.previewBox, ui.outlineBox, ui.opacitySlider, ui.uncertaintyBox):
            ui.previewBox.checked = choices.preview_visible
            ui.outlineBox.checked = choices.outline
            ui.opacitySlider.value = choices.opacity
            ui.uncertaintyBox.checked = choices.uncertainty
        if self._place.session.show_uncertainty != choices.uncertainty:
            self._place.session.show_uncertainty_map(choices.uncertainty)

    def close(self) -> None:
        for disconnect in self._disconnect:
            disconnect()

    def _arrived(self, shown: PreviewShown) -> None:
        if shown.source == "student" and self._place.choices.uncertainty:
            self._overlay(True)

    def _overlay(self, wanted: bool) -> None:
        """As the foreground of the slice views; only an overlay of ours is ever taken away."""
        node = self._place.unsure_volume()
        if not wanted:
            take_from_views(self._place.scene)
        elif node is not None:
            lay_over_views(self._place.scene, node)

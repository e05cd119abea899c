"""The numbered models: which is current, roll back, use on other images, take away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3

from slicer_kdseg.browser.controls import button, icon_button
from slicer_kdseg.browser.front import Front
from slicer_kdseg.scene.state import SessionState
from slicer_kdseg.scene.wording import score
from slicer_kdseg.scene.workplace import Workplace


@dataclass(frozen=True)
class ModelShown:
    number: int
    current: bool
    method: str
    score: str
    sentence: str


@dataclass(frozen=True)
class ModelsShown:
    rows: tuple[ModelShown, ...] = ()
    connected: bool = False
    predicting: int = 0


class ModelsList:
    def __init__(self, front: Front, workplace: Workplace) -> None:
        self._front, self._place = front, workplace
        self.shown = ModelsShown()
        signals = workplace.session.signals
        signals.state_changed.connect(self.show)
        signals.finished.connect(lambda state: self._ask_quietly())
        workplace.link.changed.connect(lambda link: self.show(workplace.session.state))
        front.show("models", self.shown)

    def build(self) -> None:
        on = self._front.on
        with html.Div(classes="kdseg-tab"):
            with html.Div(classes="kdseg-row kdseg-between"):
                html.Span("Models", classes="kdseg-title")
                icon_button(
                    "mdi-refresh", "Ask the backend for its models", on(self.refresh), disabled=("!models.connected",)
                )
            html.Div(
                "{{ models.connected ? 'No model yet. A training that ends well leaves one.'"
                " : 'Models are shown once the backend runs; Train starts it.' }}",
                v_if=("models.rows.length === 0",),
                classes="kdseg-note",
            )
            with html.Div(v_for=("row in models.rows",), key=("row.number",), classes="kdseg-model"):
                with html.Div(classes="kdseg-row kdseg-between"):
                    html.Span("Model {{ row.number }} · {{ row.method }} · quality {{ row.score }}")
                    v3.VChip("current", v_if=("row.current",), size="small", color="primary")
                html.Div("{{ row.sentence }}", classes="kdseg-coverage")
                with html.Div(classes="kdseg-row"):
                    with v3.VBtn(
                        size="small",
                        variant="tonal",
                        disabled=("row.current",),
                        click=on(self.make_current, "row.number"),
                        raw_attrs=[":aria-label=\"'Make model ' + row.number + ' current'\""],
                    ):
                        html.Span("Make current")
                    with v3.VBtn(
                        size="small",
                        variant="tonal",
                        click="window.kdseg.download('model/' + row.number)",
                        raw_attrs=[":aria-label=\"'Save model ' + row.number\""],
                    ):
                        html.Span("Save model")
            button(
                "Segment other images",
                on(self.predict),
                "The current model on the other images chosen in the tab Train.",
                v_if=("!models.predicting",),
                disabled=("!models.rows.some(row => row.current) || !others_chosen.length",),
                block=True,
            )
            with html.Div(v_if=("models.predicting",), classes="kdseg-row kdseg-between"):
                v3.VProgressCircular(indeterminate=True, size=20, raw_attrs=['aria-label="Segmenting"'])
                html.Span("Other images to go: {{ models.predicting }}", classes="kdseg-note")
                button("Cancel", on(self.cancel), "Those that are done stay.")
            html.Div(
                "To segment other images with the current model, choose them in the tab Train.",
                v_if=("models.rows.some(row => row.current) && !others_chosen.length",),
                classes="kdseg-note",
            )

    def refresh(self) -> None:
        self._place.session.models.refresh()

    def make_current(self, number: int) -> None:
        self._place.session.models.make_current(int(number))

    def predict(self) -> None:
        self._place.predict_others()

    def cancel(self) -> None:
        self._place.leave_others()

    def show(self, state: SessionState) -> None:
        rows = tuple(
            ModelShown(model.number, model.current, model.method, score(model), model.sentence)
            for model in state.models
        )
        connected = self._place.link.state.stage == "connected"
        self._become(rows=rows, connected=connected, predicting=state.predicting)

    def _ask_quietly(self) -> None:
        if self._place.link.state.stage == "connected":
            self.refresh()

    def _become(self, **changes: Any) -> None:
        self.shown = replace(self.shown, **changes)
        self._front.show("models", self.shown)

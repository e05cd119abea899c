"""What the tab Train looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trame.widgets import html
from trame.widgets import vuetify3 as v3

from slicer_kdseg.browser.controls import box, button, choice, one_of, several
from slicer_kdseg.browser.curves import CURVE_NAMES, HEIGHT, WIDTH
from slicer_kdseg.browser.front import Front
from slicer_kdseg.scene.choices import BUDGET_SECONDS

if TYPE_CHECKING:
    from slicer_kdseg.browser.train_tab import TrainTab

OTHERS = "others_chosen"  # held by the page
PLOT = (
    f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" preserveAspectRatio="none" role="img"'
    ' aria-label="Loss and quality on strokes kept aside, over the steps">'
    + "".join(f'<polyline :points="train.curves.{name}" class="kdseg-curve-{name}" />' for name in CURVE_NAMES)
    + "</svg>"
)


def build(tab: TrainTab, front: Front) -> None:
    on = front.on
    with html.Div(classes="kdseg-tab"):
        with v3.VBtnToggle(
            model_value=("train.way",),
            update_modelValue=on(tab.choose_way, "$event"),
            mandatory=True,
            divided=True,
            variant="outlined",
            color="primary",
            classes="kdseg-ways",
            raw_attrs=['aria-label="What the student learns from"', 'role="group"'],
        ):
            with v3.VBtn(value="scribble", stacked=True, prepend_icon="mdi-gesture"):
                html.Span("Scribbles → student")
            with v3.VBtn(value="one_case", stacked=True, prepend_icon="mdi-content-copy"):
                html.Span("One labelled case → student")
        with html.Div(classes="kdseg-row kdseg-between"):
            html.Span("Train for", classes="kdseg-label")
            one_of(
                "Train for",
                {budget: budget for budget in BUDGET_SECONDS},
                "train.budget",
                on(tab.choose_budget, "$event"),
            )
        several(
            "Other images",
            "train.others_offered",
            OTHERS,
            no_data_text="Open further images; they take part with their strokes, or unlabelled",
        )
        _advanced(tab, front)
        _buttons(tab, front)
        _state(tab, front)
        v3.VDivider(classes="my-2")
        _preview(tab, front)
        _link(tab, front)


def _advanced(tab: TrainTab, front: Front) -> None:
    on = front.on
    with v3.VExpansionPanels(variant="accordion", classes="kdseg-more"), v3.VExpansionPanel(title="Advanced"):
        with v3.VExpansionPanelText(), html.Div(classes="kdseg-stack"):
            choice("Method", "train.methods", "train.method", on(tab.choose_method, "$event"))
            choice("Preset", "train.presets", "train.preset", on(tab.choose_preset, "$event"))
            choice("Device", "train.devices", "train.device", on(tab.choose_device, "$event"))


def _buttons(tab: TrainTab, front: Front) -> None:
    on = front.on
    button(
        "Train",
        on(tab.train),
        "Starts in the background; the page stays yours (T).",
        color="primary",
        variant="flat",
        size="large",
        block=True,
        prepend_icon="mdi-play",
        disabled=("!train.can_train",),
    )
    with html.Div(classes="kdseg-buttons"):
        button(
            "Send corrections",
            on(tab.correct),
            "What you have drawn since joins the running training (C).",
            disabled=("!train.can_correct",),
            prepend_icon="mdi-send",
            classes="kdseg-wide",
        )
        button(
            "Stop",
            on(tab.stop),
            "End now and keep the best model so far.",
            disabled=("!train.can_stop",),
            prepend_icon="mdi-stop",
        )
        button(
            "Cancel",
            on(tab.cancel),
            "End now and discard what was learnt. Your strokes stay.",
            disabled=("!train.can_cancel",),
            prepend_icon="mdi-close",
        )


def _state(tab: TrainTab, front: Front) -> None:
    html.Div("{{ train.sentence }}", classes="kdseg-state", raw_attrs=['role="status"', 'aria-live="polite"'])
    button(
        "Stop the other training",
        front.on(tab.make_way),
        "Its best model so far is kept, and this training begins.",
        v_if=("train.can_make_way",),
        prepend_icon="mdi-stop",
        block=True,
    )
    html.Div("{{ train.failure }}", v_if=("train.failure",), classes="kdseg-failure", raw_attrs=['role="alert"'])
    html.Div("{{ link.sentence }}", v_if=("link.lost",), classes="kdseg-failure", raw_attrs=['role="alert"'])
    button(
        "Start the backend again",
        front.on(tab.start_backend),
        v_if=("link.lost",),
        prepend_icon="mdi-restart",
        color="primary",
        block=True,
    )
    v3.VProgressLinear(
        v_if=("train.busy",),
        model_value=("train.percent",),
        indeterminate=("train.percent === 0",),
        color="primary",
        height=6,
        rounded=True,
        raw_attrs=['aria-label="Progress of the training"'],
    )
    html.Div("{{ train.time_left }}", v_if=("train.time_left",), classes="kdseg-note")
    html.Div("{{ train.quality }}", classes="kdseg-note")
    with html.Div(v_if=("train.curves",), classes="kdseg-curves") as plot:
        plot.add_child(PLOT)
        with html.Div(classes="kdseg-legend"):
            for name, words in CURVE_NAMES.items():
                html.Span(words, v_if=(f"train.curves.{name}",), classes=f"kdseg-legend-{name}")


def _preview(tab: TrainTab, front: Front) -> None:
    on = front.on
    html.Div("Preview", classes="kdseg-title")
    with html.Div(classes="kdseg-pair"):
        box("Show preview", "train.preview_visible", on(tab.show_preview, "$event"))
        box("Outline only", "train.outline", on(tab.show_outline, "$event"))
    box(
        "Where it is unsure",
        "train.uncertainty",
        on(tab.choose_uncertainty, "$event"),
        "Red where student and teachers disagree; from the next preview on.",
    )
    with html.Div(classes="kdseg-row"):
        html.Span("Opacity", classes="kdseg-label")
        v3.VSlider(
            model_value=("train.opacity",),
            update_modelValue=on(tab.choose_opacity, "$event"),
            min=0,
            max=1,
            step=0.05,
            hide_details=True,
            density="compact",
            thumb_size=14,
            color="primary",
            raw_attrs=['aria-label="Opacity of the preview"'],
        )


def _link(tab: TrainTab, front: Front) -> None:
    on = front.on
    with (
        v3.VExpansionPanels(variant="accordion", classes="kdseg-more"),
        v3.VExpansionPanel(title="Where it trains"),
        v3.VExpansionPanelText(),
        html.Div(classes="kdseg-stack"),
    ):
        html.Div("{{ link.sentence }}", classes="kdseg-note", raw_attrs=['role="status"'])
        v3.VProgressLinear(v_if=("link.busy",), indeterminate=True, raw_attrs=['aria-label="The backend is starting"'])
        with html.Div(classes="kdseg-buttons"):
            button("Start backend", on(tab.start_backend), disabled=("link.busy || link.running",))
            button(
                "Stop backend",
                on(tab.stop_backend),
                "Trainings are interrupted, not lost.",
                disabled=("!link.running",),
            )
        box("Let a training finish when KDSeg ends", "link.finish", on(tab.choose_finish, "$event"))
        html.Div("Cases, trainings and models are kept in {{ link.folder }}", classes="kdseg-note")

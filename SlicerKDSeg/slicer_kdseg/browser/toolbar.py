"""Above the views: the tools, the brush, the class that is drawn, and how the image is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trame.widgets import html
from trame.widgets import vuetify3 as v3

from slicer_kdseg.browser.controls import choice, icon_button

if TYPE_CHECKING:
    from slicer_kdseg.browser.workspace import Workspace

TOOLS = {
    "look": ("mdi-cursor-default-outline", "Look around", "V"),
    "paint": ("mdi-brush", "Paint", "P"),
    "erase": ("mdi-eraser", "Erase", "E"),
    "draw": ("mdi-lasso", "Draw an outline that is filled", "D"),
    "scissors": ("mdi-content-cut", "Scissors: cut away through all slices", "X"),
}


def build(space: Workspace) -> None:
    on = space.front.on
    with html.Div(classes="kdseg-toolbar", raw_attrs=['role="toolbar"', 'aria-label="Drawing"']):
        for name, (icon, words, key) in TOOLS.items():
            icon_button(
                icon,
                words,
                on(space.tools.use, f"'{name}'"),
                hint=f"{words} ({key})",
                variant=(f"tools.tool === '{name}' ? 'flat' : 'text'",),
                color=(f"tools.tool === '{name}' ? 'primary' : undefined",),
                disabled=("!tools.ready",),
            )
        html.Span("Brush", classes="kdseg-label")
        v3.VSlider(
            model_value=("tools.brush_mm",),
            min=("tools.thinnest_mm",),
            max=("tools.widest_mm",),
            step=0.1,
            update_modelValue=on(space.tools.set_brush, "$event"),
            disabled=("!tools.ready",),
            hide_details=True,
            density="compact",
            thumb_size=14,
            color="primary",
            classes="kdseg-brush",
            raw_attrs=['aria-label="Brush diameter in millimetres"'],
        )
        html.Span("{{ tools.brush_mm.toFixed(1) }} mm", classes="kdseg-number")
        icon_button(
            "mdi-undo",
            "Undo",
            on(space.tools.undo),
            hint="Undo (Ctrl+Z)",
            disabled=("!tools.ready || !tools.can_undo",),
        )
        icon_button(
            "mdi-redo",
            "Redo",
            on(space.tools.redo),
            hint="Redo (Ctrl+Y)",
            disabled=("!tools.ready || !tools.can_redo",),
        )
        _drawn_class(space)
        v3.VSpacer()
        choice(
            "Window",
            "views.windows",
            "views.window",
            on(space.views.choose_window, "$event"),
            classes="kdseg-window",
            disabled=("!annotate.ready",),
        )
        icon_button(
            "mdi-fit-to-screen-outline",
            "Fit the views",
            on(space.views.fit),
            hint="Fit the views (F)",
            disabled=("!annotate.ready",),
        )


def _drawn_class(space: Workspace) -> None:
    """Which class the tools draw, in strokes and in a copy that is corrected alike."""
    with v3.VBtn(
        v_if=("tools.ready",),
        variant="text",
        append_icon="mdi-menu-down",
        classes="kdseg-menu kdseg-drawing",
        raw_attrs=[":aria-label=\"'Class that is drawn: ' + tools.name\""],
    ):
        html.Span(classes="kdseg-dot", style=("{background: tools.color}",))
        html.Span("{{ tools.name }}", classes="kdseg-drawing-name")
        with v3.VMenu(activator="parent"), v3.VList(density="compact"):
            with v3.VListItem(
                v_for=("row in tools.classes",),
                key=("row.segment",),
                active=("row.segment === tools.segment",),
                title=("row.name",),
                click=space.front.on(space.tools.choose, "row.segment"),
            ):
                with v3.Template(v_slot_prepend=True):
                    html.Span(classes="kdseg-dot", style=("{background: row.color}",))

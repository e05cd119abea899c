"""What the tab Annotate looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trame.widgets import html
from trame.widgets import vuetify3 as v3

from slicer_kdseg.browser.controls import box, button, choice, one_of
from slicer_kdseg.browser.front import Front

if TYPE_CHECKING:
    from slicer_kdseg.browser.annotate_tab import AnnotateTab

LONGEST_NAME = 64


def build(tab: AnnotateTab, front: Front) -> None:
    on = front.on
    with html.Div(classes="kdseg-tab"):
        choice("Image", "annotate.images", "annotate.image", on(tab.choose_image, "$event"))
        with html.Div(classes="kdseg-row"):
            html.Span("I give", classes="kdseg-label")
            ways = {"scribble": "a few strokes", "atlas": "a finished segmentation"}
            one_of("I give", ways, "annotate.way", on(tab.choose_way, "$event"), disabled=("!annotate.ready",))
        choice(
            "Segmentation",
            "annotate.segmentations",
            "annotate.finished",
            on(tab.choose_finished, "$event"),
            v_if=("annotate.way === 'atlas'",),
            no_data_text="The scene holds no other segmentation: open a .seg.nrrd",
        )
        with html.Div(classes="kdseg-row kdseg-between"):
            html.Span("Classes", classes="kdseg-title")
            with v3.VBtn(
                size="small",
                variant="tonal",
                prepend_icon="mdi-plus",
                click=on(tab.add_class),
                disabled=("!annotate.ready",),
            ):
                html.Span("Add class")
        _classes(tab, front)
        html.Div(
            "{{ annotate.problem }}",
            v_if=("annotate.problem",),
            classes="kdseg-failure",
            raw_attrs=['role="alert"'],
        )
        v3.VDivider(classes="my-2")
        button(
            "Next slice to annotate",
            on(tab.go_to_next_slice),
            "Move the views to the slice where strokes help most (N).",
            prepend_icon="mdi-crosshairs-question",
            disabled=("!annotate.ready",),
            block=True,
        )
        html.Div("{{ annotate.next_sentence }}", v_if=("annotate.next_sentence",), classes="kdseg-note")
        box(
            "Grow a preview while I draw",
            "annotate.grow",
            on(tab.choose_growing, "$event"),
            "After every stroke, grow-cut shows a first segmentation. It needs no backend.",
        )
        box(
            "Add background where it is safe",
            "annotate.background",
            on(tab.choose_background, "$event"),
            "If you draw no background stroke: dark places and the border, far from strokes, count as background.",
        )


def _classes(tab: AnnotateTab, front: Front) -> None:
    html.Div(
        "Open an image. A segmentation to draw in is made for it.",
        v_if=("!annotate.ready",),
        classes="kdseg-note",
    )
    with html.Div(v_if=("annotate.ready",), classes="kdseg-classes"):
        _class_row(tab, front)


def _class_row(tab: AnnotateTab, front: Front) -> None:
    on = front.on
    with html.Div(
        v_for=("row in annotate.classes",),
        key=("row.segment",),
        classes=("['kdseg-class', {'kdseg-class-chosen': row.segment === tools.segment}]",),
        click=on(tab.draw_class, "row.segment"),
        raw_attrs=[
            ':data-class="row.name"',
            '@vue:mounted="row.segment === annotate.added && window.kdseg.askForName($event.el)"',
        ],
    ):
        html.Input(
            type="color",
            value=("row.color",),
            change=on(tab.recolor, "row.id, $event.target.value"),
            raw_attrs=[":aria-label=\"'Colour of ' + row.name\""],
            classes="kdseg-color",
        )
        with html.Div(classes="kdseg-class-words"):
            html.Input(
                type="text",
                value=("row.name",),
                change=on(tab.rename, "row.id, $event.target.value"),
                raw_attrs=[
                    ":aria-label=\"'Name of class ' + row.id\"",
                    f'maxlength="{LONGEST_NAME}"',
                    ':title="row.name"',
                    '@keydown.enter="$event.target.blur()"',
                ],
                classes="kdseg-name",
            )
            html.Button(
                "{{ (row.drawn ? '✓ ' : '○ ') + row.sentence }}",
                type="button",
                classes=("['kdseg-coverage', {'kdseg-missing': !row.drawn}]",),
                raw_attrs=[
                    ":aria-label=\"'Draw ' + row.name + ': ' + row.sentence\"",
                    ':aria-pressed="row.segment === tools.segment"',
                ],
            )
        with v3.VBtn(
            icon=True,
            size="x-small",
            variant="text",
            raw_attrs=[
                ":aria-label=\"'Show or hide ' + row.name\"",
                ':aria-pressed="row.visible"',
                "@click.stop=\"trigger('" + _trigger(front, tab.toggle) + "', [row.segment])\"",
            ],
        ):
            v3.VIcon(icon=("row.visible ? 'mdi-eye' : 'mdi-eye-off'",))
        with v3.VBtn(
            icon=True,
            size="x-small",
            variant="text",
            disabled=("!row.removable",),
            raw_attrs=[
                ":aria-label=\"'Remove ' + row.name\"",
                "@click.stop=\"trigger('" + _trigger(front, tab.remove_class) + "', [row.id])\"",
            ],
        ):
            v3.VIcon(icon="mdi-delete-outline")


def _trigger(front: Front, method: Callable[..., Any]) -> str:
    """For a click inside of a row that is clickable itself."""
    return front.server.controller.trigger_name(front.guarded(method))

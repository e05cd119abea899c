"""What the tab Review looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trame.widgets import html
from trame.widgets import vuetify3 as v3

from slicer_kdseg.browser.controls import button, icon_button
from slicer_kdseg.browser.front import Front

if TYPE_CHECKING:
    from slicer_kdseg.browser.review_tab import ReviewTab

NO_CASE = "Nothing to review yet. Train first, or open a segmentation (.seg.nrrd) of an open image."


def build(tab: ReviewTab, front: Front) -> None:
    on = front.on
    with html.Div(classes="kdseg-tab"):
        with html.Div(classes="kdseg-row kdseg-between"):
            html.Span("Cases", classes="kdseg-title")
            icon_button("mdi-refresh", "Look for predictions in the scene", on(tab.refresh))
        html.Div("{{ review.count }}", v_if=("review.count",), classes="kdseg-note", raw_attrs=['role="status"'])
        html.Div(NO_CASE, v_if=("review.cases.length === 0",), classes="kdseg-note")
        _cases(tab, front)
        with html.Div(classes="kdseg-buttons"):
            off = ("!review.chosen",)
            button(
                "Accept",
                on(tab.accept),
                "Freeze this prediction and go on (Alt+A).",
                disabled=off,
                color="success",
                prepend_icon="mdi-check",
            )
            button("Correct", on(tab.correct), "Edit a copy (Alt+C).", disabled=off, prepend_icon="mdi-pencil")
            button(
                "Reject",
                on(tab.reject),
                "Not to be used (Alt+R).",
                disabled=off,
                color="error",
                prepend_icon="mdi-cancel",
            )
            button(
                "Next",
                on(tab.next),
                "The next case without a verdict (Alt+N).",
                disabled=("review.cases.length === 0",),
                prepend_icon="mdi-arrow-right",
            )
        v3.VTextField(
            label="Note",
            placeholder="Why",
            model_value=("review.note",),
            change=on(tab.write_note, "$event.target.value"),
            disabled=off,
            density="compact",
            variant="outlined",
            hide_details=True,
        )
        _differences(tab, front)


def _cases(tab: ReviewTab, front: Front) -> None:
    with html.Button(
        v_for=("row in review.cases",),
        key=("row.id",),
        type="button",
        classes=("['kdseg-case', {'kdseg-class-chosen': row.id === review.chosen}]",),
        click=front.on(tab.choose, "row.id"),
        raw_attrs=[
            ":aria-label=\"'Case ' + row.image + ', ' + row.verdict\"",
            ':aria-pressed="row.id === review.chosen"',
        ],
    ):
        with html.Span(classes="kdseg-class-words"):
            html.Span("{{ row.image }}")
            html.Span(
                "{{ row.prediction }}{{ row.note ? ' · ' + row.note : '' }}",
                classes="kdseg-coverage kdseg-two-lines",
                raw_attrs=[':title="row.note"'],
            )
        v3.VChip(
            "{{ row.verdict }}",
            size="small",
            classes="kdseg-verdict",
            color=("({accepted: 'success', corrected: 'primary', rejected: 'error'})[row.verdict]",),
        )


def _differences(tab: ReviewTab, front: Front) -> None:
    with v3.VTable(v_if=("review.differences.length",), density="compact", classes="kdseg-table"):
        with html.Thead(), html.Tr():
            for words in ("Class", "Predicted, ml", "Reviewed, ml", "Dice", "Changed voxels"):
                html.Th(words)
        with html.Tbody(), html.Tr(v_for=("row in review.differences",), key=("row.name",)):
            for field in ("name", "predicted_ml", "reviewed_ml", "dice", "changed"):
                html.Td(f"{{{{ row.{field} }}}}")

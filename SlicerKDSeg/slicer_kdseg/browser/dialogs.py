"""What comes up over the page: images of a folder, the list of keys, a question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trame.widgets import html
from trame.widgets import vuetify3 as v3

from slicer_kdseg.browser.controls import button
from slicer_kdseg.browser.front import Front

if TYPE_CHECKING:
    from slicer_kdseg.browser.desk import Desk
    from slicer_kdseg.browser.question import Question


def folder_dialog(desk: Desk, front: Front) -> None:
    """A folder's images, to be chosen from."""
    on = front.on
    with v3.VDialog(v_model=("folder_dialog",), max_width=560), v3.VCard(title="A folder where KDSeg runs"):
        with html.Div(classes="kdseg-dialog"):
            v3.VTextField(
                label="Folder",
                placeholder="/home/me/images",
                model_value=("desk.folder",),
                change=on(desk.look_into, "$event.target.value"),
                density="compact",
                variant="outlined",
                hide_details=True,
            )
            html.Div("{{ desk.folder_says }}", classes="kdseg-note", raw_attrs=['role="status"'])
            with v3.VList(density="compact", max_height=320, v_if=("desk.files.length",)):
                v3.VListItem(
                    "{{ file }}",
                    v_for=("file in desk.files",),
                    key=("file",),
                    click=on(desk.open_of_folder, "[file]"),
                    prepend_icon="mdi-image-outline",
                )
            button(
                "Open all",
                on(desk.open_of_folder, "desk.files"),
                disabled=("!desk.files.length",),
                block=True,
            )
            button("Close", "folder_dialog = false", variant="text", block=True)


def keys_dialog(words: list[tuple[str, str]]) -> None:
    """What keys and mouse do."""
    with v3.VDialog(v_model=("keys_dialog",), max_width=720), v3.VCard(title="Keys and mouse"):
        with html.Div(classes="kdseg-dialog"):
            with html.Div(classes="kdseg-keys"):
                for key, what in words:
                    with html.Div(classes="kdseg-key"):
                        html.Kbd(key)
                        html.Span(what)
            button("Close", "keys_dialog = false", variant="text", block=True)


def question_dialog(question: Question, front: Front) -> None:
    """A sentence and two answers; it stays until one is given."""
    with (
        v3.VDialog(model_value=("!!question.sentence",), persistent=True, max_width=480),
        v3.VCard(title="Replace what is open?"),
        html.Div(classes="kdseg-dialog"),
    ):
        html.Div("{{ question.sentence }}", classes="kdseg-state", raw_attrs=['role="alert"'])
        with html.Div(classes="kdseg-buttons"):
            button(("question.no",), front.on(question.answer, "false"), color="primary", variant="flat")
            button(("question.yes",), front.on(question.answer, "true"), color="error")

"""The page: a bar above, the tabs at the left, tools and views at the right, and what to do where nothing is open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trame.ui.vuetify3 import VAppLayout
from trame.widgets import html
from trame.widgets import vuetify3 as v3

from slicer_kdseg.browser import annotate_page, review_page, toolbar, train_page
from slicer_kdseg.browser.controls import button, icon_button
from slicer_kdseg.browser.dialogs import folder_dialog, keys_dialog, question_dialog
from slicer_kdseg.browser.keys import bindings, key_words

if TYPE_CHECKING:
    from slicer_kdseg.browser.workspace import Workspace

ASSETS = Path(__file__).with_name("assets")
TABS = {"annotate": "Annotate", "train": "Train", "review": "Review"}
DOWNLOADS = {
    "segmentation.seg.nrrd": "Segmentation (.seg.nrrd)",
    "segmentation.nii.gz": "Segmentation (NIfTI)",
    "strokes.seg.nrrd": "Strokes (.seg.nrrd)",
    "scene.mrb": "Whole scene (.mrb)",
    "report.zip": "Review report (CSV, HTML)",
}
GONE = (
    '<div class="kdseg-gone" role="alert"><h1>KDSeg</h1><p>The workspace has ended, or does not answer any more.'
    " Reload this page; if that does not help, start it again where it ran, with 'kdseg web'."
    " Trainings and models are kept there.</p></div>"
)
THEMES = {
    "defaultTheme": "dark",
    "themes": {
        "dark": {
            "dark": True,
            "colors": {"background": "#101418", "surface": "#181d23", "primary": "#4fa3f7", "error": "#ff7a70"},
        },
        "light": {
            "dark": False,
            "colors": {"background": "#eef1f4", "surface": "#ffffff", "primary": "#0b62b8", "error": "#b3261e"},
        },
    },
}


class Page:
    """Only what a page is made of; what its widgets do belongs to the tabs, the tools and the desk."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        front, server = workspace.front, workspace.server
        server.enable_module(
            {
                "serve": {"kdseg": str(ASSETS)},
                "scripts": ["kdseg/workspace.js"],
                "styles": ["kdseg/workspace.css"],
            }
        )
        keys = bindings(workspace)
        server.trigger("key_pressed")(front.guarded(lambda key: keys[key][1]() if key in keys else None))
        server.trigger("view_left")(front.guarded(workspace.tools.hide_brush))
        server.state.update(
            {
                "trame__title": "KDSeg",
                "theme": "dark",
                "tab": "annotate",
                "keys": list(keys),
                "transfer": {"busy": False, "percent": 0, "sentence": ""},
                "trame__template_error": GONE,
                "folder_dialog": False,
                "keys_dialog": False,
            }
        )
        server.state.client_only("transfer")
        with VAppLayout(server, vuetify_config={"theme": THEMES}) as page:
            page.root.theme = ("theme",)
            self._bar()
            self._drawer()
            with v3.VMain(classes="kdseg-main"):
                toolbar.build(workspace)
                with html.Div(classes="kdseg-views"):
                    workspace.views.place(page)
                    self._nothing_open()
            folder_dialog(workspace.desk, front)
            keys_dialog(key_words(keys))
            question_dialog(workspace.desk.question, front)

    def _bar(self) -> None:
        on = self._space.front.on
        with v3.VAppBar(density="compact", flat=True, border="b"):
            html.Span("KDSeg", classes="kdseg-brand")
            self._open_menu()
            self._download_menu()
            html.Span("{{ desk.image }}", classes="kdseg-image")
            v3.VSpacer()
            with html.Span(classes="kdseg-chip", raw_attrs=['role="status"', 'aria-label="Backend"']):
                html.Span(classes=(f"['kdseg-light', {_of_backend('kdseg-trains', 'kdseg-on', 'kdseg-wait', '')}]",))
                html.Span(f"{{{{ {_of_backend('training', 'backend ready', 'backend starting', 'no backend')} }}}}")
            icon_button("mdi-keyboard-outline", "Keys", "keys_dialog = true")
            turn = on(self._turn_light)
            icon_button(("theme === 'dark' ? 'mdi-weather-sunny' : 'mdi-weather-night'",), "Light or dark", turn)

    def _open_menu(self) -> None:
        on = self._space.front.on
        html.Input(
            type="file",
            multiple=True,
            id="kdseg-files",
            change="window.kdseg.upload($event.target)",
            raw_attrs=["hidden", 'aria-label="Files to open"'],
        )
        with v3.VBtn(variant="text", prepend_icon="mdi-folder-open-outline", classes="kdseg-menu"):
            html.Span("Open")
            with v3.VMenu(activator="parent"), v3.VList(density="compact"):
                v3.VListItem(
                    title="Files of this computer …",
                    subtitle="NIfTI, NRRD, .seg.nrrd, .mrb, DICOM, zip",
                    prepend_icon="mdi-file-upload-outline",
                    click="window.kdseg.pick()",
                )
                v3.VListItem(
                    title="A folder where KDSeg runs …",
                    subtitle="nothing is copied",
                    prepend_icon="mdi-folder-outline",
                    click="folder_dialog = true",
                )
                v3.VListItem(
                    title="The sample chest CT", prepend_icon="mdi-lungs", click=on(self._space.desk.open_sample)
                )

    def _download_menu(self) -> None:
        with v3.VBtn(
            variant="text", prepend_icon="mdi-download-outline", classes="kdseg-menu", disabled=("!annotate.ready",)
        ):
            html.Span("Download")
            with v3.VMenu(activator="parent"), v3.VList(density="compact"):
                for name, words in DOWNLOADS.items():
                    v3.VListItem(title=words, click=f"window.kdseg.download('{name}')")
                v3.VListItem(
                    title="Current model (zip)",
                    click="window.kdseg.download('model/' + models.rows.find(row => row.current).number)",
                    disabled=("!models.rows.some(row => row.current)",),
                )

    def _drawer(self) -> None:
        space = self._space
        with v3.VNavigationDrawer(permanent=True, width=368, disable_resize_watcher=True):
            with v3.VTabs(
                model_value=("tab",),
                update_modelValue=space.front.on(space.desk.choose_tab, "$event"),
                density="compact",
                grow=True,
                color="primary",
                raw_attrs=['aria-label="What to do"'],
            ):
                for value, words in TABS.items():
                    v3.VTab(words, value=value)
            v3.VDivider()
            with html.Div(v_if=("message",), classes="kdseg-message", raw_attrs=['role="alert"']):
                html.Span("{{ message }}")
                icon_button("mdi-close", "Close this message", "message = ''", size="x-small")
            self._progress()
            with html.Div(v_show=("tab === 'annotate'",)):
                annotate_page.build(space.annotate, space.front)
            with html.Div(v_show=("tab === 'train'",)):
                train_page.build(space.train, space.front)
            with html.Div(v_show=("tab === 'review'",)):
                review_page.build(space.review, space.front)
                space.models.build()

    def _progress(self) -> None:
        """Of what is sent, read and made."""
        busy = "transfer.busy || desk.busy"
        with html.Div(v_if=(busy,), classes="kdseg-tab", raw_attrs=['role="status"']):
            html.Div("{{ desk.busy || transfer.sentence }}", classes="kdseg-note")
            v3.VProgressLinear(
                model_value=("transfer.percent",),
                indeterminate=("desk.busy || transfer.percent === 0 || transfer.percent > 99",),
                color="primary",
                raw_attrs=['aria-label="Progress of opening or saving"'],
            )
            button("Cancel", "window.kdseg.cancel()", v_if=("!desk.busy",), size="small")
            button("Cancel", self._space.front.on(self._space.desk.cancel), v_if=("desk.busy",), size="small")

    def _nothing_open(self) -> None:
        with html.Div(v_if=("!annotate.ready",), classes="kdseg-empty"), html.Div(classes="kdseg-empty-card"):
            html.H1("Open an image to begin")
            html.P("Draw a few strokes, press Train, watch the segmentation appear, correct it, take the model away.")
            with html.Div(classes="kdseg-stack"):
                button(
                    "Open the sample chest CT",
                    self._space.front.on(self._space.desk.open_sample),
                    size="large",
                    color="primary",
                    variant="flat",
                    prepend_icon="mdi-lungs",
                    block=True,
                )
                button(
                    "Open files of this computer",
                    "window.kdseg.pick()",
                    size="large",
                    prepend_icon="mdi-file-upload-outline",
                    block=True,
                )
                button(
                    "Open a folder where KDSeg runs",
                    "folder_dialog = true",
                    size="large",
                    prepend_icon="mdi-folder-outline",
                    block=True,
                )
            html.P(
                "Or drop files here: NIfTI, NRRD, .seg.nrrd, .mrb, a DICOM series. Images stay on this machine.",
                classes="kdseg-note kdseg-drop",
            )

    def _turn_light(self) -> None:
        state = self._space.server.state
        state.theme = "light" if state.theme == "dark" else "dark"


def _of_backend(trains: str, ready: str, starts: str, none: str) -> str:
    """An expression that is one of these words."""
    return f"link.connected ? (train.training ? '{trains}' : '{ready}') : link.busy ? '{starts}' : '{none}'"

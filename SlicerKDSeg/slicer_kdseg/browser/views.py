"""The slice views and the 3-D view: what they show, where they look, how they are laid out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.core.volume_window_level import VolumeWindowLevel
from trame_slicer.rca_view import register_rca_factories
from trame_slicer.views import AbstractView, Layout, LayoutDirection, SliceView, ViewLayoutDefinition

from slicer_kdseg.browser.controls import icon_button
from slicer_kdseg.browser.fitting import Fitted, intensities
from slicer_kdseg.browser.front import Front
from slicer_kdseg.browser.layering import put_image_below
from slicer_kdseg.scene import uncertainty

Arrangement = Literal["four", "axial", "coronal", "sagittal", "surface"]
SIDES = {"Red": "RLAP", "Green": "RLSI", "Yellow": "APSI"}  # at the left, right, top and bottom of a view
NAMES = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal", "ThreeD": "Surfaces"}
SIDE = 0.3  # of the width, for the three small views
FRAMES, FRAMES_ELSEWHERE = 20.0, 5.0  # a second: a hand is in one view only
SAMPLES = 0  # a pixel of a slice, which gains nothing by more: in software four cost 20 ms a picture, none cost 4
# A preset is the window and the level.
WINDOWS: dict[str, tuple[float, float] | None] = {
    "Automatic": None,
    "Soft tissue": (350.0, 40.0),
    "Lung": (1400.0, -500.0),
    "Bone": (1000.0, 400.0),
    "Brain": (100.0, 50.0),
    "Liver": (150.0, 70.0),
}


@dataclass(frozen=True)
class SliceShown:
    """Where one slice view looks; offsets in mm along its normal, ``number`` of ``count`` counts from 1."""

    number: int = 1
    count: int = 1
    offset: float = 0.0
    lowest: float = 0.0
    highest: float = 1.0
    step: float = 1.0


@dataclass(frozen=True)
class ViewsShown:
    arrangement: Arrangement = "four"
    window: str = "Automatic"
    windows: tuple[str, ...] = tuple(WINDOWS)


class Views:
    def __init__(self, parts: SlicerApp, front: Front) -> None:
        self._parts, self._front = parts, front
        self.shown = ViewsShown()
        self.volume: Any | None = None
        self._unsure, self._unsure_hidden = False, False
        self._fitted = False
        self._fitted_views: dict[str, Fitted] = {}
        register_rca_factories(
            parts.view_manager,
            front.server,
            slice_view_ui_f=self._furnish_slice,
            three_d_view_ui_f=self._furnish_surface,
            target_fps=FRAMES,
            blur_fps=FRAMES_ELSEWHERE,
        )
        self._layouts = LayoutManager(parts.scene, parts.view_manager, front.server)
        self._layouts.register_layout_dict(_arrangements())
        self._layouts.set_layout("four")
        front.show("views", self.shown)

    def place(self, page: Any) -> None:
        """Into the page, where this is called."""
        self._layouts.initialize_layout_grid(page)

    @property
    def slices(self) -> list[SliceView]:
        return self._parts.view_manager.get_slice_views()

    def arrange(self, arrangement: Arrangement) -> None:
        self._become(arrangement=arrangement)
        self._layouts.set_layout(arrangement)

    def show_volume(self, volume: Any) -> None:
        """As the background of every slice view, from its middle slice."""
        if volume is self.volume:
            return
        self.volume = volume
        self._parts.display_manager.show_volume_in_slice_background(volume)
        for view in self.slices:
            put_image_below(view)
            self._fit(view)
        self._fitted = False
        self.choose_window("Automatic")
        self._show_uncertainty()

    def found_again(self) -> None:
        """After a scene was opened: views show its labels only once they come into the layout anew."""
        self.volume = None
        current = self._parts.view_manager.get_current_view_ids()
        for view in self._parts.view_manager.get_views():
            view.set_mapped_in_layout(False)
            view.set_mapped_in_layout(view.get_singleton_tag() in current)

    def tick(self) -> None:
        """A view that was given another size is fitted again, unless somebody has zoomed or moved in it."""
        for view in self.slices:
            fitted = self._fitted_views.get(view.get_singleton_tag())
            if self.volume is not None and fitted is not None and fitted.only_resized(view):
                offset = view.get_slice_value()
                self._fit(view)
                view.set_slice_value(offset)

    def fit(self) -> None:
        for view in self.slices:
            self._fit(view)
        for view in self._parts.view_manager.get_threed_views():
            view.reset_view()

    def fit_surfaces(self) -> None:
        """The first surfaces come into view; a camera that somebody has moved stays."""
        for view in self._parts.view_manager.get_threed_views():
            if not self._fitted:
                self._fitted = True
                view.fit_view_to_content()
                view.zoom_out()
            view.schedule_render()

    def choose_window(self, name: str) -> None:
        preset = WINDOWS.get(name)
        if self.volume is not None:
            if preset is None:
                VolumeWindowLevel.set_volume_node_display_min_max_range(self.volume, *intensities(self.volume))
            else:
                VolumeWindowLevel.set_volume_node_window_level(self.volume, *preset)
        self._become(window=name)

    def show_uncertainty(self, wanted: bool) -> None:
        """Of the image that is seen, if the student has said so yet; asked again, it finds what has come since."""
        self._unsure = wanted
        self._show_uncertainty()

    def hide_uncertainty(self, hidden: bool) -> None:
        """It lies over what is judged; what is wanted is remembered."""
        self._unsure_hidden = hidden
        self._show_uncertainty()

    def step(self, slices: int, tag: str = "Red") -> None:
        """``slices`` on, in the view with this tag."""
        view = self._parts.view_manager.get_view(tag)
        if isinstance(view, SliceView):
            low, high = view.get_slice_range()
            view.set_slice_value(min(max(view.get_slice_value() + slices * view.get_slice_step(), low), high))

    # Furniture of a view

    def _furnish_slice(self, _server: Any, _id: str, view: SliceView) -> None:
        tag = view.get_singleton_tag()
        name, key = NAMES[tag], f"slice_{tag}"
        view.render_window().SetMultiSamples(SAMPLES)
        self._front.show(key, SliceShown())
        view.modified.connect(lambda moved: self._moved(key, moved))
        _overlay(tag, name)
        html.Div(classes="kdseg-view-shade")
        for side, letter in zip(("left", "right", "top", "bottom"), SIDES[tag], strict=True):
            html.Span(letter, classes=f"kdseg-side kdseg-side-{side}")
        with html.Div(classes="kdseg-view-head"):
            html.Span(name, classes=f"kdseg-view-name kdseg-{name.lower()}")
            html.Span(f"{{{{ {key}.number }}}} / {{{{ {key}.count }}}}", classes="kdseg-view-place")
            self._maximise(tag, name)
        v3.VSlider(
            classes="kdseg-view-slider",
            model_value=(f"{key}.offset",),
            min=(f"{key}.lowest",),
            max=(f"{key}.highest",),
            step=(f"{key}.step",),
            update_modelValue=self._front.on(lambda offset: view.set_slice_value(float(offset)), "$event"),
            hide_details=True,
            density="compact",
            thumb_size=12,
            track_size=2,
            raw_attrs=[f'aria-label="{name} slice"'],
        )

    def _furnish_surface(self, _server: Any, _id: str, view: AbstractView) -> None:
        _overlay("ThreeD", NAMES["ThreeD"])
        with html.Div(classes="kdseg-view-head"):
            html.Span(NAMES["ThreeD"], classes="kdseg-view-name")
            self._maximise("ThreeD", NAMES["ThreeD"])
        html.Div("{{ surfaces.sentence }}", v_if=("surfaces.sentence",), classes="kdseg-view-note")

    def _maximise(self, tag: str, name: str) -> None:
        own: dict[str, Arrangement] = {"Red": "axial", "Green": "coronal", "Yellow": "sagittal", "ThreeD": "surface"}
        toggle: Callable[[], None] = lambda: self.arrange("four" if self.shown.arrangement != "four" else own[tag])  # noqa: E731
        icon_button(
            ("views.arrangement === 'four' ? 'mdi-arrow-expand' : 'mdi-arrow-collapse'",),
            f"{name} view alone, or all four",
            self._front.on(toggle),
            size="x-small",
        )

    def _moved(self, key: str, view: SliceView) -> None:
        (low, high), step = view.get_slice_range(), view.get_slice_step()
        offset = view.get_slice_value()
        count = round((high - low) / step) + 1 if step > 0 else 1
        number = min(max(round((offset - low) / step) + 1, 1), count) if step > 0 else 1
        self._front.show(key, SliceShown(number, count, offset, low, high, step))

    def _show_uncertainty(self) -> None:
        """As the foreground of the slice views."""
        wanted = self._unsure and not self._unsure_hidden
        node = uncertainty.find_uncertainty(self._parts.scene, self.volume) if wanted else None
        self._parts.display_manager.show_volume_in_slice_foreground(node)
        for view in self.slices:
            view.set_foreground_opacity(uncertainty.OPACITY if node is not None else 0.0)

    def _fit(self, view: SliceView) -> None:
        view.fit_view_to_content()
        self._fitted_views[view.get_singleton_tag()] = Fitted.now(view)

    def _become(self, **changes: Any) -> None:
        self.shown = replace(self.shown, **changes)
        self._front.show("views", self.shown)


def _overlay(tag: str, name: str) -> None:
    """Lies over the picture, which the keyboard can reach, and gives it a name for a screen reader."""
    html.Div(
        classes=f"kdseg-view kdseg-view-{tag}",
        raw_attrs=[f"@vue:mounted=\"window.kdseg.furnishView($event.el.parentElement, '{name} view')\""],
    )


def _arrangements() -> dict[str, Layout]:
    axial, coronal = ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.coronal_view()
    sagittal, surface = ViewLayoutDefinition.sagittal_view(), ViewLayoutDefinition.threed_view()
    side = Layout(LayoutDirection.Vertical, [coronal, sagittal, surface])
    return {
        "four": Layout(LayoutDirection.Horizontal, [axial, side], [f"{1 - SIDE:.2f}", f"{SIDE:.2f}"]),
        "axial": Layout(LayoutDirection.Vertical, [axial]),
        "coronal": Layout(LayoutDirection.Vertical, [coronal]),
        "sagittal": Layout(LayoutDirection.Vertical, [sagittal]),
        "surface": Layout(LayoutDirection.Vertical, [surface]),
    }

"""The tab Train: two big choices, a time budget, four buttons, and what can be seen while it trains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from slicer_kdseg.browser.curves import curves
from slicer_kdseg.browser.front import Front
from slicer_kdseg.browser.images import Item, image_items
from slicer_kdseg.browser.train_page import OTHERS
from slicer_kdseg.browser.views import Views
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.protocol.settings import preset_names
from slicer_kdseg.scene.backend_state import LinkState, Stage
from slicer_kdseg.scene.choices import DEVICES, Choices, way_of
from slicer_kdseg.scene.state import PreviewShown, SessionState
from slicer_kdseg.scene.wording import happening, quality, time_left
from slicer_kdseg.scene.workplace import ONE_CASE, STROKES, Workplace


@dataclass(frozen=True)
class TrainShown:
    """``curves`` maps a curve's name to the points of an SVG polyline."""

    way: str = "scribble"
    budget: str = "2 min"
    others_offered: tuple[Item, ...] = ()
    methods: tuple[str, ...] = ()
    method: str = "scribble"
    presets: tuple[str, ...] = ()
    preset: str = "fast"
    devices: tuple[str, ...] = DEVICES
    device: str = "auto"
    can_train: bool = False
    can_correct: bool = False
    can_stop: bool = False
    can_cancel: bool = False
    can_make_way: bool = False
    training: bool = False
    sentence: str = ""
    failure: str = ""
    busy: bool = False
    percent: int = 0
    time_left: str = ""
    quality: str = ""
    curves: dict[str, str] | None = None
    preview_visible: bool = True
    outline: bool = False
    opacity: float = 0.5
    uncertainty: bool = False


@dataclass(frozen=True)
class LinkShown:
    sentence: str = ""
    busy: bool = False
    running: bool = False
    connected: bool = False
    finish: bool = False
    folder: str = ""
    lost: bool = False


class TrainTab:
    def __init__(self, front: Front, workplace: Workplace, views: Views) -> None:
        self._front, self._place, self._views = front, workplace, views
        self.shown = TrainShown(methods=tuple(sorted(SETTINGS)))
        self._curves_version = -1
        self._stage: Stage = "none"
        self._lost = False
        session = workplace.session
        session.signals.state_changed.connect(self.show)
        session.signals.preview_arrived.connect(self._arrived)
        workplace.chosen.connect(self.show_choices)
        workplace.link.changed.connect(self.show_link)
        workplace.ticked.connect(self._ticked)
        front.follow(OTHERS, self.choose_others)
        self.show_choices(workplace.choices)
        self.show(session.state)
        self.show_link(workplace.link.state)

    # Clicks

    def choose_way(self, way: str) -> None:
        if way == "one_case":
            self._place.learn_by(ONE_CASE)
        else:
            self._place.learn_by(STROKES)

    def choose_budget(self, budget: str) -> None:
        self._place.choose(budget=budget)

    def choose_others(self, ids: list[str]) -> None:
        """Of the images offered; the open one is not among them, and stays chosen if it was."""
        choices = self._place.choices
        kept = [id_ for id_ in choices.others if id_ == choices.volume]
        if {*ids, *kept} != set(choices.others):
            self._place.choose(others=(*ids, *kept))

    def choose_method(self, method: str) -> None:
        self._place.learn_by(method)

    def choose_preset(self, preset: str) -> None:
        self._place.choose(preset=preset)

    def choose_device(self, device: str) -> None:
        self._place.choose(device=device)

    def train(self) -> None:
        self._front.say("")
        self._place.train()
        self.show(self._place.session.state)

    def correct(self) -> None:
        self._place.correct()

    def stop(self) -> None:
        self._place.session.stop()

    def cancel(self) -> None:
        self._place.cancel()

    def make_way(self) -> None:
        self._place.session.make_way()

    def show_preview(self, wanted: bool) -> None:
        self._place.choose(preview_visible=bool(wanted))
        self._place.show_preview()

    def show_outline(self, wanted: bool) -> None:
        self._place.choose(outline=bool(wanted))
        self._place.show_preview()

    def choose_opacity(self, opacity: float) -> None:
        self._place.choose(opacity=round(float(opacity), 2))
        self._place.show_preview()

    def choose_uncertainty(self, wanted: bool) -> None:
        self._place.choose(uncertainty=bool(wanted))

    def start_backend(self) -> None:
        self._place.link.start_local(self._place.python())

    def stop_backend(self) -> None:
        self._place.link.stop_local()

    def choose_finish(self, wanted: bool) -> None:
        self._place.link.let_trainings_finish = bool(wanted)
        self.show_link(self._place.link.state)

    # What is shown

    def show(self, state: SessionState) -> None:
        waits = self._place.waits_for_backend
        self._become(
            can_train=state.can_train and not waits,
            can_correct=state.can_correct,
            can_stop=state.can_stop,
            can_cancel=state.can_cancel or waits,
            can_make_way=state.can_make_way,
            training=state.phase == "training",
            sentence=self._place.link.state.sentence if waits else happening(state),
            failure=state.failure or state.trouble,
            busy=state.can_cancel or waits,
            percent=round(100 * state.fraction),
            time_left=time_left(state.seconds_left) if state.phase == "training" else "",
            quality=quality(state.held_out, of_strokes=way_of(state.method) == "scribble"),
        )

    def show_choices(self, choices: Choices) -> None:
        offered = tuple(item for item in image_items(self._place.scene) if item.value != choices.volume)
        known = {item.value for item in offered}
        self._front.server.state[OTHERS] = [id_ for id_ in choices.others if id_ in known]
        self._become(
            way="one_case" if choices.method == ONE_CASE else "scribble",
            budget=choices.budget,
            others_offered=offered,
            method=choices.method,
            presets=tuple(preset_names(choices.method)) if choices.method in SETTINGS else (),
            preset=choices.preset,
            device=choices.device,
            preview_visible=choices.preview_visible,
            outline=choices.outline,
            opacity=choices.opacity,
            uncertainty=choices.uncertainty,
        )
        if self._place.session.show_uncertainty != choices.uncertainty:
            self._place.session.show_uncertainty_map(choices.uncertainty)
            self._views.show_uncertainty(choices.uncertainty)

    def show_link(self, link: LinkState) -> None:
        """A backend that has ended, or could not be started, is said, and the button that starts it is shown."""
        if link.stage == "none" and self._stage in ("starting", "connected"):
            self._front.say(link.sentence)
            self._lost = True
        elif link.stage != "none":
            self._lost = False
        self._stage = link.stage
        self._front.show(
            "link",
            LinkShown(
                link.sentence,
                link.busy,
                link.runs_locally,
                link.stage == "connected",
                self._place.link.let_trainings_finish,
                str(self._place.link.root),
                self._lost,
            ),
        )
        self.show(self._place.session.state)

    def _arrived(self, shown: PreviewShown) -> None:
        if shown.source == "student":
            self._views.show_uncertainty(self._place.choices.uncertainty)

    def _ticked(self) -> None:
        history = self._place.session.history
        if history.version != self._curves_version:
            self._curves_version = history.version
            self._become(curves=curves(history))

    def _become(self, **changes: Any) -> None:
        self.shown = replace(self.shown, **changes)
        self._front.show("train", self.shown)

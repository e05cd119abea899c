"""What all panels of one module share: session, choices, review, backend, and the clock that drains them.

Reloading the module makes a new workplace over the same scene and the same backend: the job is found again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer

from slicer_kdseg.desktop.backend_link import BackendLink
from slicer_kdseg.desktop.backend_python import BackendPython
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BackendUnreachable, BadAnnotation, BadImage, KDSegError
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.scene.annotation import BACKGROUND_CLASS, Annotation, choose_finished, find_annotation, new_annotation
from slicer_kdseg.scene.choices import ChoiceNode, Choices
from slicer_kdseg.scene.cohort import chosen_cases
from slicer_kdseg.scene.displaying import show_as_chosen
from slicer_kdseg.scene.results import find_preview
from slicer_kdseg.scene.session import KDSegSession
from slicer_kdseg.scene.signals import Signal
from slicer_kdseg.scene.state import PreviewShown

TICK_MILLISECONDS = 50
FIRST_CLASSES = LabelContract((BACKGROUND_CLASS, LabelClass(1, "class 1", (0.90, 0.45, 0.20))))


class Workplace:
    """``python`` says which interpreter a local backend gets, at the moment it is started."""

    def __init__(self, scene: Any, link: BackendLink, python: Callable[[], BackendPython]) -> None:
        self.scene = scene
        self.link = link
        self.python = python
        self.session = KDSegSession(scene)

        self.said: Signal[[str]] = Signal()
        self.chosen: Signal[[Choices]] = Signal()
        self.ticked: Signal[[]] = Signal()
        self._node = ChoiceNode(scene)
        self._pending: Callable[[], None] | None = None
        self._disconnect = [
            link.connected.connect(self._connected),
            self.session.signals.preview_arrived.connect(self._arrived),
            self.session.signals.predicted.connect(self._predicted),
        ]
        if link.client is not None:
            self.session.connect(link.client)
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MILLISECONDS)
        self._timer.connect("timeout()", self.tick)
        self._timer.start()

    # What the user chose

    @property
    def choices(self) -> Choices:
        if not self._node.present:
            self._node = ChoiceNode(self.scene)
        return self._node.read()

    def choose(self, **changes: Any) -> Choices:
        choices = self.choices  # finds the node again after the scene was closed
        if any(getattr(choices, name) != value for name, value in changes.items()):
            choices = self._node.write(**changes)
            self.chosen.emit(choices)
        return choices

    # What there is to work on

    def work_on(self, volume: Any) -> None:
        """Its annotation is found again, or made with a background and one class to begin with."""
        node, before = find_annotation(self.scene, volume), self.session.annotation
        if before is not None and before.volume is volume and before.node is node:
            return
        annotation = Annotation(volume, node) if node else new_annotation(self.scene, volume, FIRST_CLASSES)
        self._annotate(annotation)

    def work_with_labels(self, volume: Any, node: Any) -> None:
        """A segmentation that exists already, as labels of ``volume``; it is only read, tags aside."""
        before = self.session.annotation
        choose_finished(node, volume)
        if before is not None and before.volume is volume and before.node is node:
            return
        self._annotate(Annotation(volume, node))

    # The loop

    def train(self) -> None:
        """Start a local backend first if there is none. Raises :class:`KDSegError` before anything is sent."""
        choices = self.choices
        if choices.method not in SETTINGS:
            raise BackendUnreachable(f"This version knows no method '{choices.method}'; choose another one.")
        if self.session.annotation is None:
            raise BadImage("There is no volume to work on; choose one in the tab Annotate.")
        self.session.automatic_background = choices.automatic_background
        kind = SETTINGS[choices.method].learns_from
        if kind == "dense" and self.session.annotation.looks_like_strokes:
            raise BadAnnotation(
                f"The method '{choices.method}' learns from a finished segmentation, and these are strokes: choose the"
                " finished one in the tab Annotate, or 'Scribbles → student'."
            )

        def request() -> None:
            others = [id_ for id_ in choices.others if id_ != choices.volume]
            cohort = chosen_cases(self.scene, others, choices.method)
            self.session.request_training(
                choices.method,
                choices.preset,
                choices.settings,
                kind,
                other_volumes=cohort.unlabelled,
                labelled=cohort.labelled,
            )

        if self.link.state.stage == "connected":
            request()
        elif self.link.state.local:
            self._pending = request
            self.link.start_local(self.python())
        else:
            raise BackendUnreachable("The backend on the other machine is not connected; press Connect.")

    def forget_request(self) -> None:
        """The user cancelled before the backend was there, or it could not be started."""
        self._pending = None
        self.session.signals.state_changed.emit(self.session.state)

    @property
    def waits_for_backend(self) -> bool:
        return self._pending is not None

    def predict_others(self) -> int:
        """The current model on every other volume chosen; returns how many. Raises :class:`KDSegError`."""
        models = [model for model in self.session.state.models if model.current]
        if not models:
            raise BackendUnreachable("There is no current model yet; train one first.")
        found = (self.scene.GetNodeByID(id_) for id_ in self.choices.others)
        nodes = [node for node in found if node is not None]
        if not nodes:
            raise BadImage("There are no other images; choose some in the tab Train.")
        for node in nodes:
            self.session.predictions.predict(node, models[0])
        return len(nodes)

    def show_preview(self) -> None:
        if self.session.preview is not None:
            show_as_chosen(self.session.preview.node, self.choices)

    def _arrived(self, shown: PreviewShown) -> None:
        node = self.scene.GetNodeByID(shown.node_id) if shown.node_id else None
        if node is not None:
            show_as_chosen(node, self.choices)
        else:
            self.show_preview()

    def _predicted(self, volume: Any) -> None:
        show_as_chosen(find_preview(self.scene, volume), self.choices)
        self.say(f"'{volume.GetName()}' was segmented.")

    def say(self, sentence: str) -> None:
        self.said.emit(sentence)

    # The clock

    def tick(self) -> None:
        self.link.drain()
        if self._pending is not None and not self.link.state.busy and self.link.state.stage != "connected":
            self.forget_request()  # it could not be started; the link has said why
            self.say(self.link.state.sentence)
        self.session.drain()
        self.ticked.emit()

    def close(self) -> None:
        """The panels go; strokes stay in the scene, a job goes on in the backend."""
        self._timer.stop()
        for disconnect in self._disconnect:
            disconnect()
        self.session.close()

    def _annotate(self, annotation: Annotation) -> None:
        self.session.annotate(annotation)
        self.choose(volume=annotation.volume.GetID(), annotation=annotation.node.GetID())

    def _connected(self, client: BackendClient) -> None:
        self.session.connect(client)
        self.session.models.refresh()
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending()
        except KDSegError as error:
            self.say(error.sentence)


def close_with_slicer(link: BackendLink) -> None:
    """End the local backend when Slicer ends, whichever way."""
    slicer.app.connect("aboutToQuit()", link.close)

"""What all panels of one face share: session, choices and backend; the host's clock calls :meth:`Workplace.tick`.

A face that is made anew makes a new workplace over the same scene and the same backend: the job is found again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BackendUnreachable, BadImage, KDSegError
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.protocol.messages import ModelInfo
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.annotation import (
    BACKGROUND_CLASS,
    Annotation,
    choose_finished,
    find_annotation,
    find_finished,
    new_annotation,
)
from slicer_kdseg.scene.backend_link import BackendLink
from slicer_kdseg.scene.backend_python import BackendPython
from slicer_kdseg.scene.choices import ChoiceNode, Choices, Way, way_of
from slicer_kdseg.scene.cohort import chosen_cases
from slicer_kdseg.scene.displaying import show_as_chosen
from slicer_kdseg.scene.guidance import NextSlice, look_at, next_slice
from slicer_kdseg.scene.results import find_preview
from slicer_kdseg.scene.session import KDSegSession
from slicer_kdseg.scene.signals import Signal
from slicer_kdseg.scene.state import PreviewShown
from slicer_kdseg.scene.uncertainty import find_uncertainty

STROKES, ONE_CASE = "scribble", "one_shot"  # the two methods that a panel offers without unfolding anything
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
            self.session.signals.correction_sent.connect(self._sent),
        ]
        if link.client is not None:
            self.session.connect(link.client)

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

    def learn_by(self, method: str) -> None:
        """Choose a method, and with it what it learns from: strokes, or a finished segmentation of the image."""
        self.choose(method=method, preset=Choices.preset, way=way_of(method))
        self.open()

    def give(self, way: Way) -> None:
        """Choose what the user gives; a method that cannot learn from it makes way for one that can."""
        if way == way_of(self.choices.method):
            self.choose(way=way)
            self.open()
        else:
            self.learn_by(STROKES if way == "scribble" else ONE_CASE)

    # What there is to work on

    def open(self) -> None:
        """The chosen image with its strokes or its finished segmentation; nothing if it is not there (any more)."""
        choices = self.choices
        volume = self.scene.GetNodeByID(choices.volume) if choices.volume else None
        if volume is None:
            return
        finished = find_finished(self.scene, volume) if choices.way == "atlas" else None
        if finished is not None:
            self.work_with_labels(volume, finished)
        else:
            self.work_on(volume)

    def work_on(self, volume: Any) -> None:
        """Its annotation is found again, or made: with the classes of the image before, or one class to begin with."""
        node, before = find_annotation(self.scene, volume), self.session.annotation
        if before is not None and before.volume is volume and before.node is node:
            return
        classes = FIRST_CLASSES if before is None else before.contract
        self._annotate(Annotation(volume, node) if node else new_annotation(self.scene, volume, classes))

    def work_with_labels(self, volume: Any, node: Any) -> None:
        """A segmentation that exists already, as labels of ``volume``; it is only read, tags aside.

        Raises :class:`BadAnnotation` where it cannot be that; what was chosen before is opened as it is.
        """
        before = self.session.annotation
        if find_finished(self.scene, volume) is not node:
            choose_finished(node, volume)
        if before is not None and before.volume is volume and before.node is node:
            return
        self._annotate(Annotation(volume, node))

    # The loop

    def train(self) -> None:
        """Start a local backend first if there is none. Raises :class:`KDSegError` before anything is sent."""
        choices = self.choices
        if choices.method not in SETTINGS:
            raise BackendUnreachable(
                _("This version knows no method '{method}'; choose another one.").format(method=choices.method)
            )
        if self.session.annotation is None:
            raise BadImage(_("There is no volume to work on; choose one in the tab Annotate."))
        self.session.automatic_background = choices.automatic_background
        kind = SETTINGS[choices.method].learns_from

        def request() -> None:
            others = [id_ for id_ in choices.others if id_ != choices.volume]
            assert self.session.annotation is not None
            cohort = chosen_cases(self.scene, others, choices.method, self.session.annotation.contract)
            self.session.request_training(
                choices.method,
                choices.preset,
                choices.settings,
                kind,
                other_volumes=cohort.unlabelled,
                labelled=cohort.labelled,
            )

        if self.link.connected_as_chosen:
            request()
        elif self.link.state.local:
            self.session.check_annotation(kind)
            self._pending = request
            self.link.start_local(self.python())
        else:
            raise BackendUnreachable(_("The backend on the other machine is not connected; press Connect."))

    def correct(self) -> None:
        """Raises :class:`KDSegError` before anything is sent."""
        self.session.send_correction()

    def cancel(self) -> None:
        if self.waits_for_backend:
            self.forget_request()
        else:
            self.session.cancel()

    def grow_after_a_stroke(self) -> None:
        """Grow-cut, if it is wanted and nothing is being trained; a class that lacks strokes is no failure yet."""
        choices = self.choices
        if choices.grow_while_drawing and self.session.state.can_train:
            self.session.automatic_background = choices.automatic_background
            with contextlib.suppress(KDSegError):  # the hints say so already
                self.session.preview_growcut()

    def go_to_next_slice(self) -> NextSlice:
        """Move all views to where strokes help most. Raises :class:`BadImage`."""
        annotation = self.session.annotation
        if annotation is None:
            raise BadImage(_("Choose an image first."))
        place = next_slice(annotation, self.session.state.suggestion)
        look_at(self.scene, annotation.volume, place)
        return place

    def unsure_volume(self) -> Any | None:
        """Where the student is unsure of the open image, if it has said so yet."""
        annotation = self.session.annotation
        return find_uncertainty(self.scene, annotation.volume) if annotation is not None else None

    def forget_request(self) -> None:
        """The user cancelled before the backend was there, or it could not be started."""
        self._pending = None
        self.session.signals.state_changed.emit(self.session.state)

    @property
    def waits_for_backend(self) -> bool:
        return self._pending is not None

    def predict_others(self) -> None:
        """The current model on every other volume chosen. Raises :class:`KDSegError`."""
        model = self._current_model()
        if model is None:
            raise BackendUnreachable(_("There is no current model yet; train one first."))
        found = (self.scene.GetNodeByID(id_) for id_ in self.choices.others)
        nodes = [node for node in found if node is not None and node.GetID() != self.choices.volume]
        if not nodes:
            raise BadImage(_("There are no other images; choose some in the tab Train."))
        for node in nodes:
            self.session.predictions.predict(node, model)
        said = _("Model {number} ({classes}) segments the other images ({n}); they appear one by one.")
        classes = ", ".join(label.name for label in model.labels.foreground)
        self.say(said.format(number=model.number, classes=classes, n=len(nodes)))

    def _current_model(self) -> ModelInfo | None:
        """Of the classes that are open if there is one, else the newest: every set of classes has a current model."""
        models = [model for model in self.session.state.models if model.current]
        annotation = self.session.annotation
        names = {label.id: label.name for label in annotation.contract.foreground} if annotation is not None else {}
        own = [model for model in models if {label.id: label.name for label in model.labels.foreground} == names]
        return max(own or models, key=lambda model: model.number, default=None)

    def leave_others(self) -> None:
        """What is not segmented yet is left."""
        self.session.predictions.cancel()
        self.say(_("Cancelled; the images that were done keep their segmentations."))

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
        self.say(_("'{volume}' was segmented.").format(volume=volume.GetName()))

    def _sent(self, new: bool) -> None:
        if new:
            self.say(_("What you drew was sent; the training takes it up at its next step."))
        else:
            self.say(_("Nothing was drawn since the training heard of it last; nothing was sent."))

    def say(self, sentence: str) -> None:
        self.said.emit(sentence)

    # The clock

    def tick(self) -> None:
        """Every 50 ms or so, on the scene's thread."""
        self.link.drain()
        if self._pending is not None and not self.link.state.busy and self.link.state.stage != "connected":
            self.forget_request()  # it could not be started; the link has said why
            self.say(self.link.state.sentence)
        self.session.drain()
        self.ticked.emit()

    def close(self) -> None:
        """The panels go; strokes stay in the scene, a job goes on in the backend."""
        for disconnect in self._disconnect:
            disconnect()
        self.session.close()

    def _annotate(self, annotation: Annotation) -> None:
        before, trains = self.session.annotation, self.session.state.phase in ("sending", "training")
        self.session.annotate(annotation)
        if trains and before is not None and before.volume is not annotation.volume:
            goes_on = _("The training of '{volume}' goes on; choose that image again in the tab Annotate to see it.")
            self.say(goes_on.format(volume=before.volume.GetName()))
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

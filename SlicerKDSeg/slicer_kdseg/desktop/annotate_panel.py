"""The tab Annotate: which image, which way of working, what still lacks strokes, and Slicer's own segment editor."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from slicer_kdseg.desktop.binding import Quiet, bind
from slicer_kdseg.desktop.editor_host import EditorHost
from slicer_kdseg.desktop.slice_views import look_at_image
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.scene.annotation import find_finished
from slicer_kdseg.scene.choices import Choices
from slicer_kdseg.scene.displaying import hide_of_others, show_only
from slicer_kdseg.scene.guidance import coverage_hints
from slicer_kdseg.scene.nodes import images
from slicer_kdseg.scene.state import SessionState
from slicer_kdseg.scene.watching import StrokeWatch
from slicer_kdseg.scene.workplace import Workplace

AFTER_A_STROKE_MILLISECONDS = 300
AFTER_LOADING_MILLISECONDS = 200
BINDINGS = (
    ("volumeSelector", "currentNodeChanged(vtkMRMLNode*)", "volume_chosen"),
    ("scribbleButton", "clicked()", "scribbles_chosen"),
    ("atlasButton", "clicked()", "labels_chosen"),
    ("atlasSelector", "currentNodeChanged(vtkMRMLNode*)", "atlas_chosen"),
    ("nextSliceButton", "clicked()", "go_to_next_slice"),
    ("growBox", "toggled(bool)", "growing_chosen"),
    ("backgroundBox", "toggled(bool)", "background_chosen"),
)


class AnnotatePanel:
    def __init__(self, widget: Any, workplace: Workplace) -> None:
        self.widget = widget
        self.ui = slicer.util.childWidgetVariables(widget)
        self._place = workplace
        self._watch: StrokeWatch | None = None
        self._watched: Any = None
        self._seen = False
        self._way = workplace.choices.way
        self.editor = EditorHost(self.ui.editor, workplace.scene, "KDSeg")
        widget.setMRMLScene(workplace.scene)
        bind(self.ui, BINDINGS, self, workplace.say)
        self._after_stroke = qt.QTimer()
        self._after_stroke.setSingleShot(True)
        self._after_stroke.setInterval(AFTER_A_STROKE_MILLISECONDS)
        self._after_stroke.connect("timeout()", self.stroke_drawn)
        self._after_loading = qt.QTimer()
        self._after_loading.setSingleShot(True)
        self._after_loading.setInterval(AFTER_LOADING_MILLISECONDS)
        self._after_loading.connect("timeout()", self.take_image)
        self._disconnect = [
            workplace.session.signals.state_changed.connect(self.show),
            workplace.chosen.connect(self.show_choices),
        ]
        self.show_choices(workplace.choices)
        self.show(workplace.session.state)

    # Clicks

    def volume_chosen(self) -> None:
        volume = self.ui.volumeSelector.currentNode()
        if volume is not None:
            self._place.choose(volume=volume.GetID())
            self._place.open()
        else:
            self._show_chosen(self._place.choices)

    def scribbles_chosen(self) -> None:
        self._place.give("scribble")

    def labels_chosen(self) -> None:
        self._place.give("atlas")

    def atlas_chosen(self) -> None:
        volume, atlas = self.ui.volumeSelector.currentNode(), self.ui.atlasSelector.currentNode()
        try:
            if self._place.choices.way == "atlas" and volume is not None and atlas is not None:
                self._place.work_with_labels(volume, atlas)
                self._show_hints()
        finally:
            self._show_chosen(self._place.choices)

    def go_to_next_slice(self) -> None:
        self.ui.nextSliceLabel.text = self._place.go_to_next_slice().sentence

    def growing_chosen(self) -> None:
        self._place.choose(grow_while_drawing=self.ui.growBox.checked)
        self._after_stroke.start()

    def background_chosen(self) -> None:
        self._place.choose(automatic_background=self.ui.backgroundBox.checked)

    # What happens meanwhile

    def stroke_drawn(self) -> None:
        """A little after the last stroke: hints, and grow-cut if it is wanted and nothing is being trained."""
        self.ui.nextSliceLabel.text = ""
        self._show_hints()
        self._place.grow_after_a_stroke()

    def show(self, state: SessionState) -> None:
        annotation = self._place.session.annotation
        node = annotation.node if annotation is not None else None
        if node is not self._watched:
            self._watched = node
            if self._seen:
                self._show_in_views()
            self._edit()
            self._watch_strokes()
            self._show_hints()
        self.ui.nextSliceButton.enabled = annotation is not None
        self.ui.editor.enabled = annotation is not None

    def show_choices(self, choices: Choices) -> None:
        ui = self.ui
        self._show_chosen(choices)
        with Quiet(ui.scribbleButton, ui.atlasButton, ui.growBox, ui.backgroundBox):
            ui.scribbleButton.checked = choices.way == "scribble"
            ui.atlasButton.checked = choices.way == "atlas"
            ui.growBox.checked = choices.grow_while_drawing
            ui.backgroundBox.checked = choices.automatic_background
        ui.atlasSelector.visible = ui.atlasLabel.visible = choices.way == "atlas"
        if choices.way != self._way:  # the same segmentation may stay open, with another brush
            self._way = choices.way
            self._edit()
            self._show_hints()

    # Coming and going

    def enter(self) -> None:
        """The panel is seen: so is what the brush draws on, and nothing of the case that was reviewed meanwhile."""
        self._seen = True
        self._show_in_views()
        self.editor.wake()

    def take_image(self) -> None:
        """The image that was chosen, or the first, if there is one and none is open."""
        if self._place.session.annotation is None:
            if not self._place.choices.volume:
                self._choose_first_volume()
            self._place.open()

    def node_added(self) -> None:
        """Perhaps an image; its voxels come a little later."""
        if self._place.session.annotation is None:
            self._after_loading.start()

    def leave(self) -> None:
        self._seen = False
        self.editor.sleep()

    def scene_closing(self) -> None:
        self._end_watch()
        self.editor.let_go()

    def close(self) -> None:
        for disconnect in self._disconnect:
            disconnect()
        self._after_stroke.stop()
        self._after_loading.stop()
        self._end_watch()
        self.editor.sleep()

    def _show_chosen(self, choices: Choices) -> None:
        """In both selectors what is worked on, whatever was picked: nothing, or what was refused."""
        ui = self.ui
        with Quiet(ui.volumeSelector, ui.atlasSelector):
            ui.volumeSelector.setCurrentNodeID(choices.volume)
            volume = ui.volumeSelector.currentNode()
            finished = find_finished(self._place.scene, volume) if volume is not None else None
            ui.atlasSelector.setCurrentNodeID(finished.GetID() if finished is not None else "")

    def _choose_first_volume(self) -> None:
        first = next((node for node in images(self._place.scene) if node.GetImageData() is not None), None)
        if first is not None:
            self._place.choose(volume=first.GetID())

    def _show_in_views(self) -> None:
        annotation = self._place.session.annotation
        if annotation is not None:
            hide_of_others(self._place.scene, annotation.volume)
            show_only(annotation.node, [])
            self._place.show_preview()
            look_at_image(self._place.scene, annotation.volume)

    def _edit(self) -> None:
        """The editor follows the session, whichever tab has opened what it works on."""
        annotation = self._place.session.annotation
        if annotation is not None:
            first = annotation.contract.foreground
            segment = annotation.segment_id_of(first[0].id) if first else ""
            self.editor.edit(annotation.volume, annotation.node, self._place.choices.way, segment)

    def _show_hints(self) -> None:
        annotation = self._place.session.annotation
        if annotation is None:
            self.ui.nextSliceLabel.text = ""
            self.ui.coverageLabel.text = _("Choose an image. A segmentation to draw in is made for it.")
            return
        try:
            hints = coverage_hints(annotation)
        except KDSegError as error:
            self.ui.coverageLabel.text = error.sentence
            return
        lines = [("✓ " if hint.drawn else "○ ") + hint.sentence for hint in hints]
        if self._place.choices.way == "atlas" and not annotation.is_finished:
            lines = [_("Choose the segmentation that is complete; what you see in the list below are your strokes.")]
        elif self._place.choices.way == "atlas" and not hints[0].drawn:
            del lines[0]  # nobody draws the background of a finished segmentation
        self.ui.coverageLabel.text = "\n".join(lines)

    def _watch_strokes(self) -> None:
        self._end_watch()
        if self._place.session.annotation is not None:
            self._watch = StrokeWatch(self._place.session.annotation, self._after_stroke.start)

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._watch = None

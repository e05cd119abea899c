"""Drawing: which tool the mouse is, which class it draws, undo and redo; trame-slicer's effects do the work.

Classes are added, renamed and removed within the same history, because a step back restores all segments as they were.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import (
    SegmentationEffectDraw,
    SegmentationEffectErase,
    SegmentationEffectNoTool,
    SegmentationEffectPaint,
    SegmentationEffectScissors,
)
from trame_slicer.segmentation.abstract_segmentation_effect_brush import AbstractSegmentationEffectBrush
from trame_slicer.segmentation.paint_effect_parameters import BrushDiameterMode, PaintEffectParameters
from trame_slicer.segmentation.segmentation_undo_command import SegmentationLabelMapUndoCommand
from trame_slicer.utils import create_scripted_module_dataclass_proxy
from undo_stack import UndoStack

from slicer_kdseg.browser.front import Front
from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.geometry import grid_of_volume

Tool = Literal["look", "paint", "erase", "draw", "scissors"]
EFFECTS: dict[Tool, Any] = {
    "look": SegmentationEffectNoTool,
    "paint": SegmentationEffectPaint,
    "erase": SegmentationEffectErase,
    "draw": SegmentationEffectDraw,
    "scissors": SegmentationEffectScissors,
}
UNDO_STEPS = 30
BRUSH_OF_EXTENT = 0.02
WIDEST_OF_EXTENT = 0.15
VOXELS_AT_LEAST = 1.5


@dataclass(frozen=True)
class Drawable:
    """A class that can be drawn, by its segment id."""

    segment: str
    name: str
    color: str


@dataclass(frozen=True)
class ToolsShown:
    """``brush_mm`` is the brush's diameter; ``segment`` the segment id that is drawn, one of ``classes``."""

    ready: bool = False
    tool: Tool = "look"
    classes: tuple[Drawable, ...] = ()
    segment: str = ""
    name: str = ""
    color: str = "#808080"
    brush_mm: float = 5.0
    thinnest_mm: float = 1.0
    widest_mm: float = 30.0
    can_undo: bool = False
    can_redo: bool = False


class Tools:
    def __init__(self, parts: SlicerApp, front: Front) -> None:
        self._front, self._scene = front, parts.scene
        self.editor = parts.segmentation_editor
        self._history = UndoStack(undo_limit=UNDO_STEPS)
        self.editor.set_undo_stack(self._history)
        self.shown = ToolsShown()
        for signal in self._history.signals():
            signal.connect(lambda *_: self._follow())
        self.editor.segmentation_modified.connect(lambda *_: self._follow())
        front.show("tools", self.shown)

    def edit(self, volume: Any, segmentation: Any, segment: str, tool: Tool = "paint") -> None:
        """Draw in ``segmentation`` over ``volume``; one that is drawn in already keeps its class and history."""
        active = self.editor.active_segmentation
        if active is not None and active.segmentation_node is segmentation and active.volume_node is volume:
            self._become(ready=True)
            self.use(tool if self.shown.tool == "look" else self.shown.tool)
            return
        self.editor.set_active_segmentation(segmentation, volume)
        extent, finest = _extent_mm(volume), _finest_mm(volume)
        thinnest = VOXELS_AT_LEAST * finest
        self._become(
            ready=True, thinnest_mm=round(thinnest, 2), widest_mm=round(max(WIDEST_OF_EXTENT * extent, 4 * thinnest), 1)
        )
        self.set_brush(max(BRUSH_OF_EXTENT * extent, 2 * thinnest))
        self.choose(segment)
        self.use(tool)

    def let_go(self) -> None:
        """The segmentation is gone, or another face of the page has the mouse."""
        self.editor.deactivate_effect()
        self._become(ready=False, tool="look")

    def use(self, tool: Tool) -> None:
        if tool != "look":
            self._require_ready()
        effect = self.editor.set_active_effect_type(EFFECTS[tool])
        for node in _brush_models(effect, self._scene):
            node.GetDisplayNode().SetVisibility3D(False)
        self.hide_brush()
        self._become(tool=tool)

    def hide_brush(self) -> None:
        """Until the mouse moves over a view: where nobody points, its ring would look like a finding."""
        for node in _brush_models(self.editor.active_effect, self._scene):
            node.SetDisplayVisibility(False)

    def choose(self, segment: str) -> None:
        self.editor.set_active_segment_id(segment)
        self._follow()

    def choose_class(self, id_: int) -> None:
        """Of whatever is drawn in: the strokes, or a copy that is corrected."""
        self._require_ready()
        drawn_in = Annotation(self.editor.active_volume_node, self.editor.active_segmentation_node)
        self.choose(drawn_in.segment_id_of(id_))

    def set_brush(self, diameter_mm: float) -> None:
        diameter = min(max(float(diameter_mm), self.shown.thinnest_mm), self.shown.widest_mm)
        for effect in (SegmentationEffectPaint, SegmentationEffectErase):
            self.editor.get_effect(effect).set_brush_diameter(diameter, BrushDiameterMode.Absolute)
        self._become(brush_mm=round(diameter, 2))

    def undo(self) -> None:
        if self.shown.ready and self._history.can_undo():
            self._history.undo()

    def redo(self) -> None:
        if self.shown.ready and self._history.can_redo():
            self._history.redo()

    def as_one_step(self) -> Any:
        """``with tools.as_one_step():`` what is changed in the segments can be taken back."""
        segmentation = self.editor.active_segmentation
        if segmentation is None:
            raise BadAnnotation("Open an image first; then there are classes to change.")
        return SegmentationLabelMapUndoCommand.push_state_change(segmentation)

    def _follow(self) -> None:
        """A segment that was undone away cannot be drawn."""
        segmentation = self.editor.active_segmentation
        if segmentation is None:
            return
        segment = self.editor.get_active_segment_id() or self.editor.get_nth_segment_id(0)
        if segment != self.editor.get_active_segment_id():
            self.editor.set_active_segment_id(segment)
        classes = tuple(
            Drawable(id_, shown.name, hex_color(shown.color))
            for id_, shown in self.editor.get_all_segment_properties().items()
        )
        drawn = next((row for row in classes if row.segment == segment), Drawable("", "", "#808080"))
        self._become(
            classes=classes,
            segment=segment,
            name=drawn.name,
            color=drawn.color,
            can_undo=self._history.can_undo(),
            can_redo=self._history.can_redo(),
        )

    def _require_ready(self) -> None:
        if not self.shown.ready:
            raise BadAnnotation("There is nothing to draw in now: open an image, or press Correct in the tab Review.")

    def _become(self, **changes: Any) -> None:
        self.shown = dataclasses.replace(self.shown, **changes)
        self._front.show("tools", self.shown)


def hex_color(rgb: Any) -> str:
    """``#rrggbb`` of three values in 0..1."""
    return "#" + "".join(f"{round(255 * value):02x}" for value in rgb)


def rgb_color(text: str) -> tuple[float, float, float]:
    """Three values in 0..1 of ``#rrggbb``."""
    red, green, blue = (int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _brush_models(effect: Any, scene: Any) -> list[Any]:
    """What a brush shows of itself in the views."""
    if not isinstance(effect, AbstractSegmentationEffectBrush):
        return []
    shown = create_scripted_module_dataclass_proxy(PaintEffectParameters, effect.get_parameter_node(), scene)
    return [node for node in (shown.brush_model_node, shown.paint_feedback_model_node) if node is not None]


def _extent_mm(volume: Any) -> float:
    grid = grid_of_volume(volume)
    return float(np.max(np.array(grid.shape) * grid.spacing_mm))


def _finest_mm(volume: Any) -> float:
    return float(min(grid_of_volume(volume).spacing_mm))

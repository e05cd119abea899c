"""What to draw next: which class lacks strokes, and which slice is worth annotating.

The backend's suggestion (where the student is most unsure) goes first; before there is one, the middle of the
widest stretch without strokes does, because grow-cut and the first teachers are weakest far from any stroke.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from slicer_kdseg.protocol.labels import BACKGROUND
from slicer_kdseg.protocol.messages import Suggestion
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.geometry import grid_of_volume


@dataclass(frozen=True)
class Hint:
    """One class: ``sentence`` for a panel, ``drawn`` once it has a stroke."""

    id: int
    name: str
    color: tuple[float, float, float]
    drawn: bool
    sentence: str


@dataclass(frozen=True)
class NextSlice:
    """Slice ``index`` along array axis ``axis`` (0 = D), and why."""

    axis: int
    index: int
    sentence: str


def coverage_hints(annotation: Annotation) -> list[Hint]:
    """One hint per class, background first. Raises :class:`BadAnnotation`."""
    counts, contract = annotation.voxels_by_slice(), annotation.contract
    return [
        Hint(id_, contract.by_id(id_).name, contract.by_id(id_).color, bool(counts[id_].any()), line)
        for id_, line in annotation.coverage(counts).items()
    ]


def next_slice(annotation: Annotation, suggestion: Suggestion | None = None) -> NextSlice:
    """The backend's ``suggestion`` if its slice carries no stroke yet, else the middle of the widest gap."""
    counts = annotation.voxels_by_slice()
    if suggestion is not None and not _drawn_since(counts, suggestion):
        return NextSlice(suggestion.axis, suggestion.index, suggestion.sentence)
    foreground = [count for id_, count in counts.items() if id_ != BACKGROUND]
    stroked = np.flatnonzero(np.sum(foreground, axis=0) > 0)
    depth = len(foreground[0])
    if stroked.size == 0:
        return NextSlice(0, depth // 2, _("Nothing is drawn yet: begin in the middle of the volume."))
    missing = [annotation.contract.by_id(id_).name for id_, count in counts.items() if not count.any()]
    if missing:
        index = int(stroked[stroked.size // 2])
        return NextSlice(
            0,
            index,
            _("Draw '{name}' on a slice that already has strokes, if it can be seen there.").format(name=missing[0]),
        )
    index = _middle_of_widest_gap(stroked, depth)
    return NextSlice(
        0, index, _("Slice {number} of {depth} is farthest from every stroke.").format(number=index + 1, depth=depth)
    )


def look_at(scene: Any, volume: Any, place: NextSlice) -> None:
    """Move every slice view to ``place``; what a view shows besides its position stays."""
    r, a, s = grid_of_volume(volume).slice_centre_ras(place.axis, place.index)
    transform = volume.GetParentTransformNode()
    if transform is not None:
        to_world = vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(transform, None, to_world)
        r, a, s = to_world.TransformPoint((r, a, s))
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, r, a, s, slicer.vtkMRMLSliceNode.OffsetJumpSlice)


def _drawn_since(counts: dict[int, np.ndarray], suggestion: Suggestion) -> bool:
    if suggestion.axis != 0:
        return False
    return any(count[suggestion.index] > 0 for count in counts.values() if suggestion.index < len(count))


def _middle_of_widest_gap(stroked: np.ndarray, depth: int) -> int:
    """An end of the volume bounds a gap like a stroke does: the very last slice seldom shows what is being drawn."""
    bounds = [-1, *(int(index) for index in stroked), depth]
    width, middle = max((b - a, (a + b) // 2) for a, b in itertools.pairwise(bounds))
    return middle if width > 1 else int(stroked[0])

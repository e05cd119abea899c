"""One class of the label contract as one Slicer segment; the tag ``KDSeg.LabelId`` says which."""

from __future__ import annotations

from typing import Any

import slicer
from vtkmodules.vtkCommonCore import reference

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelClass
from slicer_kdseg.protocol.words import tr as _

BINARY_LABELMAP = "Binary labelmap"
LABEL_ID = "KDSeg.LabelId"


def label_id(segment: Any) -> int | None:
    """The class id of a segment, or None if it has none yet or carries something else than an id."""
    text = _tag(segment, LABEL_ID)
    return int(text) if text.isdecimal() and int(text) < UNLABELLED else None


def describe(segment: Any, label: LabelClass) -> None:
    """Write id, name, colour and terminology of ``label`` onto ``segment``."""
    segment.SetTag(LABEL_ID, str(label.id))
    if segment.GetName() != label.name:
        segment.SetName(label.name)
    if segment.GetColor() != label.color:
        segment.SetColor(*label.color)
    if label.terminology:
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), label.terminology)


def described(segment: Any) -> LabelClass:
    """The class that a tagged ``segment`` stands for."""
    id_ = label_id(segment)
    assert id_ is not None
    terminology = _tag(segment, slicer.vtkSegment.GetTerminologyEntryTagName())
    red, green, blue = segment.GetColor()
    return LabelClass(id_, segment.GetName(), (red, green, blue), terminology)


def tag_untagged(segmentation: Any) -> None:
    """Give every segment an id of its own: 'background' gets 0, a copy or a new one the next free id.

    Raises :class:`BadAnnotation` when there are more segments than ids.
    """
    taken: set[int] = set()
    newcomers = []
    for segment in segments(segmentation):
        id_ = label_id(segment)
        if id_ is None or id_ in taken:
            newcomers.append(segment)
        else:
            taken.add(id_)
    for segment in newcomers:
        is_background = segment.GetName().strip().casefold() == "background" and BACKGROUND not in taken
        id_ = BACKGROUND if is_background else next((n for n in range(1, UNLABELLED) if n not in taken), None)
        if id_ is None:
            raise BadAnnotation(
                _(
                    "The segmentation has more than {most} segments, and so many classes cannot be told apart here."
                ).format(most=UNLABELLED - 1)
            )
        segment.SetTag(LABEL_ID, str(id_))
        taken.add(id_)


def segments(segmentation: Any) -> list[Any]:
    return [segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments())]


def _tag(segment: Any, name: str) -> str:
    text = reference("")
    return str(text) if segment.GetTag(name, text) else ""

"""Tell when something was drawn, whoever drew it: the segment editor, an effect of an extension, or code."""

from __future__ import annotations

from collections.abc import Callable

import slicer

from slicer_kdseg.scene.annotation import Annotation


class StrokeWatch:
    """Calls ``changed()`` after every change of the annotation's segments or voxels; :meth:`close` ends that."""

    def __init__(self, annotation: Annotation, changed: Callable[[], object]) -> None:
        self._segmentation = annotation.node.GetSegmentation()
        kind = slicer.vtkSegmentation
        events = (
            kind.SourceRepresentationModified,
            kind.RepresentationModified,
            kind.SegmentAdded,
            kind.SegmentRemoved,
            kind.SegmentModified,
        )
        self._tags = [self._segmentation.AddObserver(event, lambda *_: changed()) for event in events]

    def close(self) -> None:
        for tag in self._tags:
            self._segmentation.RemoveObserver(tag)
        self._tags = []

"""Tell when something was drawn, whoever drew it, and when the whole scene goes or another one has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


class SceneWatch:
    """Calls ``closing()`` before the scene is emptied, ``changed()`` after it was and after one was loaded.

    ``grown()`` after every node that was added: its content may come later.
    """

    def __init__(
        self,
        scene: Any,
        closing: Callable[[], object],
        changed: Callable[[], object],
        grown: Callable[[], object] = lambda: None,
    ) -> None:
        self._scene = scene
        kind = slicer.vtkMRMLScene
        calls = (
            (kind.StartCloseEvent, closing),
            (kind.EndCloseEvent, changed),
            (kind.EndImportEvent, changed),
            (kind.NodeAddedEvent, grown),
        )
        self._tags = [scene.AddObserver(event, lambda *_, call=call: call()) for event, call in calls]

    def close(self) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []

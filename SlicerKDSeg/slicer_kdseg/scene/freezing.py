"""A copy of a segmentation as it is now, with the long part, the voxels, left for another thread.

``vtkSegmentation.DeepCopy`` holds everybody up: 150 ms for 512 x 512 x 300 voxels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from slicer_kdseg.scene.geometry import array_of_image
from slicer_kdseg.scene.segments import BINARY_LABELMAP, segments


def frozen_later(segmentation: Any) -> Callable[[], Any]:
    """Gives the copy when called, on any thread; segments that share a layer share one again.

    The scene is asked now. What was drawn meanwhile may be in the copy, as it would be a moment later.
    """
    copy = slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(BINARY_LABELMAP)
    layers: dict[str, tuple[Any, Any]] = {}
    for segment in segments(segmentation):
        same = slicer.vtkSegment()
        same.DeepCopyMetadata(segment)
        image = segment.GetRepresentation(BINARY_LABELMAP)
        if image is not None:
            _, own = layers.setdefault(image.GetAddressAsString(""), (image, _like(image)))
            same.AddRepresentation(BINARY_LABELMAP, own)
        copy.AddSegment(same, segmentation.GetSegmentIdBySegment(segment))
    voxels = [
        (array_of_image(own), array_of_image(image)) for image, own in layers.values() if image.GetNumberOfPoints() > 0
    ]

    def fill() -> Any:
        for own, theirs in voxels:
            np.copyto(own, theirs)
        return copy

    return fill


def _like(image: Any) -> Any:
    """The same grid and type; the memory is only asked for, so that it costs nothing yet."""
    empty, matrix = slicer.vtkOrientedImageData(), vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    empty.SetImageToWorldMatrix(matrix)
    empty.SetExtent(image.GetExtent())
    empty.AllocateScalars(image.GetScalarType(), 1)
    return empty

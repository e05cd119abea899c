"""What the slice views look at."""

from __future__ import annotations

from typing import Any

import slicer

from slicer_kdseg.scene.displaying import backgrounds


def look_at_image(scene: Any, volume: Any) -> None:
    """``volume`` behind everything else, whole and in its own planes; views that show it already stay as they are.

    The next patient may lie anywhere: views that only got another image would look beside it.
    """
    if set(backgrounds(scene)) != {volume}:
        slicer.util.setSliceViewerLayers(background=volume, fit=True, rotateToVolumePlane=True)

"""What lies over what in a slice view."""

from __future__ import annotations

from trame_slicer.views import SliceView
from vtkmodules.vtkRenderingCore import VTK_BACKGROUND_LOCATION, vtkActor2D

FIRST = -1  # what VTK's lists call the place before all others


def put_image_below(view: SliceView) -> None:
    """Draw the image before everything else.

    The view adds its image's actor when the first image is shown, after the labels that are already there. Those would
    be blended with black, and the image, which lies behind them, would not be drawn where they are.
    """
    shown = view.first_renderer().GetViewProps()
    for prop in [shown.GetItemAsObject(n) for n in range(shown.GetNumberOfItems())]:
        if isinstance(prop, vtkActor2D) and prop.GetProperty().GetDisplayLocation() == VTK_BACKGROUND_LOCATION:
            shown.RemoveItem(prop)
            shown.InsertItem(FIRST, prop)

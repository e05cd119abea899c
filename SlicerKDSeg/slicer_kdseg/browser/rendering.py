"""Can pictures be drawn here? Asked in a process of its own, because VTK without a driver ends its process."""

from __future__ import annotations

import subprocess
import sys

from slicer_kdseg.protocol.errors import KDSegError

LOOK_SECONDS = 120.0
DRAW = (
    "import vtkmodules.vtkRenderingOpenGL2, vtkmodules.vtkRenderingCore as r;"
    "w = r.vtkRenderWindow(); w.SetOffScreenRendering(1); w.AddRenderer(r.vtkRenderer()); w.Render()"
)
PACKAGES = "libegl1 and libgl1-mesa-dri (Debian: apt install libegl1 libgl1-mesa-dri)"


class NoPictures(KDSegError):
    """There is no OpenGL driver that VTK could draw with."""


def require_rendering(code: str = DRAW) -> None:
    """Draw an empty window. Raises :class:`NoPictures`, naming what to install."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=LOOK_SECONDS, check=False
        )
        failed = done.returncode != 0
    except subprocess.TimeoutExpired:
        failed = True
    if failed:
        raise NoPictures(f"Images cannot be drawn on this machine: an OpenGL driver is missing. Install {PACKAGES}.")

"""The protocol loads in Slicer's Python: nothing heavy comes with it."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_protocol_loads_no_torch_vtk_or_slicer():
    code = (
        "import sys; import slicer_kdseg.protocol.watcher, slicer_kdseg.protocol.local, slicer_kdseg.protocol.checks; "
        "print([name for name in ('torch', 'vtk', 'slicer', 'fastapi', 'monai') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"

"""Import this first in a test module that needs the stand-in: without a working PySide6 the module is skipped.

Tried in a process of its own: Qt aborts the process where a library of its platform plug-in is missing.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

if subprocess.run(
    [sys.executable, "-c", "from PySide6.QtWidgets import QApplication; QApplication([])"],
    env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    capture_output=True,
    check=False,
).returncode:
    pytest.skip(
        "PySide6 cannot be used here; 'python3 run.py setup' installs it, Linux needs libegl1 and libxkbcommon0",
        allow_module_level=True,
    )

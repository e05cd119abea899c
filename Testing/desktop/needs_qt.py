"""Import this first in a test module that needs the stand-in: without a working PySide6 the module is skipped."""

from __future__ import annotations

import pytest

pytest.importorskip(
    "PySide6.QtWidgets",
    reason="PySide6 cannot be used here; 'python3 run.py setup' installs it, Linux needs libegl1 and libxkbcommon0",
    exc_type=ImportError,
)

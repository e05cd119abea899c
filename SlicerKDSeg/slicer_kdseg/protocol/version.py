"""The version of both sides. Inside Slicer nothing is installed as a distribution that could be asked for it."""

from __future__ import annotations

VERSION = "0.1.0"

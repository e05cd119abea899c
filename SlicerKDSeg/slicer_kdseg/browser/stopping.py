"""Somebody pressed Cancel while files were opened."""

from __future__ import annotations

from slicer_kdseg.protocol.errors import KDSegError


class Stopped(KDSegError):
    """Nothing has failed, and nothing was opened."""

    def __init__(self, sentence: str = "Opening was cancelled; nothing was opened.") -> None:
        super().__init__(sentence)

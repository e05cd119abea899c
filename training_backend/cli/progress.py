"""A progress bar with time left: one line on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import TextIO

WIDTH = 28
LOG_EVERY_SECONDS = 10.0


class ProgressBar:
    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._shown = ""
        self._next_line = 0.0

    def update(self, fraction: float, seconds_left: float | None, text: str) -> None:
        """``fraction`` in 0..1."""
        full = round(WIDTH * min(max(fraction, 0.0), 1.0))
        left = "" if seconds_left is None else f"{duration(seconds_left)} left"
        line = f"[{'#' * full}{'.' * (WIDTH - full)}] {fraction:4.0%} {left:>11}  {text}"
        if self._live:
            self._stream.write(f"\r{line[:118]:<{min(len(self._shown), 118)}}")
            self._shown = line
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LOG_EVERY_SECONDS
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def say(self, sentence: str) -> None:
        """A line of its own above the bar."""
        if self._live and self._shown:
            self._stream.write("\r" + " " * min(len(self._shown), 118) + "\r")
            self._shown = ""
        self._stream.write(f"{sentence}\n")
        self._stream.flush()

    def close(self) -> None:
        if self._live and self._shown:
            self._stream.write("\n")
            self._shown = ""


def duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 100 else f"{whole // 60} min {whole % 60:02d} s"

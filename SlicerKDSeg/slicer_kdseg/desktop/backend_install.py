"""Install what a local backend lacks: pip in a process of its own, line by line, and it can be cancelled.

Never at start-up and never unasked. Where Slicer's PyTorch extension is installed and Slicer's Python is used, torch
comes the way that extension brings it (light-the-torch), because that chooses the build that fits the graphics card.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from slicer_kdseg.desktop.backend_python import BackendPython
from slicer_kdseg.protocol.errors import BackendUnreachable

LAST_LINES = 4
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")
TORCH_CHOOSER = "light-the-torch>=0.5"


class Installation:
    """Runs in the thread that calls :meth:`run`; :meth:`cancel` may be called from any other."""

    def __init__(self, python: BackendPython, requirements: Sequence[str], chosen_torch: bool = False) -> None:
        self._python, self._requirements, self._chosen_torch = python, tuple(requirements), chosen_torch
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = threading.Event()

    @property
    def commands(self) -> list[list[str]]:
        """torch before the rest, so that what needs it finds the chosen build."""
        torch = tuple(name for name in self._requirements if name.startswith("torch"))
        rest = tuple(name for name in self._requirements if name not in torch)
        steps: list[tuple[str, ...]] = []
        if torch and self._chosen_torch:
            steps = [(*PIP, TORCH_CHOOSER), ("-m", "light_the_torch", "install", *torch)]
        elif torch:
            steps = [(*PIP, *torch)]
        if rest:
            steps.append((*PIP, *rest))
        return [[self._python.executable, *step] for step in steps]

    def run(self, told: Callable[[str], object]) -> None:
        """``told`` gets every line of pip. Raises :class:`BackendUnreachable` when it fails or was cancelled."""
        for command in self.commands:
            self._run(command, told)

    def cancel(self) -> None:
        """End pip and what it has started."""
        self._cancelled.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        if sys.platform == "win32":
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGTERM)

    def _run(self, command: list[str], told: Callable[[str], object]) -> None:
        lines: list[str] = []
        if not self._cancelled.is_set():
            process = self._process = self._started(command)
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    lines.append(line.strip())
                    told(line.strip())
            code = process.wait()
        if self._cancelled.is_set():
            raise BackendUnreachable("The installation was cancelled; press Install to go on with it.")
        if code:
            said = " ".join(lines[-LAST_LINES:])
            raise BackendUnreachable(f"The installation failed: {said} Is there a network connection and disk space?")

    def _started(self, command: list[str]) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=dict(self._python.environment),
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise BackendUnreachable(f"pip could not be started ({error.strerror}); choose another Python.") from error


def torch_is_chosen(python: BackendPython) -> bool:
    """Whether Slicer's PyTorch extension is there for this Python."""
    return python.is_slicers and importlib.util.find_spec("PyTorchUtils") is not None

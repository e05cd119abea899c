"""Install what a local backend lacks: pip in a process of its own, line by line, and it can be cancelled.

Never at start-up and never unasked. Where Slicer's PyTorch extension is installed and Slicer's Python is used, torch
comes the way that extension brings it (light-the-torch), because that chooses the build that fits the graphics card.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from slicer_kdseg.protocol.errors import BackendUnreachable
from slicer_kdseg.protocol.local import NO_WINDOW
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.backend_python import BackendPython

LAST_LINES = 4
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input")
TELLS_BYTES = (24, 1)  # the first pip that can print its progress for a program to read
BYTES = re.compile(r"Progress (\d+) of (\d+)")
TORCH_CHOOSER = "light-the-torch>=0.5"


class Installation:
    """Runs in the thread that calls :meth:`run`; :meth:`cancel` may be called from any other."""

    def __init__(self, python: BackendPython, requirements: Sequence[str], chosen_torch: bool = False) -> None:
        self._python, self._requirements, self._chosen_torch = python, tuple(requirements), chosen_torch
        self._process: subprocess.Popen[str] | None = None
        self._cancelled = threading.Event()
        self._bar = "off"

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
        """``told`` gets every line of pip, and how far a download is where pip tells.

        Raises :class:`BackendUnreachable` when it fails or was cancelled.
        """
        commands = self.commands
        if commands:
            self._bar = "raw" if self._pip_version() >= TELLS_BYTES else "off"
        for command in commands:
            self._run(command, told)

    def cancel(self) -> None:
        """End pip and what it has started."""
        self._cancelled.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        if sys.platform == "win32":  # of a virtual environment python.exe only starts the one that works
            command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
            subprocess.run(command, check=False, capture_output=True, creationflags=NO_WINDOW)
        else:
            os.killpg(process.pid, signal.SIGTERM)

    def _run(self, command: list[str], told: Callable[[str], object]) -> None:
        lines: list[str] = []
        if not self._cancelled.is_set():
            process = self._process = self._started(command)
            assert process.stdout is not None
            with process.stdout:
                for line in map(str.strip, process.stdout):
                    counted = BYTES.fullmatch(line)
                    if counted is None:
                        lines.append(line)
                    told(line if counted is None else _downloading(lines, int(counted[1]), int(counted[2])))
            code = process.wait()
        if self._cancelled.is_set():
            raise BackendUnreachable(_("The installation was cancelled; press Install to go on with it."))
        if code:
            said = " ".join(lines[-LAST_LINES:])
            raise BackendUnreachable(
                _("The installation failed: {said} Is there a network connection and disk space?").format(said=said)
            )

    def _pip_version(self) -> tuple[int, ...]:
        process = self._started([self._python.executable, "-m", "pip", "--version"])
        said, _ = process.communicate()
        found = re.match(r"pip (\d+)\.(\d+)", said)
        return tuple(map(int, found.groups())) if found else (0, 0)

    def _started(self, command: list[str]) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**self._python.environment, "PIP_PROGRESS_BAR": self._bar},
                start_new_session=sys.platform != "win32",
                creationflags=NO_WINDOW,
            )
        except OSError as error:
            raise BackendUnreachable(
                _("pip could not be started ({reason}); choose another Python.").format(reason=error.strerror)
            ) from error


def _downloading(lines: list[str], done: int, all_: int) -> str:
    """What pip said last, with how much of it has arrived."""
    what = next((line for line in reversed(lines) if line.startswith("Downloading")), "Downloading")
    return f"{what}: {100 * done // max(all_, 1)} %"


def torch_is_chosen(python: BackendPython) -> bool:
    """Whether Slicer's PyTorch extension is there for this Python."""
    return python.is_slicers and importlib.util.find_spec("PyTorchUtils") is not None

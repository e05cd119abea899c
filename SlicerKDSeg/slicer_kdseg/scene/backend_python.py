"""Which Python runs a local backend, and what it lacks. No Qt: everything here may run on another thread."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slicer_kdseg.protocol.errors import BackendUnreachable
from slicer_kdseg.protocol.local import NO_WINDOW
from slicer_kdseg.protocol.words import tr as _

# What the backend imports; pip's name where it differs. The lowest versions are those of pyproject.toml.
NEEDED: dict[str, str] = {
    "numpy": "numpy>=2",
    "requests": "requests>=2.32",
    "torch": "torch>=2.8",
    "monai": "monai>=1.6",
    "SimpleITK": "SimpleITK>=2.5",
    "scipy": "scipy>=1.13",
    "itk": "itk-growcut>=0.2",
    "safetensors": "safetensors>=0.6",
    "fastapi": "fastapi>=0.136",
    "uvicorn": "uvicorn>=0.40",
    "matplotlib": "matplotlib>=3.10",
}
LOWEST = (3, 11)
LOOK_SECONDS = 60.0
# One line without double quotes, which every launcher hands on as it is.
LOOK = (
    "import importlib.metadata as m, importlib.util as u, json, sys;"
    "version = lambda package: next((d.version for d in m.distributions(name=package)), None) or '';"
    "found = {{name: version(package) for name, package in {packages!r}.items() if u.find_spec(name)}};"
    "print(json.dumps([sys.version_info[:2], found]))"
)


@dataclass(frozen=True)
class BackendPython:
    """An interpreter and the environment variables that it is started with."""

    executable: str
    environment: Mapping[str, str]
    is_slicers: bool


@dataclass(frozen=True)
class Missing:
    """What has to be installed before a backend starts; ``requirements`` as pip takes them."""

    python: BackendPython
    requirements: tuple[str, ...]

    @property
    def sentence(self) -> str:
        if not self.requirements:
            return _("Everything that a local backend needs is installed.")
        names = ", ".join(map(_package, self.requirements))
        return _("A local backend needs {n} more or newer packages: {names}.").format(
            n=len(self.requirements), names=names
        )


def slicers_python() -> BackendPython:
    """PythonSlicer, which lies beside Slicer and is found on its PATH; in a plain Python that one itself."""
    found = shutil.which("PythonSlicer")
    return BackendPython(found or sys.executable, with_packages(os.environ), is_slicers=True)


def chosen_python(path: str, startup: Mapping[str, str]) -> BackendPython:
    """Another interpreter, or the folder of a virtual environment. Raises :class:`BackendUnreachable`.

    ``startup`` is the environment from before Slicer's launcher changed it: with Slicer's PYTHONHOME no other
    Python starts.
    """
    place = Path(path).expanduser()
    inside = [place / "bin" / "python", place / "Scripts" / "python.exe"]
    found = next((p for p in inside if p.is_file()), place)
    if not found.is_file():
        raise BackendUnreachable(
            _("There is no Python at '{path}'; choose an interpreter or a virtual environment.").format(path=path)
        )
    others = {name: value for name, value in startup.items() if name != "PYTHONHOME"}  # it belongs to one Python
    return BackendPython(str(found), with_packages(others), is_slicers=False)


def with_packages(environment: Mapping[str, str]) -> dict[str, str]:
    """The folders of our two packages in front, so that the backend always matches this side."""
    own = Path(__file__).resolve().parents[2]
    folders = [str(folder) for folder in (own, own.parent) if (folder / "training_backend").is_dir()]
    before = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    paths = [str(own), *folders, *before]
    return {**environment, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}


def look(python: BackendPython) -> Missing:
    """Ask the interpreter itself; takes seconds. Raises :class:`BackendUnreachable`."""
    packages = {name: _package(requirement) for name, requirement in NEEDED.items()}
    try:
        done = subprocess.run(
            [python.executable, "-c", LOOK.format(packages=packages)],
            capture_output=True,
            text=True,
            env=dict(python.environment),
            timeout=LOOK_SECONDS,
            check=False,
            creationflags=NO_WINDOW,
        )
        version, found = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise BackendUnreachable(
            _("'{executable}' does not work as a Python; choose another one.").format(executable=python.executable)
        ) from error
    if tuple(version) < LOWEST:
        raise BackendUnreachable(
            _("'{executable}' is Python {found}; a backend needs {lowest} or newer.").format(
                executable=python.executable, found=".".join(map(str, version)), lowest=".".join(map(str, LOWEST))
            )
        )
    missing = (NEEDED[name] for name in NEEDED if name not in found or _is_older(found[name], NEEDED[name]))
    return Missing(python, tuple(missing))


def _package(requirement: str) -> str:
    return requirement.partition(">=")[0]


def _is_older(version: str, requirement: str) -> bool:
    """Whether a package that is there has to be renewed; one that does not say its version is taken as it is."""
    release = _release(version)
    return bool(release) and release < _release(requirement.partition(">=")[2])


def _release(version: str) -> tuple[int, ...]:
    """(2, 8, 0) of '2.8.0+cu128'."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()

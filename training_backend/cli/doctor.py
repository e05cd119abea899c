"""``kdseg doctor``: what is there, what is missing and what to do about it, in sentences."""

from __future__ import annotations

import argparse
import importlib.metadata
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from slicer_kdseg.protocol.checks import available_memory_bytes
from slicer_kdseg.protocol.errors import KDSegError
from training_backend.cli.serve import DEFAULT_PORT

NEEDED = (
    "numpy",
    "requests",
    "fastapi",
    "uvicorn",
    "torch",
    "monai",
    "SimpleITK",
    "scipy",
    "itk-growcut",
    "safetensors",
)
FREE_BYTES = 2 * 2**30
BOOT = "from slicer_kdseg.headless.boot import boot; boot().close()"


@dataclass(frozen=True)
class Finding:
    """One check; only a finding that is not ``good`` and ``needed`` makes the doctor fail."""

    good: bool
    sentence: str
    needed: bool = True


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("doctor", help="check what this machine can do")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    findings = [
        python(),
        *packages(),
        *devices(),
        slicer_parts(),
        pictures(),
        disk(Path.cwd()),
        memory(),
        port(DEFAULT_PORT),
    ]
    for finding in findings:
        print(f"{'ok     ' if finding.good else 'MISSING' if finding.needed else 'note   '} {finding.sentence}")
    bad = sum(finding.needed and not finding.good for finding in findings)
    print("Everything that is needed is here." if not bad else f"{bad} things need your attention, see MISSING above.")
    return 1 if bad else 0


def python() -> Finding:
    good = sys.version_info >= (3, 11)
    advice = "" if good else "; KDSeg needs 3.11 or newer"
    return Finding(good, f"Python {sys.version.split()[0]}{advice}.")


def packages() -> list[Finding]:
    found, missing = [], []
    for name in NEEDED:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    findings = [Finding(True, f"Packages: {', '.join(found)}.")]
    if missing:
        findings.append(Finding(False, f"Not installed: {', '.join(missing)}; run 'python3 run.py setup'."))
    return findings


def devices() -> list[Finding]:
    """A real convolution on every device, in a process of its own."""
    from training_backend.jobs.probe import usable_devices

    found = []
    for device in usable_devices()[0]:
        words = "computes" if device.usable else f"cannot be used: {device.reason}"
        found.append(Finding(device.usable, f"Device {device.name} {words}.", needed=device.name == "cpu"))
    if not any(device.sentence.startswith("Device cuda") for device in found):
        found.append(
            Finding(False, "No GPU is visible; training runs on the processor, minutes instead of seconds.", False)
        )
    return found


def slicer_parts() -> Finding:
    """Boot a scene in a process of its own: a broken installation may end the process."""
    done = subprocess.run([sys.executable, "-c", BOOT], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return Finding(True, f"Slicer's parts (slicer-core {importlib.metadata.version('slicer-core')}) make a scene.")
    if _installed("slicer"):
        return Finding(
            False,
            "PyPI's package 'slicer' hides 3D Slicer's parts; run 'pip uninstall slicer' and then"
            " 'pip install --force-reinstall slicer-core'.",
        )
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Finding(False, f"Slicer's parts do not start ({reason}); run 'pip install --force-reinstall slicer-core'.")


def pictures() -> Finding:
    """What the browser workspace needs on top."""
    try:
        from slicer_kdseg.browser.rendering import require_rendering

        require_rendering()
    except (ImportError, KDSegError) as error:
        return Finding(False, f"The browser workspace cannot run: {error}", needed=False)
    return Finding(True, "Images can be drawn: the browser workspace ('kdseg web') runs here.", needed=False)


def disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    advice = "" if free >= FREE_BYTES else "; free some, models and previews need about 2 GB"
    return Finding(free >= FREE_BYTES, f"{free / 2**30:.1f} GB free where you are{advice}.")


def memory() -> Finding:
    free = available_memory_bytes()
    if free is None:
        return Finding(True, "The system does not say how much memory is free.")
    advice = "" if free >= FREE_BYTES else "; close other programs, 2 GB are needed for a small volume"
    return Finding(free >= FREE_BYTES, f"{free / 2**30:.1f} GB of memory free{advice}.")


def port(number: int) -> Finding:
    with socket.socket() as probe:
        busy = probe.connect_ex(("127.0.0.1", number)) == 0
    words = "is in use; 'kdseg serve --port N' takes another" if busy else "is free for 'kdseg serve'"
    return Finding(not busy, f"Port {number} {words}.", needed=False)


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True

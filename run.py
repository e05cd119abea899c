"""The one file to start with; it needs nothing but Python 3.11 or newer and pip.

    python3 run.py web            the workspace in your web browser, with the sample image one click away
    python3 run.py setup          make .venv and install the pinned packages
    python3 run.py demo           the whole loop on a chest CT, unattended; writes demo_output/
    python3 run.py test           format, lint, types, import contracts, spelling, tests

Further arguments go to the page, the demo or pytest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
HOME = ROOT / ".venv"
SCRIPTS = HOME / ("Scripts" if sys.platform == "win32" else "bin")
PYTHON = SCRIPTS / ("python.exe" if sys.platform == "win32" else "python")
LOCK = ROOT / "requirements.lock"
STAMP = HOME / "kdseg-installed"
STEPS = {
    "format": ["ruff", "format", "--check", "."],
    "lint": ["ruff", "check", "."],
    "types": ["mypy"],
    "import contracts": ["lint-imports", "--no-cache"],
    "spelling": ["codespell"],
}


def main() -> int:
    command, extra = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    commands = {
        "web": lambda: kdseg("web", extra),
        "setup": lambda: 0,
        "demo": lambda: kdseg("demo", extra),
        "test": lambda: test(extra),
    }
    if command not in commands:
        print(__doc__.strip())
        return 0 if command in ("-h", "--help", "help") else 2
    if sys.version_info < (3, 11):
        sys.exit(f"KDSeg needs Python 3.11 or newer, this is {sys.version.split()[0]}; start run.py with a newer one.")
    setup()
    return commands[command]()


def setup() -> None:
    """Make .venv and install what the lock file says; does nothing when neither has changed."""
    wanted = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if STAMP.is_file() and STAMP.read_text(encoding="utf-8") == wanted and PYTHON.is_file():
        return
    begun = time.monotonic()
    if not PYTHON.is_file():
        print(f"Making {HOME.name} with Python {sys.version.split()[0]} ...", flush=True)
        venv.EnvBuilder(with_pip=importlib.util.find_spec("ensurepip") is not None, clear=HOME.is_dir()).create(HOME)
    count = sum(1 for line in LOCK.read_text(encoding="utf-8").splitlines() if "==" in line)
    print(f"Installing {count} packages; the first time this loads about 1.5 GB.", flush=True)
    pip = pip_command()
    quietly([*pip, "install", "--disable-pip-version-check", "-r", str(LOCK)], count)
    own = ["install", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "-e", str(ROOT)]
    quietly([*pip, *own], 0)
    STAMP.write_text(wanted, encoding="utf-8")
    print(f"Installed in {time.monotonic() - begun:.0f} s.", flush=True)


def pip_command() -> list[str]:
    """The environment's pip, or this Python's where the system ships venv without pip."""
    if subprocess.run([PYTHON, "-c", "import pip"], capture_output=True, check=False).returncode == 0:
        return [str(PYTHON), "-m", "pip"]
    if importlib.util.find_spec("pip") is None:
        sys.exit(
            "This Python has neither pip nor ensurepip; install them (Debian: apt install python3-pip python3-venv)."
        )
    return [sys.executable, "-m", "pip", "--python", str(PYTHON)]


def quietly(command: list[str], count: int) -> None:
    """Run pip with one line of progress; its last lines are shown if it fails."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert process.stdout is not None
    lines: list[str] = []
    seen = 0
    for line in process.stdout:
        lines.append(line.rstrip())
        found = re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line)
        if found and count:
            seen += 1
            progress(f"  {min(seen, count)} of {count} looked up: {found[1]}", seen)
        elif line.startswith("Installing collected packages"):
            progress("  unpacking, this takes a minute or two ...", 0)
    if sys.stdout.isatty():
        print("\r" + " " * 78 + "\r", end="", flush=True)
    if process.wait() != 0:
        print("\n".join(lines[-15:]))
        sys.exit("The packages could not be installed; the last lines of pip are above. Is there a network connection?")


def progress(text: str, number: int) -> None:
    if sys.stdout.isatty():
        print(f"\r{text[:78]:<78}", end="", flush=True)
    elif number % 20 == 0:
        print(text, flush=True)


def kdseg(command: str, extra: list[str]) -> int:
    process = subprocess.Popen([PYTHON, "-m", "training_backend.cli.main", command, *extra], cwd=ROOT)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # it has got the same Ctrl-C and ends in its own way


def test(extra: list[str]) -> int:
    """All checks, the tests last; the final line counts both."""
    begun = time.monotonic()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for name, command in STEPS.items():
        started = time.monotonic()
        tool = [str(SCRIPTS / command[0]), *command[1:]]
        done = subprocess.run(tool, cwd=ROOT, capture_output=True, text=True, check=False)
        good = done.returncode == 0
        counts["passed" if good else "failed"] += 1
        print(f"{name:<18}{'passed' if good else 'FAILED'}  {time.monotonic() - started:6.1f} s", flush=True)
        if not good:
            print(done.stdout + done.stderr, flush=True)
    started = time.monotonic()
    good = run_pytest(extra, counts)
    print(f"{'tests':<18}{'passed' if good else 'FAILED'}  {time.monotonic() - started:6.1f} s", flush=True)
    told = ", ".join(f"{number} {word}" for word, number in counts.items() if number or word == "passed")
    print(f"{told} in {time.monotonic() - begun:.2f}s", flush=True)
    return 0 if good and not counts["failed"] else 1


def run_pytest(extra: list[str], counts: dict[str, int]) -> bool:
    side_by_side = [] if sys.platform == "win32" else ["-n", str(min(4, os.cpu_count() or 1)), "--dist", "worksteal"]
    command = [str(PYTHON), "-m", "pytest", "--color=no", *side_by_side, *extra]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line if re.search(r"\bin [\d.]+s", line) else last
    for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", last):
        counts["failed" if word == "error" else word] += int(number)
    return process.wait() == 0


if __name__ == "__main__":
    sys.exit(main())

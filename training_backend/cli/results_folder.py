"""The folder behind ``--out``: asked before anything is computed, not after."""

from __future__ import annotations

from pathlib import Path

from slicer_kdseg.protocol.errors import OutOfSpace


def writable(out: Path) -> None:
    """Make ``out`` and try a small file in it. Raises :class:`OutOfSpace`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".kdseg-write-test").write_text("x", encoding="utf-8")
        (out / ".kdseg-write-test").unlink()
    except OSError as problem:
        raise OutOfSpace(f"'{out}' cannot be written to ({problem.strerror}); choose another --out folder.") from None

"""The folder behind ``--out``: asked before anything is computed, not after."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path

from slicer_kdseg.protocol.errors import BadRequest, OutOfSpace
from training_backend.data.cases import check_name

TRAINED = ("model", "segmentations")


def for_training(asked: Path | None) -> Path:
    """``asked``, or the first of kdseg_training, kdseg_training_2, ... without an earlier training.

    Raises :class:`BadRequest` when ``asked`` holds one: its label maps may have been corrected by hand.
    """
    if asked is None:
        default = Path("kdseg_training")
        numbered = chain([default], (default.with_name(f"{default}_{number}") for number in count(2)))
        return next(folder for folder in numbered if not _holds_training(folder))
    if _holds_training(asked):
        raise BadRequest(f"'{asked}' holds an earlier training; choose another --out folder.")
    return asked


def _holds_training(folder: Path) -> bool:
    return any((folder / name).exists() for name in TRAINED)


def writable(out: Path, asked: str = "--out folder") -> None:
    """Make ``out``, which was ``asked`` for, and try a small file in it.

    Raises :class:`BadImage` for a strange name, :class:`OutOfSpace`.
    """
    check_name(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".kdseg-write-test").write_text("x", encoding="utf-8")
        (out / ".kdseg-write-test").unlink()
    except OSError as problem:
        raise OutOfSpace(f"'{out}' cannot be written to ({problem.strerror}); choose another {asked}.") from None

"""Files that are either whole or absent: written beside their place, flushed to the disk, renamed.

A full disk, an exhausted quota or a size limit raises :class:`OutOfSpace` and leaves nothing half-written.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slicer_kdseg.protocol.errors import OutOfSpace

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def is_disk_full(error: BaseException) -> bool:
    """Whether ``error`` is the system's way of saying that no more can be written."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextmanager
def space_for(what: str, place: Path) -> Iterator[None]:
    """Turns "the disk is full" inside the block into a sentence that names ``what`` and where."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise OutOfSpace(
            f"There is no space left for {what} in {place} ({error.strerror}); free some space and try again. "
            "What was there before is untouched."
        ) from error


def write_whole(path: Path, content: bytes, what: str) -> None:
    """Replace ``path`` by ``content`` in one step."""
    waiting = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with space_for(what, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with waiting.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            waiting.replace(path)
        finally:
            waiting.unlink(missing_ok=True)


def copy_folder(source: Path, target: Path, what: str) -> None:
    """Copy ``source`` to the new folder ``target``, flushed; on failure nothing is left at ``target``."""
    with space_for(what, target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copytree(source, target)
            for path in target.rglob("*"):
                if path.is_file():
                    _flush(path)
        except OSError as error:
            shutil.rmtree(target, ignore_errors=True)
            raise _first_cause(error) from error


def remove_folder(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _first_cause(error: OSError) -> OSError:
    """``copytree`` collects what went wrong as text; the number of the first failure is found again."""
    if not isinstance(error, shutil.Error):
        return error
    text = str(error)
    number = next((code for code in _FULL if os.strerror(code) in text), errno.EIO)
    return OSError(number, os.strerror(number))


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())

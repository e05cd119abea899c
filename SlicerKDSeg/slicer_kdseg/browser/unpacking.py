"""A zip archive into an empty folder: names, sizes and their sum are judged before and while a byte is written."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from slicer_kdseg.browser.limits import FILES, UNPACKED_BYTES, UNPACKED_RATIO, in_words
from slicer_kdseg.browser.stopping import Stopped
from slicer_kdseg.protocol.checks import leads_outside
from slicer_kdseg.protocol.errors import BadImage, OutOfSpace, TooLarge

BLOCK_BYTES = 1 << 20
SMALL_BYTES = 1 << 20  # of little that packs well there is no harm


def unpack(archive: Path, folder: Path, stopped: Callable[[], bool] = lambda: False) -> list[Path]:
    """The files of ``archive`` below ``folder``.

    Raises :class:`BadImage`, :class:`TooLarge`, :class:`OutOfSpace`, or :class:`Stopped` once ``stopped()`` is true.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _judge(archive, members)
            return [_extract(opened, member, folder, archive, stopped) for member in members]
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise BadImage(f"'{archive.name}' is no zip archive, or is damaged; send it again.") from None
    except (NotImplementedError, RuntimeError) as error:
        raise BadImage(f"'{archive.name}' cannot be unpacked ({error}); pack it again without a password.") from None
    except OSError as error:
        raise OutOfSpace(f"'{archive.name}' could not be unpacked here ({error.strerror}); free some space.") from None


def safe_name(name: str) -> PurePosixPath:
    """``name`` as a path below a folder. Raises :class:`BadImage` for one that leads elsewhere."""
    if not name.strip() or leads_outside(name) or any(ord(letter) < 32 for letter in name):
        raise BadImage(f"The file name '{name[:80]!a}' leads outside its folder; rename the file and send it again.")
    return PurePosixPath(name)


def _judge(archive: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    announced = packed = count = 0
    for member in members:
        safe_name(member.filename)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BadImage(f"'{archive.name}' holds a link ('{member.filename[:80]}'); pack plain files only.")
        announced, packed, count = announced + member.file_size, packed + member.compress_size, count + 1
    if count > FILES:
        raise TooLarge(f"'{archive.name}' holds {count} files; {FILES} at most are read.")
    if announced > UNPACKED_BYTES or announced > SMALL_BYTES + UNPACKED_RATIO * packed:
        raise TooLarge(
            f"'{archive.name}' would unpack {in_words(packed)} to {in_words(announced)}, which no images do;"
            " it was not unpacked."
        )


def _extract(
    opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, archive: Path, stopped: Callable[[], bool]
) -> Path:
    """No more than the archive has announced, whatever follows."""
    target = folder / safe_name(member.filename)
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    with opened.open(member) as source, target.open("wb") as out:
        while block := source.read(BLOCK_BYTES):
            if stopped():
                raise Stopped()
            left -= len(block)
            if left < 0:
                raise TooLarge(f"'{archive.name}' holds more than it announces; it was not unpacked.")
            out.write(block)
    return target

"""``POST /upload``: files from the page into a folder of their own, counted while they come, then opened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import BodyPartReader, web

from slicer_kdseg.browser.limits import FILES, UPLOAD_BYTES, in_words
from slicer_kdseg.browser.unpacking import safe_name
from slicer_kdseg.protocol.errors import BadImage, KDSegError, OutOfSpace, TooLarge

BLOCK_BYTES = 1 << 20


class Uploads:
    """``opened(files)`` takes them on the scene's thread; what it raises is answered as a sentence."""

    def __init__(self, opened: Callable[[list[Path]], Awaitable[None]], failed: Callable[[str], object]) -> None:
        self._opened, self._failed = opened, failed

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/upload", self._take)]

    async def _take(self, request: web.Request) -> web.Response:
        try:
            _judge(request)
            with TemporaryDirectory(prefix="kdseg-upload-") as folder:
                await self._opened(await _received(request, Path(folder)))
        except KDSegError as error:
            self._failed(error.sentence)
            return web.json_response({"sentence": error.sentence}, status=error.status or 400)
        except ConnectionError:  # cancelled, or the page is gone
            self._failed("Sending was cancelled; nothing was opened.")
            return web.Response(status=BadImage.status)
        except OSError as error:
            sentence = OutOfSpace(f"The file could not be stored ({error.strerror}); free some space.").sentence
            self._failed(sentence)
            return web.json_response({"sentence": sentence}, status=OutOfSpace.status)
        return web.json_response({"sentence": ""})


def _judge(request: web.Request) -> None:
    if request.content_type != "multipart/form-data":
        raise BadImage("Files come as a form; use the page's own button.")
    if (request.content_length or 0) > UPLOAD_BYTES:
        raise TooLarge(
            f"{in_words(request.content_length or 0)} are more than the {in_words(UPLOAD_BYTES)} that a page may send;"
            " open them from a folder of this computer instead."
        )


async def _received(request: web.Request, folder: Path) -> list[Path]:
    """Every file in a subfolder of its own, so that equal names of a series do not meet."""
    files: list[Path] = []
    left = UPLOAD_BYTES
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.filename is None:
            continue
        if len(files) == FILES:
            raise TooLarge(f"More than {FILES} files were sent; pack them as one zip archive.")
        target = folder / str(len(files)) / safe_name(part.filename).name
        target.parent.mkdir()
        with target.open("wb") as out:
            while block := await part.read_chunk(BLOCK_BYTES):
                left -= len(block)
                if left < 0:
                    raise TooLarge(f"More than {in_words(UPLOAD_BYTES)} were sent; open them from a folder instead.")
                out.write(block)
        files.append(target)
    if not files:
        raise BadImage("No file was sent; choose at least one.")
    return files

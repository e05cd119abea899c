"""What a user takes away: ``POST /make/…`` makes it and answers where it waits, ``GET /made/…`` sends it."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from aiohttp import web

from slicer_kdseg.browser.review_tab import ReviewTab
from slicer_kdseg.headless.boot import HeadlessSlicer
from slicer_kdseg.headless.files import save_node, save_scene
from slicer_kdseg.protocol.errors import KDSegError, NotFound
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.geometry import grid_of_volume, new_volume
from slicer_kdseg.scene.review_report import ReviewReport
from slicer_kdseg.scene.workplace import Workplace

Make = Callable[[Path], Awaitable[Path]]
KEPT = 4  # what was made waits for a slow browser, the oldest goes first
LABELMAP = "vtkMRMLLabelMapVolumeNode"


class Downloads:
    """What cannot be made is said in the page; what was made waits under a name that nobody can guess."""

    def __init__(
        self, host: HeadlessSlicer, workplace: Workplace, review: ReviewTab, failed: Callable[[str], object]
    ) -> None:
        self._host, self._place, self._review, self._failed = host, workplace, review, failed
        self._waiting: dict[str, Path] = {}
        self._makers: dict[str, Make] = {
            "segmentation.seg.nrrd": self._segmentation,
            "segmentation.nii.gz": self._labels,
            "strokes.seg.nrrd": self._strokes,
            "scene.mrb": self._scene,
            "report.zip": self._report,
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/make/{name}", self._make),
            web.post("/make/model/{number:[0-9]+}", self._make_model),
            web.get("/made/{key}/{name}", self._send),
        ]

    def close(self) -> None:
        for path in self._waiting.values():
            shutil.rmtree(path.parent, ignore_errors=True)

    async def _make(self, request: web.Request) -> web.Response:
        maker = self._makers.get(request.match_info["name"])
        if maker is None:
            raise web.HTTPNotFound
        return await self._answer(maker)

    async def _make_model(self, request: web.Request) -> web.Response:
        number = int(request.match_info["number"])

        async def made(folder: Path) -> Path:
            client = self._place.session.backend()
            model = await asyncio.to_thread(client.download_model, number, folder / f"kdseg-model-{number}")
            return Path(await asyncio.to_thread(shutil.make_archive, str(model), "zip", folder, model.name))

        return await self._answer(made)

    async def _answer(self, make: Make) -> web.Response:
        folder = Path(mkdtemp(prefix="kdseg-download-"))
        try:
            path = await make(folder)
        except KDSegError as error:
            shutil.rmtree(folder, ignore_errors=True)
            self._failed(error.sentence)
            return web.json_response({"sentence": error.sentence}, status=error.status or 503)
        while len(self._waiting) >= KEPT:
            shutil.rmtree(self._waiting.pop(next(iter(self._waiting))).parent, ignore_errors=True)
        key = secrets.token_urlsafe(16)
        self._waiting[key] = path
        return web.json_response({"address": f"/made/{key}/{path.name}"})

    async def _send(self, request: web.Request) -> web.StreamResponse:
        path = self._waiting.get(request.match_info["key"])
        if path is None or path.name != request.match_info["name"]:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Content-Disposition": f'attachment; filename="{path.name}"'})

    async def _segmentation(self, folder: Path) -> Path:
        volume, node = self._result()
        path = folder / f"{_plain(volume.GetName())}_segmentation.seg.nrrd"
        save_node(self._host, node, path)
        return path

    async def _labels(self, folder: Path) -> Path:
        """Class ids as voxels on the image's own grid."""
        volume, node = self._result()
        path = folder / f"{_plain(volume.GetName())}_segmentation.nii.gz"
        labels = await asyncio.to_thread(Annotation(volume, node).filled_later())
        made = new_volume(self._place.scene, "labels", labels, grid_of_volume(volume).affine, LABELMAP)
        try:
            save_node(self._host, made, path)
        finally:
            self._place.scene.RemoveNode(made)
        return path

    async def _strokes(self, folder: Path) -> Path:
        annotation = self._place.session.annotation
        if annotation is None:
            raise NotFound("There are no strokes yet; open an image and draw.")
        path = folder / f"{_plain(annotation.volume.GetName())}_strokes.seg.nrrd"
        save_node(self._host, annotation.node, path)
        return path

    async def _scene(self, folder: Path) -> Path:
        path = folder / "kdseg_scene.mrb"
        save_scene(self._host, path)
        return path

    async def _report(self, folder: Path) -> Path:
        cases = self._review.reviewed
        if not cases:
            raise NotFound("There is nothing to report on; train and review first.")
        await asyncio.to_thread(ReviewReport(cases).write, folder / "kdseg_review")
        return Path(shutil.make_archive(str(folder / "kdseg_review"), "zip", folder, "kdseg_review"))

    def _result(self) -> tuple[Any, Any]:
        """The image that is open, and its reviewed segmentation if there is one, else its preview."""
        cases = self._review.reviewed
        annotation = self._place.session.annotation
        chosen = next((case for case in cases if case.prediction.GetID() == self._review.shown.chosen), None)
        if chosen is None and annotation is not None:
            chosen = next((case for case in cases if case.volume is annotation.volume), None)
        if chosen is None:
            raise NotFound("There is no segmentation yet; press Train, or draw and grow a preview.")
        return chosen.volume, chosen.reviewed or chosen.prediction


def _plain(name: str) -> str:
    """A file name that every system takes."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:80] or "image"

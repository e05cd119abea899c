"""Files into the scene: what each is, whether it is what it says, and then Slicer's own readers.

Judging and unpacking happen on another thread; only what has been judged is read, on the scene's thread, file by file,
so that the page can stop it in between.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from trame_slicer.core import SlicerApp

from slicer_kdseg.browser.dicom import Series, looks_like_dicom, read_series
from slicer_kdseg.browser.scenes import check_scene, drawn_in, replace_scene
from slicer_kdseg.browser.stopping import Stopped
from slicer_kdseg.browser.unpacking import unpack
from slicer_kdseg.headless.announced import check_announced
from slicer_kdseg.headless.boot import HeadlessSlicer
from slicer_kdseg.headless.files import IMAGE_SUFFIXES, load_segmentation, load_volume
from slicer_kdseg.headless.nrrd import check_whole
from slicer_kdseg.protocol.errors import BadImage, KDSegError
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.nodes import ROLE, images

READ = "images (NIfTI, NRRD), segmentations (.seg.nrrd), scenes (.mrb), DICOM files, or a zip of any of them"


@dataclass
class Judged:
    """What there is to open, each checked; ``scene`` replaces everything else."""

    images: list[Path] = field(default_factory=list)
    segmentations: list[Path] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    scene: Path | None = None


@dataclass(frozen=True)
class Opened:
    """New nodes in the scene; ``replaced`` says that its former nodes are gone, ``problem`` what went wrong with it."""

    volumes: tuple[Any, ...] = ()
    segmentations: tuple[Any, ...] = ()
    replaced: bool = False
    problem: str = ""


class Opening:
    """``may_replace(name)`` is asked before a scene takes the place of one that somebody has drawn in."""

    def __init__(self, parts: SlicerApp, host: HeadlessSlicer, may_replace: Callable[[str], Awaitable[bool]]) -> None:
        self._parts, self._host, self._may_replace = parts, host, may_replace
        self._stop = threading.Event()

    def stop(self) -> None:
        """What is being opened ends at the next file or block with :class:`Stopped`."""
        self._stop.set()

    async def open(self, files: Sequence[Path]) -> Opened:
        """Raises :class:`KDSegError` with a sentence; then nothing of ``files`` is in the scene."""
        self._stop.clear()
        with TemporaryDirectory(prefix="kdseg-open-") as folder:
            judged = await asyncio.to_thread(judge, files, Path(folder), self._stop.is_set)
            if judged.scene is not None:
                return await self._replace(judged.scene, Path(folder))
            return await self._read(judged)

    async def _replace(self, path: Path, folder: Path) -> Opened:
        if drawn_in(self._parts.scene) and not await self._may_replace(path.name):
            raise Stopped(f"'{path.name}' was not opened; what you drew is still here.")
        problem = replace_scene(self._host, path, folder)
        return Opened(tuple(images(self._parts.scene)), replaced=True, problem=problem)

    async def _read(self, judged: Judged) -> Opened:
        readers: list[Callable[[], list[Any]]] = [
            *(partial(self._read_image, path) for path in judged.images),
            *(partial(self._read_series, series) for series in judged.series),
        ]
        volumes: list[Any] = []
        segmentations: list[Any] = []
        try:
            for read in readers:
                volumes += read()
                await self._breathe()
            for path in judged.segmentations:
                segmentations.append(load_segmentation(self._host, path))
                await self._breathe()
        except KDSegError:
            for node in (*volumes, *segmentations):
                self._parts.scene.RemoveNode(node)
            raise
        return Opened(tuple(volumes), tuple(segmentations))

    async def _breathe(self) -> None:
        """Let the page say what it has to say."""
        await asyncio.sleep(0)
        if self._stop.is_set():
            raise Stopped()

    def _read_image(self, path: Path) -> list[Any]:
        return [load_volume(self._host, path)]

    def _read_series(self, series: Series) -> list[Any]:
        nodes = self._parts.io_manager.load_volumes([str(path) for path in series.files])
        if not nodes:
            raise BadImage(f"The series '{series.name}' cannot be read; export it again without compression.")
        for node in nodes:
            node.SetName(series.name)
        return nodes


def judge(files: Sequence[Path], folder: Path, stopped: Callable[[], bool] = lambda: False) -> Judged:
    """Archives are unpacked into ``folder``. Raises :class:`KDSegError` for the first file that is not what it says."""
    found = Judged()
    dicom: list[Path] = []
    for path in files:
        _sort(path, folder, found, dicom, stopped, packed=False)
    if dicom:
        found.series = read_series(dicom, stopped)
    if found.scene is not None and (found.images or found.segmentations or found.series):
        raise BadImage("A scene (.mrb) replaces everything; open it alone.")
    if found.scene is None and not (found.images or found.segmentations or found.series):
        raise BadImage(f"There is nothing to open in there; KDSeg reads {READ}.")
    return found


def _sort(
    path: Path, folder: Path, found: Judged, dicom: list[Path], stopped: Callable[[], bool], packed: bool
) -> None:
    name = path.name.lower()
    if stopped():
        raise Stopped()
    if name.endswith(".mrb"):
        check_scene(path, folder, stopped)
        found.scene = path
    elif name.endswith(".zip") and not packed:
        for member in unpack(path, folder / f"unpacked-{path.stem}", stopped):
            if not member.name.startswith(".") and "__MACOSX" not in member.parts:
                _sort(member, folder, found, dicom, stopped, packed=True)
    elif name.endswith(".seg.nrrd"):
        check_whole(path)
        found.segmentations.append(path)
    elif name.endswith(IMAGE_SUFFIXES):
        check_announced(path)
        found.images.append(path)
    elif looks_like_dicom(path):
        dicom.append(path)
    elif not packed:
        raise BadImage(f"'{path.name}' is of a kind that KDSeg does not read; it reads {READ}.")


def adopt(volume: Any, segmentation: Any) -> bool:
    """Whether ``segmentation`` lies on the grid of ``volume``; then it belongs to it and can be reviewed at once."""
    if segmentation.GetAttribute(ROLE):
        return True
    try:
        spoken = Annotation(volume, segmentation).spoken_classes()
    except KDSegError:
        return False
    if not spoken:
        return False
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    return True

"""Scenes (.mrb): judged before anything reads them, then opened; where that fails, what was open comes back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from slicer_kdseg.browser.unpacking import unpack
from slicer_kdseg.headless.announced import check_announced
from slicer_kdseg.headless.boot import HeadlessSlicer
from slicer_kdseg.headless.files import IMAGE_SUFFIXES, open_scene, save_scene
from slicer_kdseg.headless.nrrd import check_whole
from slicer_kdseg.protocol.checks import leads_outside
from slicer_kdseg.protocol.errors import BadImage, KDSegError
from slicer_kdseg.scene.annotation import Annotation, find_annotation
from slicer_kdseg.scene.nodes import images
from slicer_kdseg.scene.review import Review

LONGEST_DESCRIPTION_BYTES = 64 << 20
NAMES_A_FILE = re.compile(r"(?:fileName|uri)(?:ListMember\d+)?")
DECLARES = re.compile(rb"<!(?:DOCTYPE|ENTITY)")  # a scene declares nothing, and entities can grow without bounds
POINTS_ELSEWHERE = (".mhd", ".hdr", ".pvti", ".pvtp", ".pvts", ".pvtu", ".xmf")  # headers that name their voxels' file


def check_scene(path: Path, folder: Path, stopped: Callable[[], bool]) -> None:
    """A scene is an archive, must not name files outside of it, and its images are what they say."""
    files = unpack(path, folder / f"scene-{path.stem}", stopped)
    described = [file for file in files if file.name.endswith(".mrml")]
    if len(described) != 1 or described[0].stat().st_size > LONGEST_DESCRIPTION_BYTES:
        raise _no_scene(path)
    for name in _file_names(path, described[0]):
        if leads_outside(name):
            raise BadImage(f"The scene '{path.name}' names files outside of itself; save it again as .mrb.")
    for file in files:
        name = file.name.lower()
        if name.endswith(".seg.nrrd"):
            check_whole(file)
        elif name.endswith(IMAGE_SUFFIXES):
            check_announced(file)
        elif name.endswith(POINTS_ELSEWHERE):
            raise BadImage(f"'{file.name}' in the scene '{path.name}' names another file; save it as NRRD or NIfTI.")


def drawn_in(scene: Any) -> bool:
    """Whether somebody would miss something: strokes, or a copy that was corrected or accepted."""
    copies = [case for case in Review(scene).cases() if case.reviewed is not None]
    return bool(copies) or any(_has_strokes(volume, find_annotation(scene, volume)) for volume in images(scene))


def replace_scene(host: HeadlessSlicer, path: Path, folder: Path) -> str:
    """Open ``path``; what was open before is kept in ``folder`` meanwhile. The sentence of a failure, or nothing."""
    before = folder / "before.mrb"
    save_scene(host, before)
    try:
        open_scene(host, path)
    except KDSegError as error:
        open_scene(host, before)
        return f"{error.sentence} What was open is open again."
    return ""


def _has_strokes(volume: Any, node: Any | None) -> bool:
    try:
        return node is not None and bool(Annotation(volume, node).spoken_classes())
    except KDSegError:  # on another grid: not empty
        return True


def _file_names(path: Path, described: Path) -> Iterator[str]:
    text = described.read_bytes()
    if DECLARES.search(text):
        raise _no_scene(path)
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):
        raise _no_scene(path) from None
    for element in root.iter():
        for name, value in element.items():
            if NAMES_A_FILE.fullmatch(name):
                yield unquote(value)


def _no_scene(path: Path) -> BadImage:
    return BadImage(f"'{path.name}' is no scene that Slicer has saved; save it again as .mrb.")

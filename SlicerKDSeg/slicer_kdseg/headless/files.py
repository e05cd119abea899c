"""Images, segmentations and scenes from and to files, through Slicer's own storage nodes.

Readable: NRRD, NIfTI, ``.seg.nrrd``. Written: ``.mrb`` (the whole scene), ``.seg.nrrd`` (names,
colours, terminology and ids kept) and NRRD or NIfTI volumes. Storage nodes look for relative paths in the
scene's own folder, so they are given absolute ones.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vtkmodules.vtkCommonCore import vtkOutputWindow, vtkStringOutputWindow

from slicer_kdseg.headless.boot import HeadlessSlicer
from slicer_kdseg.headless.nrrd import check_whole
from slicer_kdseg.protocol.errors import BadAnnotation, BadImage, KDSegError, OutOfSpace

IMAGE_SUFFIXES = (".nrrd", ".nhdr", ".nii", ".nii.gz")
LABELMAP = 1


def load_volume(host: HeadlessSlicer, path: Path, labelmap: bool = False) -> Any:
    """The volume node of an image file. Raises :class:`BadImage` with a sentence that names the file."""
    _require(path, IMAGE_SUFFIXES, BadImage)
    options = LABELMAP if labelmap else 0
    volume = host.volumes.AddArchetypeVolume(str(path.absolute()), _stem(path), options)
    if volume is None or volume.GetImageData() is None:
        raise BadImage(f"'{path.name}' cannot be read as an image; it may be cut off, export it again.")
    return volume


def load_segmentation(host: HeadlessSlicer, path: Path) -> Any:
    """The segmentation node of a ``.seg.nrrd`` or NRRD label map. Raises :class:`BadAnnotation`."""
    _require(path, (".nrrd",), BadAnnotation)
    check_whole(path)
    node = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", _stem(path))
    storage = host.scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path.absolute()))
    node.SetAndObserveStorageNodeID(storage.GetID())
    if not storage.ReadData(node):
        host.scene.RemoveNode(storage)
        host.scene.RemoveNode(node)
        raise BadAnnotation(f"'{path.name}' cannot be read as a segmentation; export it again as .seg.nrrd.")
    node.CreateDefaultDisplayNodes()
    return node


def save_node(host: HeadlessSlicer, node: Any, path: Path) -> None:
    """Write a volume or segmentation node; the suffix of ``path`` chooses the format. Raises :class:`OutOfSpace`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = node.GetStorageNode() or node.CreateDefaultStorageNode()
    if storage.GetScene() is None:
        host.scene.AddNode(storage)
        node.SetAndObserveStorageNodeID(storage.GetID())
    storage.SetFileName(str(path.absolute()))
    storage.UseCompressionOn()
    if not storage.WriteData(node):
        raise _write_failed(path)


def save_scene(host: HeadlessSlicer, path: Path) -> None:
    """Write the whole scene as ``.mrb``, complete or not at all. Raises :class:`OutOfSpace`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    except OSError:
        raise _write_failed(path) from None
    part = waiting / path.name  # the archive's folder is named by it
    try:
        with _without_chatter():
            written = host.scene.WriteToMRB(str(part.absolute()))
        if not written or not part.exists():
            raise _write_failed(path)
        os.replace(part, path)
    finally:
        shutil.rmtree(waiting, ignore_errors=True)


def open_scene(host: HeadlessSlicer, path: Path) -> None:
    """Replace the scene's content by a ``.mrb``. Raises :class:`KDSegError` with a sentence."""
    _require(path, (".mrb",), KDSegError)
    host.scene.Clear(False)
    if not host.scene.ReadFromMRB(str(path.absolute())):
        raise KDSegError(f"'{path.name}' cannot be opened as a scene; it may be cut off.")


@contextmanager
def _without_chatter() -> Iterator[None]:
    """The archiver announces every file that it packs; errors are told by its return value."""
    window = vtkOutputWindow.GetInstance()
    window.Register(window)
    vtkOutputWindow.SetInstance(vtkStringOutputWindow())
    try:
        yield
    finally:
        vtkOutputWindow.SetInstance(window)
        window.UnRegister(window)


def _require(path: Path, suffixes: tuple[str, ...], error: type[KDSegError]) -> None:
    if not path.is_file():
        raise error(f"There is no file '{path}'; check the path.")
    if not path.name.lower().endswith(suffixes):
        raise error(f"'{path.name}' is of a kind that is not read here; give one of {', '.join(suffixes)}.")


def _stem(path: Path) -> str:
    name = path.name
    for suffix in (".seg.nrrd", ".nii.gz", *IMAGE_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _write_failed(path: Path) -> OutOfSpace:
    return OutOfSpace(
        f"'{path.name}' could not be written to '{path.parent}'; free some space or choose another folder."
    )

"""Images of a folder into the scene, through Slicer's own readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctk
import slicer

from slicer_kdseg.protocol.errors import BadImage

SUFFIXES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha")
NOT_IMAGES = (".seg.nrrd",)


def load_images(path: str) -> list[Any]:
    """Every image of the folder, or of its subfolder ``images``. Raises :class:`BadImage`."""
    folder = Path(path)
    if not path or not folder.is_dir():
        raise BadImage("Choose a folder with images first.")
    folder = folder / "images" if (folder / "images").is_dir() else folder
    files = [file for file in sorted(folder.iterdir()) if is_image(file)]
    if not files:
        raise BadImage(f"'{folder}' holds no image; images end with {', '.join(SUFFIXES)}.")
    volumes = []
    for file in files:
        try:
            volumes.append(slicer.util.loadVolume(str(file)))
        except RuntimeError as error:
            raise BadImage(f"'{file.name}' cannot be read as an image; take it out of the folder.") from error
    return volumes


def only_folders(edit: Any) -> None:
    """Let a ctkPathLineEdit offer folders instead of files."""
    edit.filters = ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Drives


def is_image(file: Path) -> bool:
    name = file.name.lower()
    return name.endswith(SUFFIXES) and not name.endswith(NOT_IMAGES)

"""Which files of a folder are images, for both faces."""

from __future__ import annotations

from pathlib import Path

from slicer_kdseg.protocol.errors import BadImage
from slicer_kdseg.protocol.words import tr as _

SUFFIXES = (".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha")
NOT_IMAGES = (".seg.nrrd",)


def image_files(folder: Path) -> list[Path]:
    """Every image of the folder, or of its subfolder ``images``. Raises :class:`BadImage`."""
    if not folder.is_dir():
        raise BadImage(_("There is no folder '{folder}'; choose a folder with images first.").format(folder=folder))
    folder = folder / "images" if (folder / "images").is_dir() else folder
    try:
        files = [file for file in sorted(folder.iterdir()) if is_image(file)]
    except OSError as error:
        raise BadImage(
            _("'{folder}' cannot be read ({reason}); choose another folder.").format(
                folder=folder, reason=error.strerror
            )
        ) from None
    if not files:
        raise BadImage(
            _("'{folder}' holds no image; images end with {suffixes}.").format(
                folder=folder, suffixes=", ".join(SUFFIXES)
            )
        )
    return files


def is_image(file: Path) -> bool:
    name = file.name.lower()
    return name.endswith(SUFFIXES) and not name.endswith(NOT_IMAGES)

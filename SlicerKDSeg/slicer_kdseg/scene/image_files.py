"""Which files of a folder are images, for both faces, and which hold what was drawn on them."""

from __future__ import annotations

from pathlib import Path

from slicer_kdseg.protocol.errors import BadImage
from slicer_kdseg.protocol.messages import AnnotationKind
from slicer_kdseg.protocol.words import tr as _

LABEL_FOLDERS: dict[str, AnnotationKind] = {"scribbles": "scribble", "labels": "dense"}
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


def labels_of(image: Path) -> tuple[Path, AnnotationKind] | None:
    """Beside ``images/NAME.nrrd``: strokes ``scribbles/NAME.seg.nrrd``, or complete labels ``labels/NAME.seg.nrrd``."""
    if image.parent.name != "images":
        return None
    name = next(image.name[: -len(suffix)] for suffix in SUFFIXES if image.name.lower().endswith(suffix))
    found = ((image.parent.parent / folder / f"{name}.seg.nrrd", kind) for folder, kind in LABEL_FOLDERS.items())
    return next(((file, kind) for file, kind in found if file.is_file()), None)

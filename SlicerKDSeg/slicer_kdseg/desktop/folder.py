"""Images of a folder into the scene, through Slicer's own readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctk
import slicer
from slicer.i18n import tr as _

from slicer_kdseg.protocol.errors import BadImage
from slicer_kdseg.scene.image_files import image_files


class FolderImages:
    """Every image of the folder, or of its subfolder ``images``, one at a call: between two files Slicer stays alive.

    Raises :class:`BadImage` for what is no folder with images.
    """

    def __init__(self, path: str) -> None:
        if not path:
            raise BadImage(_("Choose a folder with images first."))
        self._left = list(image_files(Path(path)))
        self.count, self.done = len(self._left), 0

    @property
    def over(self) -> bool:
        return not self._left

    def load_one(self) -> Any:
        """The next one's volume node. Raises :class:`BadImage`, and the rest stays where it is."""
        file = self._left.pop(0)
        try:
            volume = slicer.util.loadVolume(str(file), properties={"show": False})  # views stay as they are
        except RuntimeError as error:
            self._left.clear()
            raise BadImage(
                _("'{name}' cannot be read as an image; take it out of the folder.").format(name=file.name)
            ) from error
        self.done += 1
        return volume


def only_folders(edit: Any) -> None:
    """Let a ctkPathLineEdit offer folders instead of files."""
    edit.filters = ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Drives

"""Images of a folder into the scene, with what was drawn on them, through Slicer's own readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctk
import slicer
from slicer.i18n import tr as _

from slicer_kdseg.protocol.errors import BadAnnotation, BadImage
from slicer_kdseg.protocol.messages import AnnotationKind
from slicer_kdseg.scene.annotation import Annotation, choose_annotation, choose_finished
from slicer_kdseg.scene.image_files import image_files, labels_of


class FolderImages:
    """Every image of the folder, or of its subfolder ``images``, one at a call: between two files Slicer stays alive.

    Strokes and complete labels of a case folder come with their image and are not shown over another one.
    Raises :class:`BadImage` for what is no folder with images.
    """

    def __init__(self, path: str) -> None:
        if not path:
            raise BadImage(_("Choose a folder with images first."))
        self._left = list(image_files(Path(path)))
        self.count, self.done, self.labelled = len(self._left), 0, 0

    @property
    def over(self) -> bool:
        return not self._left

    def load_one(self) -> Any:
        """The next one's volume node. Raises :class:`BadImage` or :class:`BadAnnotation`: nothing more is loaded."""
        file = self._left.pop(0)
        try:
            volume = slicer.util.loadVolume(str(file), properties={"show": False})  # views stay as they are
            labels = labels_of(file)
            if labels is not None:
                self._load_labels(*labels, volume)
                self.labelled += 1
        except RuntimeError as error:
            self._left.clear()
            raise BadImage(
                _("'{name}' cannot be read as an image; take it out of the folder.").format(name=file.name)
            ) from error
        except BadAnnotation:
            self._left.clear()
            slicer.mrmlScene.RemoveNode(volume)
            raise
        self.done += 1
        return volume

    def _load_labels(self, file: Path, kind: AnnotationKind, volume: Any) -> None:
        try:
            node = slicer.util.loadSegmentation(str(file))
        except RuntimeError as error:
            raise BadAnnotation(
                _("'{name}' cannot be read as a segmentation; take it out of the folder.").format(name=file.name)
            ) from error
        try:
            Annotation(volume, node).spoken_classes()  # raises where it lies on another grid
        except BadAnnotation:
            slicer.mrmlScene.RemoveNode(node)
            raise
        choose = choose_annotation if kind == "scribble" else choose_finished
        choose(node, volume)
        node.GetDisplayNode().SetVisibility(False)


def only_folders(edit: Any) -> None:
    """Let a ctkPathLineEdit offer folders instead of files."""
    edit.filters = ctk.ctkPathLineEdit.Dirs | ctk.ctkPathLineEdit.Drives

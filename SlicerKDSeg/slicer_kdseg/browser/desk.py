"""What lies open: the sample, files that were sent, files of a folder; and which tab the mouse belongs to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slicer_kdseg.browser.opening import Opened, Opening, adopt
from slicer_kdseg.browser.question import Question
from slicer_kdseg.protocol.errors import BadImage, KDSegError, NotFound
from slicer_kdseg.scene.image_files import image_files
from slicer_kdseg.scene.nodes import images

if TYPE_CHECKING:
    from slicer_kdseg.browser.workspace import Workspace

Tab = Literal["annotate", "train", "review"]
MOST_LISTED = 500


@dataclass(frozen=True)
class DeskShown:
    image: str = ""
    busy: str = ""
    folder: str = ""
    folder_says: str = "Give a folder with images (NIfTI, NRRD)."
    files: tuple[str, ...] = ()


class Desk:
    """``sample`` gives the sample image's file, where there is one."""

    def __init__(self, space: Workspace, sample: Callable[[], Path] | None) -> None:
        self._space, self._sample = space, sample
        self.question = Question(space.front)
        self._opening = Opening(space.parts, space.host, self._may_replace)
        self.shown = DeskShown()
        space.session.signals.state_changed.connect(lambda state: self._show_image())
        space.front.show("desk", self.shown)

    async def open_sample(self) -> None:
        if self._sample is None:
            raise NotFound("The sample image is not installed here; open an image of your own.")
        await self.open([self._sample()])

    async def open(self, files: Sequence[Path]) -> None:
        """Into the scene, and the first new image into the views. Raises :class:`KDSegError`."""
        if self.shown.busy:
            raise BadImage("Something else is being opened; wait until it is there.")
        self._become(busy=f"Reading {files[0].name}" + (f" and {len(files) - 1} more" if len(files) > 1 else ""))
        self._space.front.say("")
        self._space.server.state.flush()
        try:
            self._show(await self._opening.open(files))
        finally:
            self._become(busy="")

    def cancel(self) -> None:
        """What is being opened is not."""
        self._opening.stop()

    def look_into(self, path: str) -> None:
        """List a folder's images."""
        folder = Path(path.strip()).expanduser()
        try:
            found = image_files(folder) if path.strip() else []
        except KDSegError as error:
            self._become(folder=path, folder_says=error.sentence, files=())
            return
        says = (
            f"{len(found)} image{'' if len(found) == 1 else 's'}."
            if found
            else "Give a folder with images (NIfTI, NRRD)."
        )
        names = tuple(str(file.relative_to(folder)) for file in found[:MOST_LISTED])
        self._become(folder=path, folder_says=says, files=names)

    async def open_of_folder(self, names: list[str]) -> None:
        """Only what was listed."""
        chosen = [name for name in self.shown.files if name in names]
        if not chosen:
            raise NotFound("Choose an image of the folder first.")
        folder = Path(self.shown.folder.strip()).expanduser()
        self._space.server.state.folder_dialog = False
        await self.open([folder / name for name in chosen])

    def choose_tab(self, tab: Tab) -> None:
        state, space = self._space.server.state, self._space
        before, state.tab = state.tab, tab
        if tab != before:
            space.front.say("")  # it was about what was seen there
        if tab == "review":
            space.review.enter()
        elif before == "review":
            space.review.leave()
            space.annotate.open()
            space.workplace.show_preview()

    def _show(self, opened: Opened) -> None:
        space, scene = self._space, self._space.parts.scene
        place = space.workplace
        space.front.say(opened.problem)
        if opened.replaced:
            space.views.found_again()
            known = scene.GetNodeByID(place.choices.volume) if place.choices.volume else None
            first = known or next(iter(opened.volumes), None)
        else:
            first = next(iter(opened.volumes), None)
            for node in opened.segmentations:
                self._adopt(node, first)
        if first is not None:
            place.choose(volume=first.GetID())
            space.annotate.open()
        space.annotate.refresh()
        space.train.show_choices(place.choices)
        space.review.refresh()
        if space.server.state.tab == "review":
            space.review.enter()

    async def _may_replace(self, name: str) -> bool:
        return await self.question.ask(
            f"'{name}' takes the place of everything that is open here, your strokes and corrections included. To have"
            " them later, keep what is open and press Download, Whole scene first.",
            "Replace what is open",
            "Keep what is open",
        )

    def _adopt(self, segmentation: Any, first: Any | None) -> None:
        candidates = [first] if first is not None else []
        annotation = self._space.session.annotation
        if annotation is not None:
            candidates.append(annotation.volume)
        for volume in (*candidates, *images(self._space.parts.scene)):
            if adopt(volume, segmentation):
                return
        self._space.front.say(
            f"'{segmentation.GetName()}' was opened, but no open image has its grid; open the image that it belongs to."
        )

    def _show_image(self) -> None:
        annotation = self._space.session.annotation
        self._become(image=annotation.volume.GetName() if annotation is not None else "")

    def _become(self, **changes: Any) -> None:
        self.shown = dataclasses.replace(self.shown, **changes)
        self._space.front.show("desk", self.shown)

"""Review: what a reader thinks of each prediction, kept in the scene and needing neither backend nor model.

A case is a volume with a segmentation that predicts it. Verdict, note, reader and time are attributes of that
segmentation, so that they are saved with the scene. Accepting and correcting freeze a copy of it as a node of its
own, because the preview goes on changing while a training runs; only the copy is ever edited.
"""

from __future__ import annotations

import datetime
import getpass
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from slicer_kdseg.protocol.labels import BACKGROUND
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.annotation import ANNOTATION, FINISHED, Annotation
from slicer_kdseg.scene.freezing import frozen_later
from slicer_kdseg.scene.geometry import grid_of_volume, reference_grid
from slicer_kdseg.scene.nodes import ROLE, SOURCE, images, segmentations, source_of
from slicer_kdseg.scene.results import awaits_its_first
from slicer_kdseg.scene.segments import BINARY_LABELMAP, label_id, segments, tag_untagged

Verdict = Literal["open", "accepted", "corrected", "rejected"]
REVIEWED = "reviewed"
PREDICTION = "KDSeg.Prediction"
VERDICT, NOTE, READER, TIME = ("KDSeg.Review." + word for word in ("Verdict", "Note", "Reader", "Time"))
EDITED = "KDSeg.Review.Edited"  # of a prediction whose copy was given to a reader to correct


@dataclass(frozen=True)
class ReviewCase:
    """A prediction of ``volume`` and what the reader said of it; ``reviewed`` is the frozen or corrected copy."""

    volume: Any
    prediction: Any
    reviewed: Any | None

    @property
    def name(self) -> str:
        return str(self.volume.GetName())

    @property
    def verdict(self) -> Verdict:
        found = self.prediction.GetAttribute(VERDICT)
        return found if found in get_args(Verdict) else "open"

    @property
    def note(self) -> str:
        return self.prediction.GetAttribute(NOTE) or ""

    @property
    def reader(self) -> str:
        return self.prediction.GetAttribute(READER) or ""

    @property
    def time(self) -> str:
        """ISO 8601, local time; empty until there is a verdict."""
        return self.prediction.GetAttribute(TIME) or ""


@dataclass(frozen=True)
class ClassDifference:
    """One class before and after the reader: volumes in ml; ``dice`` is None where neither holds the class."""

    name: str
    predicted_ml: float
    reviewed_ml: float
    dice: float | None
    changed_voxels: int


class Review:
    """The cases of ``scene``, and the four things a reader does with one."""

    def __init__(self, scene: Any, reader: str = "") -> None:
        self._scene = scene
        self.reader = reader or _login()

    def cases(self) -> list[ReviewCase]:
        """Every prediction in the scene that holds voxels, by the name of its volume, open ones first."""
        nodes = segmentations(self._scene)
        copies = {node.GetNodeReferenceID(PREDICTION): node for node in nodes if node.GetAttribute(ROLE) == REVIEWED}
        found = []
        for node in nodes:
            volume = source_of(node) or self._on_the_same_grid(node)
            labels = node.GetAttribute(FINISHED) and not node.GetAttribute(ROLE)
            ours = node.GetAttribute(ROLE) in (REVIEWED, ANNOTATION)
            if volume is not None and not labels and not ours and _has_voxels(node):
                found.append(ReviewCase(volume, node, copies.get(node.GetID())))
        return sorted(found, key=lambda case: (case.verdict != "open", case.name.casefold(), case.prediction.GetID()))

    def _on_the_same_grid(self, node: Any) -> Any | None:
        """The one image that a segmentation from a file was made for: a file does not name it, but has its grid."""
        grid = None if node.GetAttribute(ROLE) else reference_grid(node.GetSegmentation())
        if grid is None:
            return None
        fits = [volume for volume in images(self._scene) if volume.GetImageData() and grid.fits(grid_of_volume(volume))]
        return fits[0] if len(fits) == 1 else None

    def accept(self, case: ReviewCase) -> ReviewCase:
        """Freeze the prediction as it is now; an earlier correction of it is kept instead."""
        return self.keep(case, self.accept_later(case)())

    def accept_later(self, case: ReviewCase) -> Callable[[], Any]:
        """The verdict now; what is called on another thread gives the copy for :meth:`keep`."""
        self._speak(case, "corrected" if case.prediction.GetAttribute(EDITED) else "accepted")
        return self._copied_later(case)

    def correct(self, case: ReviewCase) -> ReviewCase:
        """A copy for the segment editor; the prediction itself stays for comparison."""
        return self.keep(case, self.correct_later(case)())

    def correct_later(self, case: ReviewCase) -> Callable[[], Any]:
        """:meth:`correct` as :meth:`accept_later`."""
        case.prediction.SetAttribute(EDITED, "yes")
        self._speak(case, "corrected")
        return self._copied_later(case)

    def reject(self, case: ReviewCase) -> ReviewCase:
        """Not to be used; what the reader had corrected stays in the scene."""
        self._speak(case, "rejected")
        return case

    def note(self, case: ReviewCase, text: str) -> None:
        case.prediction.SetAttribute(NOTE, text)

    def next_open(self, after: ReviewCase | None = None) -> ReviewCase | None:
        """The first case without a verdict, beginning behind ``after``."""
        cases = self.cases()
        at = next((n for n, case in enumerate(cases) if after and case.prediction is after.prediction), -1)
        order = cases[at + 1 :] + cases[: at + 1]
        return next((case for case in order if case.verdict == "open"), None)

    def keep(self, case: ReviewCase, segmentation: Any) -> ReviewCase:
        """Put the frozen ``segmentation`` into the scene, unless the case is gone or has a copy already."""
        if segmentation is None or not all(map(self._scene.IsNodePresent, (case.prediction, case.volume))):
            return case
        copy = self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", _("{name} reviewed").format(name=case.name))
        copy.SetAndObserveSegmentation(segmentation)
        copy.CreateDefaultDisplayNodes()
        copy.SetAttribute(ROLE, REVIEWED)
        copy.SetNodeReferenceID(PREDICTION, case.prediction.GetID())
        copy.SetNodeReferenceID(SOURCE, case.volume.GetID())
        copy.SetReferenceImageGeometryParameterFromVolumeNode(case.volume)
        copy.SetAndObserveTransformNodeID(case.volume.GetTransformNodeID())
        return ReviewCase(case.volume, case.prediction, copy)

    def _copied_later(self, case: ReviewCase) -> Callable[[], Any]:
        if case.reviewed is not None and self._scene.IsNodePresent(case.reviewed):
            return lambda: None
        tag_untagged(case.prediction.GetSegmentation())  # or prediction and copy would be numbered apart later
        return frozen_later(case.prediction.GetSegmentation())

    def _speak(self, case: ReviewCase, verdict: Verdict) -> None:
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        for name, value in ((VERDICT, verdict), (READER, self.reader), (TIME, now)):
            case.prediction.SetAttribute(name, value)


def supersede(prediction: Any) -> None:
    """Something else is shown in ``prediction`` from now on: it waits for a verdict of its own.

    What was accepted or corrected before stays in the scene, as a segmentation of its own.
    """
    for name in (VERDICT, NOTE, READER, TIME, EDITED):
        prediction.RemoveAttribute(name)
    for node in segmentations(prediction.GetScene()):
        if node.GetNodeReferenceID(PREDICTION) == prediction.GetID():
            node.RemoveNodeReferenceIDs(PREDICTION)


def differences(case: ReviewCase) -> list[ClassDifference]:
    """Class by class, by id and never by order. Empty without a copy. Raises :class:`BadAnnotation`."""
    return differences_later(case)()


def differences_later(case: ReviewCase) -> Callable[[], list[ClassDifference]]:
    """:func:`differences` for another thread: 512 x 512 x 300 voxels take half a second to compare."""
    if case.reviewed is None:
        return list
    before, after = (Annotation(case.volume, node).filled_later() for node in (case.prediction, case.reviewed))
    ml = float(np.prod(grid_of_volume(case.volume).spacing_mm)) / 1000
    names = {**_names(case.prediction), **_names(case.reviewed)}
    names.pop(BACKGROUND, None)
    return lambda: _compared(before(), after(), names, ml)


def _compared(before: np.ndarray, after: np.ndarray, names: dict[int, str], ml: float) -> list[ClassDifference]:
    """``ml`` is the volume of one voxel."""
    together = _counted_together(before, after)
    rows = []
    for id_, name in sorted(names.items()):
        both, one, other = (int(x) for x in (together[id_, id_], together[id_].sum(), together[:, id_].sum()))
        dice = 2 * both / (one + other) if one + other else None
        rows.append(ClassDifference(name, one * ml, other * ml, dice, one + other - 2 * both))
    return rows


def _counted_together(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(256, 256): how many voxels had the first id before and the second after; rows without a class are left out."""
    counts = np.zeros(1 << 16, np.int64)
    for one, other in zip(before, after, strict=True):
        rows = one.any(axis=1) | other.any(axis=1)
        pairs = one[rows].astype(np.uint16) << 8 | other[rows]
        counts += np.bincount(pairs.reshape(-1), minlength=1 << 16)
    return counts.reshape(256, 256)


def _names(node: Any) -> dict[int, str]:
    found = {label_id(segment): segment.GetName() for segment in segments(node.GetSegmentation())}
    return {id_: name for id_, name in found.items() if id_ is not None}


def _has_voxels(node: Any) -> bool:
    """Whether a segmentation can be compared: surfaces alone cannot, nor a preview that has not come yet."""
    return not awaits_its_first(node) and bool(node.GetSegmentation().ContainsRepresentation(BINARY_LABELMAP))


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user in the system's list: containers, some Windows set-ups
        return "reader"

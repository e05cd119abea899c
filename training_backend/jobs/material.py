"""What a run learns from: its cases as tensors, the strokes kept aside, and what the first teachers believe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from slicer_kdseg.protocol.labels import UNLABELLED, LabelContract
from slicer_kdseg.protocol.messages import AnnotationKind, CaseRole
from slicer_kdseg.protocol.method_settings import CrossModalitySettings, ScribbleSettings, TrainSettings
from slicer_kdseg.protocol.settings import View
from training_backend.data import preprocess
from training_backend.data.assistants import Assistant, fitted
from training_backend.data.cases import spacing_mm
from training_backend.data.growcut import growcut
from training_backend.data.items import Items, Part, PreparedCase, hot
from training_backend.data.largest import largest_parts
from training_backend.data.strokes import hold_out, hold_out_slices
from training_backend.engine.desk import Revision
from training_backend.jobs.examiner import Examiner
from training_backend.methods.correction import corrected, learnt, named
from training_backend.methods.first_teachers import FirstTeachers, Stacking
from training_backend.methods.votes import Seen

MOST_VOXELS = 4_000_000  # ten seconds of grow-cut


@dataclass
class TrainingCase:
    """A case as a run needs it: ``image`` (D, H, W), ``affine`` index to RAS mm, ``annotation`` uint8 class
    ids with ``UNLABELLED`` (nothing else in an unlabelled case), ``growcut`` of all its strokes if somebody
    has computed it already."""

    id: str
    name: str
    image: np.ndarray
    affine: np.ndarray
    kind: AnnotationKind
    revision: int
    annotation: np.ndarray
    growcut: np.ndarray | None = None
    role: CaseRole = "target"

    @property
    def part(self) -> Part:
        """What the case is to the training, as long as its annotation is what it is."""
        if self.role == "assistant":
            return "assistant"
        return "annotated" if (self.annotation != UNLABELLED).any() else "unlabelled"


class Material:
    """The cases of a run, the first of which is annotated and previewed; keeps ``examiner`` in strokes.

    Until :meth:`release` the strokes kept aside teach nobody. ``dense``: the labels are complete, and nobody
    needs to believe anything.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        labels: LabelContract,
        settings: TrainSettings,
        view: View,
        examiner: Examiner,
    ) -> None:
        self.cases = list(cases)
        self.settings = settings
        self.examiner = examiner
        self.dense = settings.learns_from == "dense"
        self.released = False
        self._rivals: dict[str, np.ndarray] = {}
        self._ids = np.array(labels.ids, np.uint8)
        self._channel_of = np.full(256, -1)
        self._channel_of[self._ids] = np.arange(len(self._ids))
        self._teachers = FirstTeachers(len(self._ids), Stacking(), settings.seed)
        own = [case for case in cases if case.part == "annotated"]
        spacings = [spacing_mm(case.affine) for case in own]
        self.preprocess = preprocess.fit([case.image.shape for case in own], spacings, settings, view)
        self._fit_assistants(settings)
        for case in self.cases:
            self.examiner.held[case.id] = self._kept_aside(case)

    def open(self, device: torch.device) -> None:
        """Ask the first teachers, which takes seconds, and put everything on ``device``."""
        self.items = Items(self._prepared(self.cases), self.preprocess.dims, device)

    @property
    def annotated(self) -> list[int]:
        """Numbers of the annotated cases."""
        return [place for place, case in enumerate(self.cases) if case.part == "annotated"]

    def join(self, revision: Revision) -> TrainingCase:
        """Take a correction in; what is kept aside stays so, unless the user has changed it."""
        place = next(place for place, case in enumerate(self.cases) if case.id == revision.case)
        case = self.cases[place]
        case.annotation, case.growcut, case.revision = revision.labels, revision.growcut, revision.number
        held = self.examiner.held[case.id]
        self.examiner.held[case.id] = np.where(held == revision.labels, held, UNLABELLED).astype(np.uint8)
        self._rivals.pop(case.id, None)
        self.items.replace(place, self._prepared([case])[0])
        self.items.begin_anew()
        return case

    def release(self) -> None:
        """The strokes kept aside have done their work as judges and become teachers.

        Where strokes are sparse one of them can be half of what is known of a class, so the first teachers
        are asked again; elsewhere the strokes speak for themselves.
        """
        self.released = True
        own = [self.cases[place] for place in self.annotated]
        if self._teachers.sparse:
            for place, prepared in zip(self.annotated, self._prepared(own), strict=True):
                self.items.replace(place, prepared)
            self.items.begin_anew()
        else:
            for place, case in zip(self.annotated, own, strict=True):
                self.items.replace_strokes(place, self._taught(case))
            self.items.speak()

    def grown(self, case: TrainingCase) -> np.ndarray:
        """Grow-cut of all strokes of ``case``, (D, H, W) ids, computed once; at working spacing if it is large."""
        if case.growcut is None:
            case.growcut = self._grown(case, case.annotation)
        return case.growcut

    def rival(self, place: int) -> np.ndarray:
        """Grow-cut of case number ``place`` without the strokes kept aside: what the student is held against."""
        case = self.cases[place]
        if self.dense:
            return np.full(case.image.shape, UNLABELLED, np.uint8)
        if case.id not in self._rivals:
            self._rivals[case.id] = self._grown(case, self.taught(case))
        return self._rivals[case.id]

    def detail(self, place: int) -> float:
        """How much of grow-cut's labels survives the way to working spacing and back, Dice in 0..1."""
        grown = self.rival(place)
        coarse = self.preprocess.labels(grown, spacing_mm(self.cases[place].affine), self._channel_of)
        back = self.labels(hot(coarse, len(self._ids)), place)
        pairs = [(grown == id_, back == id_) for id_ in self._ids if id_ and (grown == id_).any()]
        return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs])) if pairs else 1.0

    def labels(self, probability: Tensor, place: int) -> np.ndarray:
        """(K+1, D', H', W') at working spacing -> class ids (D, H, W) of case number ``place``."""
        labels = self._restored(probability, self.cases[place])
        return largest_parts(labels) if self.settings.keep_largest else labels

    def heard(self, probability: Tensor, place: int) -> np.ndarray:
        """What student and first teachers together make of an annotated case, (D, H, W) ids.

        The student's word counts class by class, as far as it has learnt the class: unweighted, what is shown
        after 30 CPU-seconds of the chest CT has Dice 0.78 instead of 0.84.
        """
        if self.dense:
            return self.labels(probability, place)
        belief, strokes = self.items.belief_of(place), self.items.strokes_of(place)
        trust = torch.minimum(learnt([probability], [strokes]), learnt([probability], [named(belief)]))
        return self.labels(corrected(belief, probability, trust, 1.0 - self.settings.consult), place)

    def taught(self, case: TrainingCase) -> np.ndarray:
        """The strokes that may teach, (D, H, W) uint8."""
        if self.released:
            return case.annotation
        return np.where(self.examiner.held[case.id] == UNLABELLED, case.annotation, UNLABELLED).astype(np.uint8)

    def _fit_assistants(self, settings: TrainSettings) -> None:
        """Assistants at the size and cut to the region of the targets; nobody will ever see them segmented."""
        places = [place for place, case in enumerate(self.cases) if case.part == "assistant"]
        if not isinstance(settings, CrossModalitySettings) or not places:
            return
        assistants, targets = (
            [Assistant(case.image, case.annotation, case.affine) for case in (self.cases[p] for p in own)]
            for own in (places, self.annotated)
        )
        how = self.preprocess
        fit = fitted(assistants, targets, how.slice_axis, how.dims, settings.match_size)
        for place, case in zip(places, fit, strict=True):
            self.cases[place] = replace(self.cases[place], image=case.image, annotation=case.labels, affine=case.affine)

    def _kept_aside(self, case: TrainingCase) -> np.ndarray:
        if case.part != "annotated":
            return np.full(case.image.shape, UNLABELLED, np.uint8)
        if case.kind == "scribble":
            return hold_out(case.annotation, self.settings.held_out, self.settings.seed)[1]
        return hold_out_slices(case.annotation, self.preprocess.slice_axis, self.settings.held_out)

    def _prepared(self, cases: Sequence[TrainingCase]) -> list[PreparedCase]:
        """Working tensors of some cases, without what is kept aside until it is released."""
        images = [self.preprocess.image(case.image, spacing_mm(case.affine)) for case in cases]
        taught = [self._taught(case) for case in cases]
        believed = [hot(part, len(self._ids)) for part in taught]
        own = [place for place, case in enumerate(cases) if case.part == "annotated"]
        for place, belief in zip(own, self._believed([self._seen(images[p], taught[p]) for p in own]), strict=False):
            believed[place] = belief
        return [
            PreparedCase(case.id, image, strokes, belief, case.part)
            for case, image, strokes, belief in zip(cases, images, taught, believed, strict=True)
        ]

    def _believed(self, seen: Sequence[Seen]) -> list[Tensor]:
        """What the first teachers make of scribbled cases, (K+1, D', H', W') each; empty if nobody is to be asked."""
        settings = self.settings
        if not isinstance(settings, ScribbleSettings) or settings.first_teachers == "none":
            return []
        if settings.first_teachers == "all":
            return self._teachers.believe(seen)
        return [hot(_channels(growcut(part.image, part.strokes)), len(self._ids)) for part in seen]

    def _taught(self, case: TrainingCase) -> Tensor:
        """(D', H', W') int8 channels of the strokes that may teach."""
        return self.preprocess.labels(self.taught(case), spacing_mm(case.affine), self._channel_of)

    def _seen(self, image: Tensor, strokes: Tensor) -> Seen:
        drawn = np.where(strokes.numpy() < 0, UNLABELLED, strokes.numpy()).astype(np.uint8)
        return Seen(image[0].numpy(), drawn, self.preprocess.spacing_mm)

    def _grown(self, case: TrainingCase, strokes: np.ndarray) -> np.ndarray:
        if case.image.size <= MOST_VOXELS:
            return growcut(case.image, strokes)
        image = self.preprocess.image(case.image, spacing_mm(case.affine))
        drawn = self.preprocess.labels(strokes, spacing_mm(case.affine), self._channel_of)
        seen = self._seen(image, drawn)
        return self._restored(hot(_channels(growcut(seen.image, seen.strokes)), len(self._ids)), case)

    def _restored(self, probability: Tensor, case: TrainingCase) -> np.ndarray:
        return self._ids[self.preprocess.restore_labels(probability, case.image.shape).cpu().numpy()]


def _channels(grown: np.ndarray) -> Tensor:
    """uint8 channels with ``UNLABELLED`` -> int8 with -1."""
    return torch.from_numpy(grown.astype(np.int8))

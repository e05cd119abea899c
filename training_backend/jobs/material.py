"""What a run learns from: its cases as tensors, the strokes kept aside, and what the first teachers believe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelContract
from slicer_kdseg.protocol.method_settings import CrossModalitySettings, ScribbleSettings, TrainSettings
from slicer_kdseg.protocol.settings import view_for
from training_backend.data import preprocess
from training_backend.data.assistants import Assistant, fitted
from training_backend.data.cases import spacing_mm
from training_backend.data.growcut import growcut
from training_backend.data.items import Items, PreparedCase, hot
from training_backend.data.largest import largest_parts, shares_in_largest
from training_backend.data.pose import lie_alike
from training_backend.data.strokes import hold_out, hold_out_slices
from training_backend.engine.desk import Revision
from training_backend.jobs.examiner import Examiner
from training_backend.jobs.growing import MOST_VOXELS, Growing, channels_of, drawn_of
from training_backend.jobs.training_case import TrainingCase
from training_backend.methods.correction import corrected, learnt, named
from training_backend.methods.first_teachers import FirstTeachers, Stacking
from training_backend.methods.votes import Seen, mostly_annotated

ONE_PIECE = 0.95


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
        examiner: Examiner,
    ) -> None:
        self.cases = list(cases)
        self.settings = settings
        self.examiner = examiner
        self.dense = settings.learns_from == "dense"
        self.released = self.asked_again = False
        self._rivals: dict[str, np.ndarray] = {}
        self._ids = np.array(labels.ids, np.uint8)
        self._channel_of = np.full(256, -1)
        self._channel_of[self._ids] = np.arange(len(self._ids))
        self._teachers = FirstTeachers(len(self._ids), Stacking(), settings.seed)
        own = [case for case in cases if case.part == "annotated"]
        shapes, spacings = [case.image.shape for case in own], [spacing_mm(case.affine) for case in own]
        across = preprocess.slice_axis(shapes, spacings)
        drawn = [case.annotation for case in own]
        alike = not self.dense and across is not None and lie_alike(drawn, spacings, across)
        self.view = view_for(settings, len(own), alike)
        self.preprocess = preprocess.fit(shapes, spacings, settings, self.view)
        self._growing = Growing(self.preprocess, self._ids, self._channel_of)
        self._fit_assistants(settings)
        for case in self.cases:
            self.examiner.held[case.id] = self._kept_aside(case)

    def open(self, device: torch.device) -> None:
        """Ask the first teachers, which takes seconds, and put everything on ``device``."""
        self.items = Items(self._prepared(self.cases), self.preprocess.dims, device)
        self._look_at_beliefs()

    @property
    def stacked(self) -> bool:
        """Whether the first teachers are more than grow-cut."""
        return bool(self._teachers.nets)

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
        self._look_at_beliefs()
        return case

    def release(self, ask_again: bool) -> None:
        """The strokes kept aside have done their work as judges and become teachers.

        Where strokes are sparse one of them can be half of what is known of a class, so with ``ask_again`` the first
        teachers are asked anew; elsewhere the strokes speak for themselves.
        """
        self.released, self.asked_again = True, ask_again and self._teachers.sparse
        own = [self.cases[place] for place in self.annotated]
        if self.asked_again:
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
            case.growcut = self._growing.grown(case, case.annotation)
        return case.growcut

    def rival(self, place: int) -> np.ndarray:
        """Grow-cut of case number ``place`` without the strokes kept aside: what the student is held against."""
        return self._rival(self.cases[place])

    def detail(self, place: int) -> float:
        """How much of grow-cut's labels survives the way to working spacing and back, Dice in 0..1."""
        return self._growing.detail(self.cases[place], self.rival(place))

    def labels(self, probability: Tensor, place: int) -> np.ndarray:
        """(K+1, D', H', W') at working spacing -> class ids (D, H, W) of case number ``place``."""
        case = self.cases[place]
        return largest_parts(self._growing.restored(probability, case), self.preprocess.keep_largest, self.taught(case))

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

    def _look_at_beliefs(self) -> None:
        """What follows from annotation and first beliefs: who is to be judged strictly, what comes in one piece."""
        items, own = self.items, [] if self.dense else self.annotated
        seen = {p: self._growing.seen(items.whole_image(p).cpu(), items.strokes_of(p).cpu()) for p in own}
        self.examiner.sparse = {self.cases[p].id for p, case in seen.items() if not mostly_annotated(case)}
        self.examiner.stacked = self.stacked
        self._find_pieces()

    def _find_pieces(self) -> None:
        """Which classes come in one piece: those whose annotation does, in half of the cases at least.

        Of strokes that is asked of what the first teachers made of them, which joins what belongs together.
        """
        wish, foreground = self.settings.keep_largest, [int(id_) for id_ in self._ids if id_ != BACKGROUND]
        if wish is None:
            own = [self.cases[place].annotation for place in self.annotated]
            pairs = [(labels, labels) for labels in own] if self.dense else [self._joined(p) for p in self.annotated]
            shares = [shares_in_largest(labels, drawn, foreground) for labels, drawn in pairs]
            found = {id_: [own[id_] for own in shares if id_ in own] for id_ in foreground}
            foreground = [id_ for id_, own in found.items() if own and np.median(own) >= ONE_PIECE]
        kept = () if wish is False else tuple(foreground)
        self.preprocess = replace(self.preprocess, keep_largest=kept)

    def _joined(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids of what is believed of case number ``place`` and of the strokes that teach, at working spacing."""
        ids = np.append(self._ids, UNLABELLED)
        believed, strokes = named(self.items.belief_of(place)), self.items.strokes_of(place)
        return ids[believed.cpu().numpy()], ids[strokes.cpu().numpy()]

    def _rival(self, case: TrainingCase) -> np.ndarray:
        if self.dense:
            return np.full(case.image.shape, UNLABELLED, np.uint8)
        if case.id not in self._rivals:
            self._rivals[case.id] = self._growing.grown(case, self.taught(case))
        return self._rivals[case.id]

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
        seen = [self._finely(cases[p], self._growing.seen(images[p], taught[p])) for p in own]
        for place, belief in zip(own, self._believed(seen), strict=False):
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
        return [hot(channels_of(growcut(part.image, part.strokes)), len(self._ids)) for part in seen]

    def _taught(self, case: TrainingCase) -> Tensor:
        """(D', H', W') int8 channels of the strokes that may teach."""
        return self.preprocess.labels(self.taught(case), spacing_mm(case.affine), self._channel_of)

    def _finely(self, case: TrainingCase, seen: Seen) -> Seen:
        """``seen`` with grow-cut at the case's own resolution, where working spacing is coarser and strokes are sparse.

        Where most slices carry them the votes are as good without (ACDC: 0.877 and 0.878).
        """
        fine = seen.image.size < case.image.size <= MOST_VOXELS
        wanted = isinstance(self.settings, ScribbleSettings) and self.settings.first_teachers == "all"
        if not wanted or not fine or mostly_annotated(seen):
            return seen
        grown = self.grown(case) if self.released else self._rival(case)
        channels = self.preprocess.labels(grown, spacing_mm(case.affine), self._channel_of)
        return replace(seen, grown=drawn_of(channels))

"""A look at where a run stands: the model is saved, loaded back and predicts, and what it predicts is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED
from slicer_kdseg.protocol.messages import JobRequest, PreviewSource, Suggestion
from slicer_kdseg.protocol.method_settings import TrainSettings
from training_backend.engine.desk import Desk
from training_backend.engine.predict import predict
from training_backend.export.model import load_model, save_model
from training_backend.jobs.doubt import doubt, next_slice
from training_backend.jobs.examiner import Examiner
from training_backend.jobs.material import Material
from training_backend.jobs.training_case import TrainingCase
from training_backend.methods.learner import Learner


class Showing:
    """Shows previews through ``desk``; ``previous`` is the folder of the model that a new one is held against."""

    def __init__(
        self,
        folder: Path,
        request: JobRequest,
        settings: TrainSettings,
        material: Material,
        examiner: Examiner,
        desk: Desk,
        previous: Path | None,
    ) -> None:
        self.folder, self.request, self.settings = folder, request, settings
        self.material, self.examiner, self.desk = material, examiner, desk
        self._detail: dict[int, float] = {}
        self._older = self._predict_with(previous) if previous else None

    def growcut(self, case: TrainingCase, step: int, sentence: str) -> None:
        """Show grow-cut of all strokes of ``case``."""
        self._preview(case, self.material.grown(case), "growcut", step, sentence)

    def propagated(self, place: int, probability: Tensor, sentence: str) -> None:
        """Show labels that were carried over from another case, (K+1, D', H', W') at working spacing."""
        self._preview(self.material.cases[place], self.material.labels(probability, place), "propagated", 0, sentence)

    def handed_over(self, place: int, probability: Tensor, sentence: str) -> None:
        """Show the student instead of propagated labels, in the same form."""
        self._preview(self.material.cases[place], self.material.labels(probability, place), "student", 0, sentence)

    def look(self, learner: Learner, step: int, places: Sequence[int], notes: Mapping[str, object]) -> np.ndarray:
        """Show and, while strokes are kept aside, examine the cases at ``places``; the first case is among them.

        Every preview is made by the model as it was saved, so it is also the proof that the model works; that
        model is handed in as the candidate, with ``notes`` on its card. Returns what it makes of the first case
        without any stroke.
        """
        material, examiner = self.material, self.examiner
        draft = self.folder / "candidate"
        save_model(draft, learner.teacher, material.preprocess, self.request.labels, {**self._card(step), **notes})
        loaded = load_model(draft, material.items.device.type).network
        said = {place: self._probability(learner, loaded, place) for place in places}
        heard = {place: material.heard(probability, place) for place, probability in said.items()}
        cases = {place: material.cases[place] for place in places}
        alone = {case.id: material.labels(said[place], place) for place, case in cases.items()}
        taught = {case.id: material.taught(case) for case in cases.values()}
        if material.released:
            examiner.note_fit(alone, taught)
        else:
            together = {case.id: heard[place] for place, case in cases.items()}
            rivals = {case.id: material.rival(place) for place, case in cases.items()}
            self._detail |= {place: material.detail(place) for place in places if place not in self._detail}
            detail = {case.id: self._detail[place] for place, case in cases.items()}
            self.desk.emit(examiner.examine(step, together, alone, rivals, taught, detail))
        for place in places:
            self._show_better(learner, place, heard[place], said[place], step)
        not_worse, sentence = examiner.against(material.cases[0].id, self._older)
        self.desk.candidate(draft, examiner.alone, not_worse, sentence)
        return alone[material.cases[0].id]

    def _show_better(self, learner: Learner, place: int, labels: np.ndarray, said: Tensor, step: int) -> None:
        """The student's labels, or grow-cut's while the student is not as good, and where it is unsure."""
        case, preprocess = self.material.cases[place], self.material.preprocess
        unsure = doubt(said, self._probability(learner, learner.student, place), preprocess, case.image.shape)
        verdict = self.examiner.verdict(case.id)
        if self.material.dense:
            self._preview(case, labels, "student", step, verdict, unsure)
        elif self.examiner.student_leads(case.id):
            drawn = np.where(case.annotation == UNLABELLED, labels, case.annotation)
            self._preview(case, drawn, "student", step, verdict, unsure)
        else:
            self._preview(case, self.material.grown(case), "growcut", step, verdict, unsure)
        index = next_slice(unsure, case.annotation, preprocess.slice_axis)
        if place == 0 and index is not None:
            sentence = f"Slice {index + 1} has no stroke and is the least certain."
            self.desk.emit(Suggestion(case.id, preprocess.slice_axis, index, sentence))

    def _preview(
        self,
        case: TrainingCase,
        labels: np.ndarray,
        source: PreviewSource,
        step: int,
        sentence: str,
        unsure: np.ndarray | None = None,
    ) -> None:
        whole = np.where(labels == UNLABELLED, BACKGROUND, labels).astype(np.uint8)
        self.desk.preview(case.id, whole, source, step, case.revision, unsure, sentence)

    def _probability(self, learner: Learner, network: torch.nn.Module, place: int) -> Tensor:
        image, divisor = self.material.items.whole_image(place), learner.shape.divisor()
        how = self.material.preprocess
        return predict(network, image, divisor, learner.dtype, scales=how.scales, flips=how.flips)

    def _predict_with(self, older: Path) -> Callable[[], np.ndarray]:
        """What the model before makes of the first case, when it is asked."""
        case = self.material.cases[0]
        return lambda: load_model(older, self.settings.device).predict(case.image, case.affine)

    def _card(self, step: int) -> dict[str, object]:
        cases, latest = self.material.cases, self.examiner.latest
        return {
            "method": self.request.method,
            "preset": self.request.preset,
            "settings": asdict(self.settings),
            "cases": [
                {"name": case.name, "sha256": case.id, "revision": case.revision, "part": case.part} for case in cases
            ],
            "steps": step,
            "held_out": asdict(latest) if latest else None,
        }

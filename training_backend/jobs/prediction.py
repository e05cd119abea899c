"""Run a model on one case; the result is the job's preview 1."""

from __future__ import annotations

from pathlib import Path

from slicer_kdseg.protocol.errors import BadImage
from slicer_kdseg.protocol.messages import StateChanged
from training_backend.engine.desk import Desk
from training_backend.jobs.cases import StoredCase, read_image


def run(model_folder: Path, case: StoredCase, desk: Desk) -> None:
    """Predict ``case`` with the model in ``model_folder``; returns early when the desk wants an end."""
    from training_backend.export.model import load_model

    desk.emit(StateChanged("validating", "The model is being run on the image."))
    frame = read_image(case.image)
    if frame.affine is None:
        raise BadImage("The stored image has no affine; upload the case again.")
    model = load_model(model_folder)
    labels = model.predict(frame.array, frame.affine, cancelled=lambda: desk.orders().end is not None)
    if desk.orders().end is None:
        desk.preview(case.case, labels, "student", 0, 0)

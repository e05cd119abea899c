"""A numbered model on other volumes of the scene: sent, predicted by the backend, shown like a preview."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import Busy, KDSegError, NotFound
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.messages import FINAL_STATES, ModelInfo
from slicer_kdseg.scene.errands import Errands, Failed
from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume
from slicer_kdseg.scene.results import PreviewSegmentation, Provenance
from slicer_kdseg.scene.signals import SessionSignals

ASK_SECONDS = 0.3
PATIENCE_SECONDS = 600.0


class Predictions:
    """``signals.predicted`` tells of every volume that is done; what goes wrong comes through ``failed``."""

    def __init__(
        self,
        scene: Any,
        backend: Callable[[], BackendClient],
        errands: Errands,
        signals: SessionSignals,
        failed: Failed,
    ) -> None:
        self._scene, self._backend, self._errands = scene, backend, errands
        self._signals, self._failed = signals, failed
        self.waiting = 0

    def predict(self, volume: Any, model: ModelInfo) -> None:
        """Run ``model`` on ``volume``. Raises :class:`BadImage` before a byte leaves."""
        client = self._backend()
        image, grid = array_of_volume(volume), grid_of_volume(volume)
        checks.check_image_shape(image.shape)
        self.waiting += 1

        def work() -> tuple[str, np.ndarray]:
            case = client.upload_case(image, grid.affine)
            job = client.predict(model.number, case).id
            return job, _result(client, job)

        def show(result: tuple[str, np.ndarray]) -> None:
            self.waiting -= 1
            self._show(volume, model, *result)

        def failed(error: KDSegError) -> None:
            self.waiting -= 1
            self._failed(error)

        self._errands.send("predictions", work, show, failed)

    def _show(self, volume: Any, model: ModelInfo, job: str, labels: np.ndarray) -> None:
        if not self._scene.IsNodePresent(volume):
            return
        contract = LabelContract(model.labels.classes)
        shown = PreviewSegmentation(self._scene, volume, contract)
        shown.show(labels)
        shown.attribute(Provenance("", model.method, 0, str(model.number), "student"))
        self._signals.predicted.emit(volume)


def _result(client: BackendClient, job: str) -> np.ndarray:
    """The labels (D, H, W) once the job is over. Raises :class:`KDSegError`."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        status = client.job(job)
        if status.state in FINAL_STATES:
            break
        if time.monotonic() > until:
            raise Busy(f"The prediction '{job}' took longer than {PATIENCE_SECONDS:.0f} s; it was left to the backend.")
        time.sleep(ASK_SECONDS)
    if status.state != "done" or not status.preview:
        raise NotFound(status.sentence or f"The prediction '{job}' is {status.state} and left no result.")
    labels = client.preview(job, status.preview).labels
    if labels is None:
        raise NotFound(f"The prediction '{job}' left no whole result; run it again.")
    return labels

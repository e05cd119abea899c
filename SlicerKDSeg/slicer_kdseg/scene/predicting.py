"""A numbered model on other volumes of the scene: sent, predicted by the backend, shown like a preview."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import Busy, KDSegError, NotFound
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.messages import FINAL_STATES, ModelInfo
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.errands import Errands, Failed
from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume
from slicer_kdseg.scene.results import PreviewSegmentation, Provenance
from slicer_kdseg.scene.review import supersede
from slicer_kdseg.scene.signals import SessionSignals

ASK_SECONDS = 0.3
PATIENCE_SECONDS = 600.0


class Predictions:
    """``signals.predicted`` tells of every volume that is done; what goes wrong comes through ``failed``.

    ``waiting`` hears how many volumes are still to be done; another volume may be annotated meanwhile.
    """

    def __init__(
        self,
        scene: Any,
        backend: Callable[[], BackendClient],
        signals: SessionSignals,
        waiting: Callable[[int], object],
        failed: Failed,
    ) -> None:
        self._scene, self._backend, self._signals = scene, backend, signals
        self._errands = Errands(("predictions",))
        self._tell, self._failed = waiting, failed
        self._unwanted = Event()
        self._waiting = 0

    def predict(self, volume: Any, model: ModelInfo) -> None:
        """Run ``model`` on ``volume``. Raises :class:`BadImage` before a byte leaves."""
        client, unwanted = self._backend(), self._unwanted
        image, grid = array_of_volume(volume), grid_of_volume(volume)
        checks.check_image_shape(image.shape)
        self._count(1)

        def work() -> np.ndarray | None:
            if unwanted.is_set():
                return None
            return _result(client, client.predict(model.number, client.upload_case(image, grid.affine)).id, unwanted)

        def show(labels: np.ndarray | None) -> None:
            if unwanted.is_set():
                return
            self._count(-1)
            if labels is not None and self._scene.IsNodePresent(volume):
                self._show(volume, model, labels)

        def failed(error: KDSegError) -> None:
            if not unwanted.is_set():
                self._count(-1)
                self._failed(error)

        self._errands.send("predictions", work, show, failed)

    def cancel(self) -> None:
        """What is not done yet is left; the backend ends the one that it is at."""
        self._unwanted.set()
        self._unwanted = Event()
        self._count(-self._waiting)

    def drain(self) -> None:
        self._errands.drain()

    def close(self) -> None:
        self._unwanted.set()
        self._errands.close()

    def _count(self, more: int) -> None:
        self._waiting += more
        self._tell(self._waiting)

    def _show(self, volume: Any, model: ModelInfo, labels: np.ndarray) -> None:
        contract = LabelContract(model.labels.classes)
        shown = PreviewSegmentation(self._scene, volume, contract)
        provenance = Provenance("", model.method, 0, str(model.number), "student")
        if shown.provenance.model != provenance.model:
            supersede(shown.node)
        shown.show(labels)
        shown.attribute(provenance)
        self._signals.predicted.emit(volume)


def _result(client: BackendClient, job: str, unwanted: Event) -> np.ndarray | None:
    """The labels (D, H, W) once the job is over, None where they are ``unwanted``. Raises :class:`KDSegError`."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        if unwanted.is_set():
            client.cancel(job)
            return None
        status = client.job(job)
        if status.state in FINAL_STATES:
            break
        if time.monotonic() > until:
            raise Busy(
                _("The prediction '{job}' took longer than {seconds:.0f} s; it was left to the backend.").format(
                    job=job, seconds=PATIENCE_SECONDS
                )
            )
        unwanted.wait(ASK_SECONDS)
    if status.state != "done" or not status.preview:
        raise NotFound(
            status.sentence
            or _("The prediction '{job}' is {state} and left no result.").format(job=job, state=status.state)
        )
    labels = client.preview(job, status.preview).labels
    if labels is None:
        raise NotFound(_("The prediction '{job}' left no whole result; run it again.").format(job=job))
    return labels

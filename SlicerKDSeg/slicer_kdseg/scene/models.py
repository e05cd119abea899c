"""The numbered models of the backend as a session shows them: list, roll back, take away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.messages import ModelInfo
from slicer_kdseg.scene.errands import Errands, Failed
from slicer_kdseg.scene.signals import SessionSignals
from slicer_kdseg.scene.state import SessionState


class Models:
    """Answers arrive in ``state.models`` and ``signals.model_downloaded`` when the session is drained."""

    def __init__(
        self,
        backend: Callable[[], BackendClient],
        errands: Errands,
        signals: SessionSignals,
        become: Callable[..., SessionState],
        failed: Failed,
    ) -> None:
        self._backend, self._errands, self._signals = backend, errands, signals
        self._become, self._failed = become, failed

    def refresh(self) -> None:
        """Ask for all models, the newest first."""
        self._errands.send("orders", self._backend().models, self._listed, self._failed, lasting=True)

    def forget(self) -> None:
        """The backend that had them has been emptied."""
        self._listed([])

    def make_current(self, number: int) -> None:
        """Roll forward or back to model ``number``."""
        client = self._backend()

        def work() -> list[ModelInfo]:
            client.make_current(number)
            return client.models()

        self._errands.send("orders", work, self._listed, self._failed, lasting=True)

    def download(self, number: int, folder: Path) -> None:
        """Write model ``number`` into the new folder ``folder``."""
        client = self._backend()
        self._errands.send(
            "orders",
            lambda: client.download_model(number, folder),
            self._signals.model_downloaded.emit,
            self._failed,
            lasting=True,
        )

    def _listed(self, models: list[ModelInfo]) -> None:
        current = next((model.number for model in models if model.current), None)
        self._become(models=tuple(models), current_model=current)

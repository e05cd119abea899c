"""Previews on their way from the backend into the scene: the newest of every case, one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.protocol.messages import PreviewReady
from slicer_kdseg.protocol.previews import PreviewUpdate
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.results import PreviewSegmentation
from slicer_kdseg.scene.uncertainty import UncertaintyVolume


class PreviewFetcher:
    """``previews`` by case; ``shown(ready)`` is called when voxels have been written, ``missed`` when they cannot be.

    ``uncertainty``, if it is to be shown, belongs to the case ``unsure``.
    """

    def __init__(
        self,
        client: BackendClient,
        errands: Errands,
        job: str,
        previews: Mapping[str, PreviewSegmentation],
        unsure: str,
        shown: Callable[[PreviewReady], object],
        missed: Callable[[KDSegError], object],
    ) -> None:
        self.uncertainty: UncertaintyVolume | None = None
        self._client, self._errands, self._job = client, errands, job
        self._previews, self._unsure = previews, unsure
        self._shown, self._missed = shown, missed
        self._wanted: dict[str, PreviewReady] = {}
        self._fetching = False

    @property
    def idle(self) -> bool:
        """Nothing is wanted and nothing is on its way."""
        return not self._fetching and not self._wanted

    def want(self, ready: PreviewReady) -> None:
        """A newer preview of a case replaces an older one that has not been asked for yet."""
        if ready.case in self._previews:
            self._wanted[ready.case] = ready

    def drain(self) -> None:
        """Ask for the next preview, unless one is on its way."""
        if self._fetching or not self._wanted:
            return
        ready = self._wanted.pop(next(iter(self._wanted)))
        self._fetching = True
        since = self._previews[ready.case].number
        unsure = self.uncertainty is not None and ready.case == self._unsure
        self._errands.send(
            "network",
            lambda: self._client.preview(self._job, ready.number, since, unsure),
            lambda update: self._show(ready, update),
            self._fail,
        )

    def _show(self, ready: PreviewReady, update: PreviewUpdate) -> None:
        """A session that has just found its job again may have asked for a preview of another case."""
        self._fetching = False
        ready = dataclasses.replace(ready, case=update.case)
        preview = self._previews.get(ready.case)
        if preview is None:
            return
        if update.labels is None and update.since != preview.number:
            self._wanted.setdefault(ready.case, ready)  # the layer was written to meanwhile: ask for the whole preview
            return
        update.apply(preview.labels)
        preview.shown(update.number)
        if self.uncertainty is not None and update.uncertainty is not None:
            self.uncertainty.show(update.uncertainty)
        self._shown(ready)

    def _fail(self, error: KDSegError) -> None:
        self._fetching = False
        self._missed(error)

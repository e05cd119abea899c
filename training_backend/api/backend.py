"""What the endpoints share: one store, one runner and one bell per data root."""

from __future__ import annotations

import threading
from pathlib import Path

from slicer_kdseg.protocol.errors import Conflict, DeviceUnavailable
from slicer_kdseg.protocol.messages import DeviceInfo
from training_backend.jobs.bell import Bell
from training_backend.jobs.database import Database
from training_backend.jobs.history import History
from training_backend.jobs.locks import FolderLock
from training_backend.jobs.probe import usable_devices
from training_backend.jobs.runner import SILENCE_SECONDS, Runner
from training_backend.jobs.store import Store

LOCK_WAIT_SECONDS = 3.0  # a server that has just been killed gives its lock back within that


class Backend:
    """Owns the data root until :meth:`close`. Raises :class:`Conflict` when another server has it.

    ``end``: what a client sets that may end the server; None where a server is not one user's own.
    """

    def __init__(
        self,
        root: Path,
        training: str | None = None,
        limit: int = 1,
        probe: bool = True,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._lock = FolderLock(root / "server.lock")
        if not self._lock.acquire(LOCK_WAIT_SECONDS):
            raise Conflict(f"Another KDSeg backend is running on {root}; use that one or choose another folder.")
        self.bell = Bell()
        self.store = Store(root, on_event=self.bell.ring)
        # A connection of its own for the event streams: a reader in WAL mode waits for no writer.
        self._reading = Database(self.store.database.path)
        self.followed = History(self._reading)
        self.runner = Runner(self.store, self.bell, training, limit, silence_seconds)
        self.end: threading.Event | None = None
        self._probe = probe
        self._probing = threading.Lock()
        self._found: tuple[tuple[DeviceInfo, ...], dict[str, str]] | None = None
        self.runner.start()

    def close(self) -> None:
        self.runner.close()
        self._reading.close()
        self.store.close()
        self._lock.release()

    def devices(self, wait: bool) -> tuple[tuple[DeviceInfo, ...], dict[str, str]]:
        """Devices and versions; without ``wait`` only what is known already. Tried once per server."""
        if not self._probe or (self._found is None and not wait):
            return (DeviceInfo("cpu", False, "Not tried yet."),), {}
        with self._probing:
            if self._found is None:
                self._found = usable_devices()
            return self._found

    def check_device(self, wish: str) -> None:
        """Raises :class:`DeviceUnavailable` when CUDA is asked for and no convolution runs on it."""
        if wish != "cuda" or not self._probe:
            return
        devices, _ = self.devices(wait=True)
        graphics = [device for device in devices if device.name.startswith("cuda")]
        if not any(device.usable for device in graphics):
            reason = graphics[0].reason if graphics else "this machine has none that torch can see"
            raise DeviceUnavailable(f"CUDA was asked for but cannot be used ({reason}); choose device 'cpu' or 'auto'.")

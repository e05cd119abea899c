"""Where the unattended loop plays: a scene that nobody sees, or the browser workspace, where it can be watched."""

from __future__ import annotations

import asyncio
import time
import webbrowser
from pathlib import Path
from typing import Any, Protocol

from slicer_kdseg.headless.boot import HeadlessSlicer, boot
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BackendUnreachable
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.session import KDSegSession

PUMP_SECONDS = 0.02
VISIT_SECONDS = 120.0


class Stage(Protocol):
    """A scene with a session and a backend that runs."""

    host: HeadlessSlicer
    session: KDSegSession
    client: BackendClient

    def show(self, annotation: Annotation) -> None:
        """Work on ``annotation`` from now on."""

    def pause(self, seconds: float) -> None:
        """Let time pass; whoever watches sees what has happened."""

    def close(self) -> None: ...


class UnseenStage:
    """Boots a scene and starts a backend in ``root``."""

    def __init__(self, root: Path) -> None:
        self.host = boot()
        self._backend = LocalBackend(root)
        self.client = BackendClient(self._backend.url, self._backend.token)
        self.session = KDSegSession(self.host.scene, self.client)

    def show(self, annotation: Annotation) -> None:
        self.session.show_uncertainty = True
        self.session.annotate(annotation)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        self.session.close()
        self.client.close()
        self._backend.close()
        self.host.close()


class WatchedStage:
    """The browser workspace with its own backend in ``root``; begins when somebody has opened the page."""

    def __init__(self, root: Path) -> None:
        from slicer_kdseg.browser.rendering import require_rendering
        from slicer_kdseg.browser.workspace import Workspace

        require_rendering()
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._space = Workspace(root)
        self.host, self.session = self._space.host, self._space.session
        self._served: Any = self._space.begin(0, _come)
        self._until(lambda: self._space.gate.opened, VISIT_SECONDS, "Nobody has opened the page")
        link = self._space.workplace.link
        link.start_local(self._space.workplace.python())
        self._until(lambda: not link.state.busy, VISIT_SECONDS, "The backend did not start")
        if link.client is None:
            raise BackendUnreachable(link.state.sentence)
        self.client = link.client

    def show(self, annotation: Annotation) -> None:
        self._space.workplace.choose(volume=annotation.volume.GetID(), uncertainty=True)
        self._space.annotate.open()
        self._space.tools.use("look")
        self._space.server.state.tab = "train"
        self.pause(PUMP_SECONDS)

    def pause(self, seconds: float) -> None:
        self._loop.run_until_complete(asyncio.sleep(seconds))

    def stay(self) -> None:
        """Until Ctrl-C the page can be looked at and used."""
        self._loop.run_until_complete(self._served)

    def close(self) -> None:
        self._space.close()

    def _until(self, condition: Any, seconds: float, otherwise: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise BackendUnreachable(f"{otherwise} within {seconds:.0f} seconds; start again.")
            self.pause(PUMP_SECONDS)


def _come(address: str) -> None:
    print(f"Watch at {address} (it opens once); the demo begins when the page is open.", flush=True)
    webbrowser.open(address)

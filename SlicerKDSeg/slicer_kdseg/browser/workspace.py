"""One user's workspace: Slicer's parts, session, views, tools and tabs behind one page, and the clock."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from trame.app import get_server
from trame_server.utils import asynchronous
from trame_slicer.core import SlicerApp
from vtkmodules.vtkCommonCore import vtkFileOutputWindow, vtkLogger, vtkOutputWindow

from slicer_kdseg.browser.annotate_tab import AnnotateTab
from slicer_kdseg.browser.desk import Desk
from slicer_kdseg.browser.downloading import Downloads
from slicer_kdseg.browser.front import Front
from slicer_kdseg.browser.gate import Gate
from slicer_kdseg.browser.models_list import ModelsList
from slicer_kdseg.browser.page import Page
from slicer_kdseg.browser.review_tab import ReviewTab
from slicer_kdseg.browser.surfaces import Surfaces
from slicer_kdseg.browser.tools import Tools
from slicer_kdseg.browser.train_tab import TrainTab
from slicer_kdseg.browser.uploading import Uploads
from slicer_kdseg.browser.views import Views
from slicer_kdseg.headless.boot import HeadlessSlicer
from slicer_kdseg.scene.backend_link import BackendLink
from slicer_kdseg.scene.backend_python import BackendPython, with_packages
from slicer_kdseg.scene.workplace import Workplace

TICK_SECONDS = 0.05


class Workspace:
    """``root`` is where a local backend keeps cases, jobs and models; ``options`` go to its command line.

    There is one in a process: trame's server and VTK's factories are singletons.
    """

    def __init__(self, root: Path, options: Sequence[str] = (), samples: Callable[[], Path] | None = None) -> None:
        self.server = get_server("kdseg", client_type="vue3")
        self.gate = Gate()
        self.front = Front(self.server)
        parts = self.parts = SlicerApp()
        _quiet_vtk(root)
        self._cache = tempfile.TemporaryDirectory(prefix="kdseg-scene-")
        parts.scene.SetRootDirectory(self._cache.name)
        self.host = HeadlessSlicer(
            parts.scene, parts.app_logic, parts.volumes_logic, parts.segmentations_logic, self._cache, [parts]
        )
        self.workplace = Workplace(parts.scene, BackendLink(root, options), this_python)
        self.session = self.workplace.session
        self.views = Views(parts, self.front)
        self.tools = Tools(parts, self.front)
        self.annotate = AnnotateTab(self.front, self.workplace, self.views, self.tools)
        self.train = TrainTab(self.front, self.workplace, self.views)
        self.review = ReviewTab(self.front, self.workplace, self.views, self.tools)
        self.models = ModelsList(self.front, self.workplace)
        self.desk = Desk(self, samples)
        self.surfaces = Surfaces(self.session, self.front, self.views.fit_surfaces)
        self.workplace.said.connect(self.front.say)
        self.session.signals.warned.connect(self.front.say)
        self._downloads = Downloads(self.host, self.workplace, self.review, self._say_now)
        self._uploads = Uploads(self._uploaded, self._say_now)
        self.page = Page(self)
        self._ended = False

    def run(self, port: int = 0, ready: Callable[[str], object] = print) -> None:
        """Serve until it is ended; ``ready`` gets the address that opens once."""
        faulthandler.enable()  # a crash inside of VTK then names the line that led there, where errors are printed
        try:
            self.begin(port, ready, "main")
        finally:
            self.close()

    def begin(self, port: int, ready: Callable[[str], object], mode: Literal["main", "task"] = "task") -> Any:
        """As a task of the current event loop, for a host that turns it; :meth:`close` is the host's then."""
        server = self.server
        os.environ["WSLINK_WS_COMPRESS"] = "0"  # loopback is fast, deflating pictures is not, and it can hang a reload
        server.controller.on_server_bind.add(self._bind)
        server.controller.on_server_ready.add(lambda **_: self._listening(ready))
        return server.start(
            port=port,
            host="127.0.0.1",
            open_browser=False,
            show_connection_info=False,
            timeout=0,
            disable_logging=True,
            exec_mode=mode,
        )

    def close(self) -> None:
        if self._ended:
            return
        self._ended = True
        self.annotate.close()
        self.review.close()
        self._downloads.close()
        self.surfaces.close()
        self.workplace.close()
        self.workplace.link.close()
        self._cache.cleanup()

    def tick(self) -> None:
        self.workplace.tick()
        self.review.tick()
        self.surfaces.tick()
        self.views.tick()

    def _bind(self, wslink: Any) -> None:
        wslink.app.middlewares.append(self.gate.middleware())
        wslink.app.add_routes([*self._uploads.routes(), *self._downloads.routes()])

    async def _uploaded(self, files: list[Path]) -> None:
        with self.server.state:
            await self.desk.open(files)

    def _say_now(self, sentence: str) -> None:
        """From outside of a call of the page."""
        with self.server.state:
            self.front.say(sentence)

    def _listening(self, ready: Callable[[str], object]) -> None:
        self.gate.port = self.server.port
        asynchronous.create_task(self._clock())
        ready(self.gate.address)

    async def _clock(self) -> None:
        tick = self.front.guarded(self.tick)
        while not self._ended:
            with self.server.state:
                tick()
            await asyncio.sleep(TICK_SECONDS)


def _quiet_vtk(root: Path) -> None:
    """VTK's warnings go into a file beside the backend's own log: nobody reads them in a terminal."""
    root.mkdir(parents=True, exist_ok=True)
    window = vtkFileOutputWindow()
    window.SetFileName(str(root / "workspace.log"))
    window.SetFlush(True)
    vtkOutputWindow.SetInstance(window)
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)


def this_python() -> BackendPython:
    """A local backend runs in the Python that the workspace runs in."""
    return BackendPython(sys.executable, with_packages(os.environ), is_slicers=False)

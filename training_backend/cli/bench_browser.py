"""``kdseg bench browser``: what a hand on the mouse waits for in the page, in headless Chromium, while a job trains.

The volume has 256 x 256 x 120 voxels. Workspace and visitor share one process, so that both read one clock: a stroke is
timed from the button's release to the change in the scene, a frame from the wheel to the picture in the axial view, a
preview from the moment the backend told of it to the first picture there after it was written into the scene.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.protocol.messages import PreviewReady

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from slicer_kdseg.browser.workspace import Workspace

SHAPE = (120, 256, 256)
REPEATS = 12
PREVIEWS = 2
PATIENCE_SECONDS = 300.0
BARS = {"stroke_to_labels": 0.3, "first_interaction": 3.0, "wheel_to_frame": 0.25, "preview_to_frame": 0.5}
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WATCH_FRAMES = """() => {
    window.frames_seen = [];
    const axial = document.querySelector('[aria-label="Axial view"]');
    new MutationObserver(() => window.frames_seen.push(Date.now() / 1000)).observe(
        axial, {subtree: true, attributes: true, attributeFilter: ['src']});
}"""


def measure(say: Callable[[str], None]) -> dict[str, float]:
    """Median and longest seconds of each, and how many there were. Raises :class:`KDSegError`."""
    chromium = find_chromium()
    try:
        import playwright.sync_api  # noqa: F401

        from slicer_kdseg.browser.rendering import require_rendering
        from slicer_kdseg.browser.workspace import Workspace
    except ImportError as error:
        raise KDSegError(f"The bench 'browser' needs '{error.name}'; run 'python3 run.py setup'.") from None
    if chromium is None:
        raise KDSegError("The bench 'browser' needs Chromium; install it (Debian: apt install chromium).")
    require_rendering()
    with tempfile.TemporaryDirectory(prefix="kdseg-bench-") as root:
        space = Workspace(Path(root))
        open_phantom(space)
        visitor = Visitor(space, chromium, say)
        space.run(0, visitor.come)
        return visitor.found()


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def open_phantom(space: Workspace) -> None:
    """Two bright balls in a dim box."""
    from slicer_kdseg.scene.geometry import new_volume

    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    image = 40.0 * ((abs(y - 128) < 110) & (abs(x - 128) < 110))
    image = image + 80.0 * ((2 * (z - 60)) ** 2 + (y - 90) ** 2 + (x - 90) ** 2 < 50**2)
    image += 50.0 * ((2 * (z - 60)) ** 2 + (y - 170) ** 2 + (x - 170) ** 2 < 40**2)
    image += np.random.default_rng(0).normal(0, 4, SHAPE)
    volume = new_volume(space.parts.scene, "phantom", image.astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0]))
    space.workplace.choose(volume=volume.GetID())
    space.annotate.open()


class Visitor:
    """Somebody with a mouse, on a thread of their own; the scene is asked in its own thread."""

    def __init__(self, space: Workspace, chromium: str, say: Callable[[str], None]) -> None:
        self._space, self._chromium, self._say = space, chromium, say
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seconds: dict[str, list[float]] = {name: [] for name in BARS}
        self._drawn = 0.0
        self._shown: list[tuple[int, float]] = []
        self._error: BaseException | None = None
        space.tools.editor.segmentation_modified.connect(lambda *_: setattr(self, "_drawn", time.time()))
        space.session.signals.preview_arrived.connect(lambda shown: self._shown.append((shown.step, time.time())))

    def come(self, address: str) -> None:
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._visit, args=(address,), daemon=True).start()

    def found(self) -> dict[str, float]:
        if self._error is not None:
            raise KDSegError(f"The bench could not go on: {self._error}") from self._error
        told: dict[str, float] = {}
        for name, seconds in self._seconds.items():
            told[f"{name}_median"] = round(median(seconds), 3) if seconds else float("nan")
            told[f"{name}_most"] = round(max(seconds), 3) if seconds else float("nan")
            told[f"{name}_bar"] = BARS[name]
            told[f"{name}_count"] = len(seconds)
        return told

    def _visit(self, address: str) -> None:
        from playwright.sync_api import sync_playwright

        try:
            with sync_playwright() as player:
                browser = player.chromium.launch(executable_path=self._chromium, args=list(FLAGS))
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                self._measure(page, address)
                browser.close()
        except BaseException as error:
            self._error = error
        finally:
            self._ask(lambda: asyncio.ensure_future(self._space.server.stop()))

    def _measure(self, page: Page, address: str) -> None:
        self._say("The first picture after loading the page")
        begun = time.time()
        page.goto(address)
        page.get_by_text("Axial").first.wait_for()
        page.evaluate(WATCH_FRAMES)
        self._wheel(page, begun, "first_interaction")
        self._say("Strokes, wheel and previews while a job trains")
        self._stroke(page, 0.32, 0.36)
        self._ask(lambda: self._space.annotate.choose_class(0))
        self._stroke(page, 0.08, 0.5)
        self._seconds["stroke_to_labels"].clear()
        self._ask(lambda: self._space.workplace.choose(budget="10 min"))
        self._ask(self._space.train.train)
        self._until(lambda: self._space.session.state.step > 0)
        for number in range(REPEATS):
            self._stroke(page, 0.1 + 0.02 * number, 0.7)
            self._wheel(page, time.time(), "wheel_to_frame")
        self._until(lambda: sum(step > 0 for step, _ in self._shown) >= PREVIEWS)
        time.sleep(2)
        self._previews(page)

    def _stroke(self, page: Page, x: float, y: float) -> None:
        before, (left, top, width, height) = self._drawn, self._box(page)
        page.mouse.move(left + x * width, top + y * height)
        page.mouse.down()
        page.mouse.move(left + (x + 0.08) * width, top + (y + 0.03) * height, steps=6)
        page.mouse.up()
        released = time.time()
        self._wait(lambda: self._drawn > before)
        self._seconds["stroke_to_labels"].append(max(self._drawn - released, 0.0))

    def _wheel(self, page: Page, begun: float, name: str) -> None:
        left, top, width, height = self._box(page)
        page.mouse.move(left + 0.5 * width, top + 0.5 * height)
        time.sleep(0.0 if name == "first_interaction" else 1.2)  # frames of what was before are over
        turned = time.time()
        page.mouse.wheel(0, -120)
        self._wait(lambda: any(at >= turned for at in page.evaluate("window.frames_seen")))
        first = min(at for at in page.evaluate("window.frames_seen") if at >= turned)
        self._seconds[name].append(first - (begun if name == "first_interaction" else turned))

    def _previews(self, page: Page) -> None:
        client, job = self._space.session.backend(), self._space.session.state.job_id
        told = {e.payload.step: e.time for e in client.history(job) if isinstance(e.payload, PreviewReady)}
        frames = page.evaluate("window.frames_seen")
        for step, written in self._shown:
            after = [at for at in frames if at >= written]
            if step in told and after and step > 0:
                self._seconds["preview_to_frame"].append(min(after) - told[step])

    def _box(self, page: Page) -> tuple[float, float, float, float]:
        box = page.locator(".kdseg-view-Red").bounding_box()
        assert box is not None
        return box["x"], box["y"], box["width"], box["height"]

    def _ask(self, question: Callable[[], Any]) -> Any:
        assert self._loop is not None

        async def answer() -> Any:
            with self._space.server.state:
                return question()

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(PATIENCE_SECONDS)

    def _until(self, question: Callable[[], bool]) -> None:
        self._wait(lambda: bool(self._ask(question)), 0.1)

    def _wait(self, condition: Callable[[], bool], pause: float = 0.005) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > end:
                state = self._ask(lambda: self._space.session.state)
                raise KDSegError(f"Nothing came within {PATIENCE_SECONDS:.0f} s: {state.failure or state.sentence}")
            time.sleep(pause)

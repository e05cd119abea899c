"""A real workspace process, a real backend, and Debian's Chromium with a real mouse."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from training_backend.cli.bench_browser import FLAGS, find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, FloatRect, Page

ROOT = Path(__file__).parents[2]
SERVED = Path(__file__).with_name("served.py")
COUNTING_FOLDER = next(ROOT.glob("Testing/**/counting_training.py")).parent
COUNTING = ("--training", "counting_training:run", "--no-probe")
SHOTS = ROOT / "demo_output" / "browser"
START_SECONDS = 120.0
PATIENCE_SECONDS = 60.0
STEPS, STEP_MILLISECONDS = 8, 20  # a hand; the page reports 100 moves a second and no more


class Served:
    """A workspace process; :meth:`ask` evaluates an expression over its scene."""

    def __init__(self, root: Path, options: tuple[str, ...] = ()) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(COUNTING_FOLDER), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self.log = root.parent / f"{root.name}.log"
        root.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVED), str(root), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
                cwd=ROOT,
            )
        self.address = str(self._told()["address"])

    @property
    def origin(self) -> str:
        return self.address.partition("/?")[0]

    def ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(question.replace("\n", " ") + "\n")
        self._process.stdin.flush()
        told = self._told()
        assert "error" not in told, told["error"]
        return told["answer"]

    def until(self, question: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Ask until the answer is true; what the scene says, never what the pixels do."""
        end = time.monotonic() + seconds
        while not (found := self.ask(question)):
            assert time.monotonic() < end, f"Not within {seconds:.0f} s: {question}\n{self.words}"
            time.sleep(0.05)
        return found

    @property
    def words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _told(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"The workspace has ended:\n{self.words}"
        found: dict[str, Any] = json.loads(line)
        return found


class User:
    """Somebody in front of a page: what is clicked has a name, what is drawn is drawn with the mouse."""

    def __init__(self, page: Page, served: Served, shots: Path) -> None:
        self.page, self.served, self._shots = page, served, shots
        self.faults: list[str] = []
        self._taken = 0
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def click(self, name: str, role: str = "button", dialog: Path | None = None) -> None:
        """``dialog``: the file that is chosen in the dialog which this opens."""
        target = self.page.get_by_role(role, name=name, exact=True).first
        if dialog is None:
            target.click()
            return
        with self.page.expect_file_chooser() as chooser:
            target.click()
        chooser.value.set_files(str(dialog))

    def tab(self, name: str) -> None:
        self.click(name, "tab")

    def sees(self, text: str | re.Pattern[str], seconds: float = 30.0) -> None:
        self.page.get_by_text(text).first.wait_for(state="visible", timeout=1000 * seconds)

    def open_sample(self) -> None:
        self.click("Open the sample chest CT")
        self.served.until(
            "session.annotation is not None and min(v.render_window().GetSize()[0] for v in space.views.slices) > 50"
        )

    def choose(self, label: str, *items: str) -> None:
        """In the list called ``label``."""
        self.page.locator("label").filter(has_text=label).first.locator(
            "xpath=ancestor::*[contains(@class,'v-select')]"
        ).last.click()
        for item in items:
            self.page.get_by_role("option", name=item, exact=True).click()
        self.page.keyboard.press("Escape")
        self.page.get_by_role("listbox").first.wait_for(state="hidden")
        self.page.evaluate("document.activeElement.blur()")  # as a click beside it does

    def choose_class(self, name: str) -> None:
        self.page.locator(f'[data-class="{name}"] .kdseg-coverage').click()
        self.served.until(f"space.tools.shown.name == {name!r}")

    def choose_class_by_key(self, id_: int) -> None:
        """The key goes to the page, not into a text."""
        self.page.locator(".kdseg-brand").click()
        self.page.keyboard.press(str(id_))
        self.served.until(f"space.tools.shown.segment == session.annotation.segment_id_of({id_})")

    def rename(self, before: str, after: str) -> None:
        field = self.page.locator(f'[data-class="{before}"] .kdseg-name')
        field.fill(after)
        field.press("Enter")
        self.served.until(f"any(label.name == {after!r} for label in session.annotation.contract.classes)")
        self.page.locator(f'[data-class="{after}"]').wait_for()

    def open_files(self, *files: Path) -> None:
        """Through the menu and the system's own dialog."""
        self.click("Open")
        with self.page.expect_file_chooser() as chooser:
            self.page.locator(".v-overlay--active").get_by_text("Files of this computer").click()
        chooser.value.set_files([str(file) for file in files])

    def download(self, name: str, folder: Path) -> Path:
        self.click("Download")
        with self.page.expect_download(timeout=30_000) as arriving:
            self.page.get_by_text(name, exact=True).click()
        target = folder / arriving.value.suggested_filename
        arriving.value.save_as(target)
        return target

    def drag(self, *points: tuple[float, float], view: str = "Red") -> None:
        """Through ``points``, as fractions of a view from its upper left corner, with the left button."""
        box = self.point(*points[0], view=view)
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        mouse = self.page.mouse
        mouse.move(places[0][0] + 1, places[0][1])
        mouse.down()
        for (left, top), (x, y) in itertools.pairwise(places):
            for step in range(1, STEPS + 1):
                mouse.move(left + (x - left) * step / STEPS, top + (y - top) * step / STEPS)
                self.page.wait_for_timeout(STEP_MILLISECONDS)
        mouse.up()

    def point(self, x: float, y: float, view: str = "Red") -> FloatRect:
        """The mouse to a fraction of a view, once nothing lies over it (a dialog takes a moment to fade); its box."""
        shown = self.page.locator(f".kdseg-view-{view}").locator("xpath=..")
        box = shown.bounding_box()
        assert box is not None
        shown.hover(position={"x": x * box["width"], "y": y * box["height"]})
        return box

    def stroke(self, id_: int, *points: tuple[float, float], view: str = "Red") -> None:
        """:meth:`drag`, and wait until the class has grown."""
        count = f"int(session.annotation.read().counts.get({id_}, 0))"
        before = self.served.ask(count)
        self.drag(*points, view=view)
        self.served.until(f"{count} > {before}")

    def pixel(self, x: float, y: float, view: str = "Red") -> tuple[int, ...]:
        """Red, green and blue (0..255) at a fraction of a view from its upper left corner."""
        box = self.page.locator(f".kdseg-view-{view}").bounding_box()
        assert box is not None
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        return tuple(picture.getpixel((round(box["x"] + x * box["width"]), round(box["y"] + y * box["height"]))))

    def shot(self, name: str) -> None:
        self._taken += 1
        self._shots.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._shots / f"{self._taken:02d}-{name}.png")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip("There is no Chromium here; Debian: apt install chromium")
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as player:
        try:
            browser = player.chromium.launch(executable_path=path, args=list(FLAGS))
        except Error as error:
            pytest.skip(f"Chromium cannot be started here: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def _pictures() -> None:
    from slicer_kdseg.browser.rendering import NoPictures, require_rendering

    try:
        require_rendering()
    except NoPictures as error:
        pytest.skip(error.sentence)


@pytest.fixture
def serve(tmp_path: Path, _pictures: None) -> Iterator[Callable[..., Served]]:
    """``serve(*options)``: a workspace process on a folder of its own; ``serve(root=…)`` on a given one."""
    running: list[Served] = []

    def start(*options: str, root: Path | None = None) -> Served:
        running.append(Served(root or tmp_path / f"kdseg{len(running)}", options))
        return running[-1]

    yield start
    for served in running:
        served.close()


@pytest.fixture
def visit(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., User]]:
    """``visit(served)``: another person's browser, with cookies of its own, at the printed address."""
    contexts: list[BrowserContext] = []
    users: list[User] = []
    shots = SHOTS / request.node.name.removeprefix("test_")
    shutil.rmtree(shots, ignore_errors=True)

    def come(served: Served, width: int = 1280, height: int = 800) -> User:
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}, accept_downloads=True))
        page = contexts[-1].new_page()
        users.append(User(page, served, shots))
        page.goto(served.address)
        return users[-1]

    yield come
    for context in contexts:
        context.close()
    for user in users:
        assert not user.faults, user.faults[0]

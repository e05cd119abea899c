"""What goes wrong is said in the page, and nothing that was drawn is lost."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from Testing.browser.conftest import COUNTING, Served, User

DRAWN = "session.annotation.read().counts"


def train(user: User) -> None:
    """Two strokes and Train; a training that only counts runs for two minutes."""
    user.open_sample()
    user.stroke(1, (0.35, 0.45), (0.42, 0.50))
    user.choose_class("background")
    user.stroke(0, (0.45, 0.80), (0.56, 0.80))
    user.tab("Train")
    user.click("Train")


def begin_training(user: User) -> None:
    train(user)
    user.served.until("session.state.preview_source == 'student'")


@pytest.mark.slow
def test_a_reload_and_a_second_tab_find_everything_again(
    serve: Callable[..., Served], visit: Callable[..., User]
) -> None:
    served = serve(*COUNTING)
    user = visit(served)
    begin_training(user)
    drawn, job = served.ask(DRAWN), served.ask("session.state.job_id")
    user.page.reload()
    user.sees("Send corrections")
    user.sees(re.compile("CTChest4"))
    assert user.page.get_by_role("button", name="Stop", exact=True).first.is_enabled()
    backend = user.page.get_by_role("status", name="Backend")
    assert backend.inner_text() == "training"
    user.shot("reloaded")
    step = served.ask("session.state.preview_step")
    served.until(f"session.state.preview_step > {step}")
    assert served.ask(DRAWN) == drawn
    user.stroke(0, (0.20, 0.12), (0.30, 0.12))

    second = user.page.context.new_page()
    second.goto(f"{served.origin}/index.html")
    second.get_by_text("Send corrections").first.wait_for()
    second.get_by_role("button", name="Stop", exact=True).first.click()
    served.until("session.state.phase == 'annotating'")
    assert served.ask("session.state.job_id") == job
    user.sees("Stopped; the best model so far was kept.")
    assert backend.inner_text() == "backend ready"
    user.shot("stopped-from-another-tab")


@pytest.mark.slow
def test_a_backend_that_is_killed_is_said_and_goes_on(serve: Callable[..., Served], visit: Callable[..., User]) -> None:
    served = serve(*COUNTING)
    user = visit(served)
    begin_training(user)
    drawn, job = served.ask(DRAWN), served.ask("session.state.job_id")
    served.ask("__import__('os').kill(space.workplace.link._local.pid, 9)")
    user.sees(re.compile("has ended unexpectedly"))
    user.shot("killed")
    user.stroke(0, (0.20, 0.12), (0.30, 0.12))
    assert served.ask(DRAWN)["1"] == drawn["1"]
    user.click("Start the backend again")
    served.until("space.workplace.link.state.stage == 'connected'")
    step = served.ask("session.state.preview_step")
    served.until(f"session.state.preview_step > {step}")
    assert served.ask("session.state.job_id") == job
    assert served.ask("session.state.phase") == "training"
    user.shot("again")


@pytest.mark.slow
def test_a_wrong_file_is_said_and_the_open_image_stays(
    serve: Callable[..., Served], visit: Callable[..., User], tmp_path: Path
) -> None:
    served = serve()
    user = visit(served)
    wrong = tmp_path / "holiday.nii.gz"
    wrong.write_bytes(b"no image at all")
    user.click("Open files of this computer", dialog=wrong)
    user.sees(re.compile("'holiday.nii.gz' cannot be read as an image"))
    user.shot("wrong-file")
    user.open_sample()
    user.stroke(1, (0.35, 0.45), (0.42, 0.50))
    drawn = served.ask(DRAWN)
    user.open_files(wrong)
    user.sees(re.compile("'holiday.nii.gz' cannot be read as an image"))
    assert served.ask(DRAWN) == drawn
    user.tab("Train")
    user.click("Train")
    served.until("space.server.state.message or session.state.phase != 'annotating'")
    user.shot("train-with-little")


@pytest.mark.slow
def test_a_scene_asks_before_it_takes_the_place_of_strokes(
    serve: Callable[..., Served], visit: Callable[..., User], tmp_path: Path
) -> None:
    served = serve()
    user = visit(served)
    user.open_sample()
    user.stroke(1, (0.35, 0.45), (0.42, 0.50))
    scene = user.download("Whole scene (.mrb)", tmp_path)
    user.stroke(1, (0.66, 0.40), (0.70, 0.46))
    drawn = served.ask(DRAWN)

    user.open_files(scene)
    user.sees(re.compile("takes the place of everything that is open here"))
    user.shot("asked")
    user.page.reload()  # the question is still there
    user.click("Keep what is open")
    user.sees(re.compile("was not opened; what you drew is still here"))
    assert served.ask(DRAWN) == drawn

    without = tmp_path / "without.mrb"
    with zipfile.ZipFile(scene) as whole, zipfile.ZipFile(without, "w") as archive:
        for member in whole.infolist():
            if not member.filename.endswith("CTChest4.nrrd"):
                archive.writestr(member, whole.read(member))
    user.open_files(without)
    user.click("Replace what is open")
    user.sees(re.compile("cannot be opened as a scene.*What was open is open again"))
    assert served.ask(DRAWN) == drawn
    user.stroke(1, (0.45, 0.40), (0.50, 0.44))
    user.shot("open-again")

    user.open_files(scene)
    user.click("Replace what is open")
    served.until(f"session.annotation is not None and 0 < {DRAWN}.get('1', {DRAWN}.get(1, 0)) < {drawn['1']}")


@pytest.mark.slow
def test_sending_can_be_cancelled(serve: Callable[..., Served], visit: Callable[..., User], tmp_path: Path) -> None:
    served = serve()
    user = visit(served)
    long = tmp_path / "long.nrrd"
    long.write_bytes(os.urandom(20_000_000))
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 1_000_000}
    network = user.page.context.new_cdp_session(user.page)
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", slow)
    user.click("Open files of this computer", dialog=long)
    user.sees("Sending long.nrrd")
    user.shot("sending")
    user.click("Cancel")
    user.sees("Sending was cancelled; nothing was opened.")
    user.page.get_by_text("Sending long.nrrd").wait_for(state="hidden")
    network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    user.open_sample()


@pytest.mark.slow
def test_a_workspace_that_has_crashed_is_said_and_names_the_line(
    serve: Callable[..., Served], visit: Callable[..., User]
) -> None:
    served = serve()
    user = visit(served)
    user.sees("Open an image to begin")
    with pytest.raises(AssertionError, match="The workspace has ended"):
        served.ask("__import__('signal').raise_signal(11)")
    assert re.search(r"Segmentation fault.*served\.py", served.log.read_text(), re.DOTALL)
    user.sees(re.compile("The workspace has ended, or does not answer any more"))
    user.shot("ended")
    # What a view still asks, when it is given another size at that moment, is no fault of the page.
    user.page.evaluate("() => { window.trame.client.getConnection().getSession().call('trame.rca.size', []) }")
    user.page.wait_for_timeout(300)


@pytest.mark.slow
def test_a_training_whose_scene_is_gone_makes_way(serve: Callable[..., Served], visit: Callable[..., User]) -> None:
    served = serve(*COUNTING)
    user = visit(served)
    begin_training(user)
    served.ask("scene.Clear(False)")
    user.tab("Annotate")
    train(user)
    user.sees(re.compile("Waits for another training"))
    user.shot("waits")
    user.click("Stop the other training")
    served.until("session.state.preview_source == 'student'")


@pytest.mark.slow
def test_without_a_driver_the_page_says_what_to_install(tmp_path: Path) -> None:
    """The workspace itself would segfault: VTK does, without a driver."""
    none = {"__EGL_VENDOR_LIBRARY_DIRS": str(tmp_path), "LIBGL_DRIVERS_PATH": str(tmp_path), "DISPLAY": ""}
    with subprocess.Popen(
        [sys.executable, "-m", "training_backend.cli.main", "web", "--no-browser", "--root", str(tmp_path / "root")],
        stdout=subprocess.PIPE,
        env={**os.environ, **none},
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().split()[-1]
            with pytest.raises(urllib.error.HTTPError) as answered:
                urllib.request.urlopen(address, timeout=30)
            with answered.value as answer:
                assert answer.code == 503
                assert "Install libegl1 and libgl1-mesa-dri" in answer.read().decode()
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 2

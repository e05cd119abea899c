"""Install, start, test and consent: what is said when it does not work is the point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import Testing.desktop.needs_qt  # noqa: F401  first
from slicer_kdseg.protocol.address import is_loopback
from slicer_kdseg.protocol.errors import BackendUnreachable
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.protocol.messages import BackendInfo, DeviceInfo
from slicer_kdseg.scene.backend_python import NEEDED
from Testing.desktop.standin.application import Desktop, Module

Wait = Callable[..., None]


@pytest.fixture
def a_panel(the_module: Module, a_volume: Any) -> Any:
    return the_module.open().panel


def test_a_connection_elsewhere_trains_there(a_panel: Any, wait: Wait, tmp_path: Path) -> None:
    with LocalBackend(tmp_path / "other", options=("--no-probe",)) as backend:
        ui = a_panel.backend.ui
        ui.remoteButton.click()
        ui.addressEdit.text, ui.tokenEdit.text = backend.url, backend.token
        ui.connectButton.click()
        wait(lambda: a_panel.workplace.link.state.stage == "connected")
        assert a_panel.workplace.link.state.address == backend.url
        assert not a_panel.workplace.link.state.runs_locally


def test_nothing_is_sent_to_a_strange_host_without_consent(
    a_panel: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    asked: list[str] = []
    answers = [False, True]

    def ask(text: str, windowTitle: str | None = None) -> bool:  # noqa: N803  Slicer's name
        asked.append(text)
        return answers[len(asked) - 1]

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", ask)
    ui, link = a_panel.backend.ui, a_panel.workplace.link
    connected: list[tuple[str, str]] = []
    monkeypatch.setattr(link, "connect_remote", lambda url, token: connected.append((url, token)))
    ui.remoteButton.click()
    ui.addressEdit.text = "gpu.example.org:8765"
    ui.connectButton.click()
    assert "'gpu.example.org'" in asked[0]
    assert not connected
    assert "Nothing was sent" in a_panel.ui.messageLabel.text
    ui.connectButton.click()
    ui.connectButton.click()
    assert len(asked) == 2, "once agreed, never asked again"
    assert len(connected) == 2


def test_train_without_what_is_needed_offers_to_install(
    a_panel: Any, wait: Wait, draw: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from slicer_kdseg.scene import backend_python

    monkeypatch.setitem(backend_python.NEEDED, "kdseg_no_such_package", "kdseg-no-such-package>=1")
    draw(a_panel.workplace.session.annotation, 1, 3, 13, slice(10, 18))
    a_panel.train.ui.trainButton.click()
    wait(lambda: not a_panel.workplace.link.state.busy, 60)
    assert "needs 1 more or newer packages: kdseg-no-such-package" in a_panel.ui.messageLabel.text
    assert a_panel.backend.ui.installButton.enabled
    assert not a_panel.train.ui.backendArea.collapsed
    assert a_panel.train.ui.trainButton.enabled
    assert not a_panel.workplace.waits_for_backend


def fake_python(tmp_path: Path, script: str, pip: str = "23.2") -> Any:
    """An interpreter that lacks one package and whose pip does as ``script`` says."""
    from slicer_kdseg.scene.backend_python import BackendPython

    file = tmp_path / "python"
    found = json.dumps([(3, 12), {name: "" for name in NEEDED if name != "monai"}])
    look = f'if [ "$1" = "-c" ]; then echo \'{found}\'; exit 0; fi'
    version = f'if [ "$3" = "--version" ]; then echo "pip {pip} from here"; exit 0; fi'
    file.write_text(f"#!/bin/sh\n{look}\n{version}\n{script}\n")
    file.chmod(0o755)
    return BackendPython(str(file), {"PATH": "/usr/bin:/bin"}, is_slicers=False)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for pip")
def test_an_installation_that_fails_or_is_cancelled_says_so(a_link: Any, wait: Wait, tmp_path: Path) -> None:
    from slicer_kdseg.scene.backend_install import Installation

    told: list[str] = []
    with pytest.raises(BackendUnreachable, match="No space left"):
        Installation(fake_python(tmp_path, "echo No space left; exit 1"), ["monai>=1.6"]).run(told.append)
    assert told == ["No space left"]
    a_link.install(fake_python(tmp_path, "echo Collecting monai; sleep 60"))

    def drained() -> bool:
        a_link.drain()
        return "Collecting" in a_link.state.sentence

    wait(drained)
    a_link.cancel_installation()

    def over() -> bool:
        a_link.drain()
        return a_link.state.stage == "none"

    wait(over)
    assert "was cancelled" in a_link.state.sentence


def test_on_windows_pip_is_ended_with_all_that_it_has_started_and_no_console_flashes(
    a_desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slicer_kdseg.scene import backend_install, backend_python

    ran: list[tuple[list[str], int]] = []

    def run(command: list[str], **others: Any) -> Any:
        ran.append((command, others["creationflags"]))
        return types.SimpleNamespace(stdout=json.dumps([(3, 12), dict.fromkeys(NEEDED, "")]))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(backend_install.sys, "platform", "win32")
    for module in (backend_install, backend_python):
        monkeypatch.setattr(module, "NO_WINDOW", 0x08000000)
    python = backend_python.BackendPython("python.exe", {}, is_slicers=False)
    backend_python.look(python)
    installation = backend_install.Installation(python, ["monai>=1.6"])
    installation._process = types.SimpleNamespace(pid=4711, poll=lambda: None)
    installation.cancel()
    assert ran[0][0][0] == "python.exe"
    assert ran[1][0] == ["taskkill", "/F", "/T", "/PID", "4711"]
    assert {flags for _, flags in ran} == {0x08000000}


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for pip")
@pytest.mark.parametrize(("pip", "bar"), [("23.2.1", "off"), ("25.0", "raw")])
def test_a_long_download_says_how_far_it_is(a_desktop: Desktop, tmp_path: Path, pip: str, bar: str) -> None:
    from slicer_kdseg.scene.backend_install import Installation

    told: list[str] = []
    says = 'echo "the bar is $PIP_PROGRESS_BAR"; echo "Downloading torch-2.9 (900 MB)"; echo "Progress 450 of 900"'
    Installation(fake_python(tmp_path, says, pip), ["torch>=2.8"]).run(told.append)
    assert told == [f"the bar is {bar}", "Downloading torch-2.9 (900 MB)", "Downloading torch-2.9 (900 MB): 50 %"]


def test_torch_comes_first_and_by_the_extension_where_it_is_there(a_desktop: Desktop) -> None:
    from slicer_kdseg.scene.backend_install import Installation
    from slicer_kdseg.scene.backend_python import BackendPython

    python = BackendPython("python", {}, is_slicers=True)
    chosen = Installation(python, ["torch>=2.8", "monai>=1.6"], chosen_torch=True).commands
    assert chosen[1][1:] == ["-m", "light_the_torch", "install", "torch>=2.8"]
    assert chosen[2][-1] == "monai>=1.6"
    assert [command[-1] for command in Installation(python, ["monai>=1.6", "torch>=2.8"]).commands] == [
        "torch>=2.8",
        "monai>=1.6",
    ]
    assert not Installation(python, []).commands


def test_the_python_that_was_entered_is_the_one_that_is_checked(a_panel: Any, wait: Wait, tmp_path: Path) -> None:
    from slicer_kdseg.scene.backend_python import chosen_python

    python = fake_python(tmp_path, "exit 1")
    a_panel.backend.ui.pythonEdit.currentPath = python.executable
    a_panel.backend.ui.lookButton.click()
    wait(lambda: not a_panel.workplace.link.state.busy)
    assert "needs 1 more or newer packages: monai" in a_panel.backend.ui.linkLabel.text
    assert "PYTHONHOME" not in chosen_python(python.executable, {"PYTHONHOME": "/slicer"}).environment


def test_a_python_that_is_none_or_too_old_is_refused(a_desktop: Desktop, tmp_path: Path) -> None:
    from slicer_kdseg.scene.backend_python import BackendPython, chosen_python, look

    with pytest.raises(BackendUnreachable, match="There is no Python at"):
        chosen_python(str(tmp_path / "nothing"), {})
    if sys.platform != "win32":
        file = tmp_path / "old"
        file.write_text("#!/bin/sh\necho '[[3, 9], {}]'\n")
        file.chmod(0o755)
        with pytest.raises(BackendUnreachable, match=r"needs 3\.11 or newer"):
            look(BackendPython(str(file), {}, is_slicers=False))


@pytest.mark.parametrize(("there", "enough"), [("1.3.2", False), ("1.6.0rc2", True), ("1.10+local", True), ("", True)])
def test_a_package_that_is_too_old_is_missing_too(a_desktop: Desktop, tmp_path: Path, there: str, enough: bool) -> None:
    from slicer_kdseg.scene.backend_python import BackendPython, look, with_packages

    (tmp_path / "monai").mkdir()
    (tmp_path / "monai" / "__init__.py").touch()
    (tmp_path / "monai.dist-info").mkdir()
    (tmp_path / "monai.dist-info" / "METADATA").write_text(f"Name: monai\nVersion: {there}\n" if there else "")
    environment = with_packages(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    missing = look(BackendPython(sys.executable, environment, is_slicers=False))
    assert missing.requirements == (() if enough else ("monai>=1.6",))


def test_a_graphics_card_that_cannot_be_used_is_explained(a_desktop: Desktop) -> None:
    from slicer_kdseg.scene.backend_remote import device_sentence

    def info(*devices: DeviceInfo) -> BackendInfo:
        return BackendInfo("kdseg", 1, "0.1.0", ("scribble",), devices, ())

    cpu, bad = DeviceInfo("cpu", True), DeviceInfo("cuda:0 T400", False, "its driver is too old for this torch")
    assert "cannot be used (its driver is too old" in device_sentence(info(cpu, bad))
    assert device_sentence(info(cpu, DeviceInfo("cuda:0 H200", True))) == "It trains on cuda:0 H200."


def test_everything_stored_can_be_deleted(a_panel: Any, wait: Wait) -> None:
    ui, link = a_panel.backend.ui, a_panel.workplace.link
    ui.startButton.click()
    wait(lambda: link.state.stage == "connected", 60)
    assert (link.root / "kdseg.sqlite").is_file()
    assert not ui.cleanUpButton.enabled
    a_panel.workplace.session.become(current_model=3)
    ui.sureBox.click()
    ui.cleanUpButton.click()
    wait(lambda: "was deleted" in ui.linkLabel.text)
    assert not link.root.exists()
    assert a_panel.workplace.session.state.current_model is None


def test_what_is_stored_does_not_roam_on_windows(
    a_desktop: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slicer_kdseg.desktop import backend_panel

    monkeypatch.delenv("KDSEG_ROOT")
    monkeypatch.setenv("LOCALAPPDATA", "C:/Users/anna/AppData/Local")
    assert backend_panel.default_root() == tmp_path / "KDSeg"
    monkeypatch.setattr(backend_panel.sys, "platform", "win32")
    root = backend_panel.default_root()
    assert root == Path("C:/Users/anna/AppData/Local") / tmp_path.name / "KDSeg"
    monkeypatch.setenv("KDSEG_ROOT", "D:/kdseg")
    assert backend_panel.default_root() == Path("D:/kdseg")


def test_a_reloaded_module_still_lets_trainings_finish(a_panel: Any, the_module: Module) -> None:
    a_panel.backend.ui.finishBox.click()
    again = the_module.reload().panel
    assert again.backend.ui.finishBox.checked
    assert again.workplace.link.let_trainings_finish


def test_an_installation_never_happens_unasked(a_panel: Any, wait: Wait) -> None:
    assert a_panel.workplace.link.state.stage == "none"
    assert a_panel.workplace.link.state.missing is None
    assert is_loopback("127.0.0.1")


def test_a_backend_that_comes_up_after_slicer_has_ended_is_ended_too(a_panel: Any, wait: Wait) -> None:
    link = a_panel.workplace.link
    a_panel.backend.ui.startButton.click()
    wait(lambda: (link.root / "server.log").is_file())
    link.close()
    wait(lambda: link._started and not link._started[0].alive)

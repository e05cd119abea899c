"""Backend killed, scene closed, module reloaded or left, Slicer ended, in the middle of a training: nothing drawn is
lost, and the panel says what happened and how to go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import Testing.desktop.needs_qt  # noqa: F401  first
from slicer_kdseg.headless.files import open_scene, save_scene
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.local import LocalBackend, left_running
from Testing.desktop.standin.application import Desktop, Module
from Testing.desktop.standin.pythonqt import unwrap

Wait = Callable[..., None]


@pytest.fixture
def a_training_panel(the_module: Module, a_volume: Any, draw: Callable[..., None], wait: Wait) -> Iterator[Any]:
    panel = the_module.open().panel
    annotation = panel.workplace.session.annotation
    for d in (3, 6):
        draw(annotation, 0, d, 3, slice(4, 44))
        draw(annotation, 1, d, 13, slice(10, 18))
    panel.ui.tabs.currentIndex = 1
    panel.train.ui.trainButton.click()
    session = panel.workplace.session
    wait(lambda: session.state.phase == "training" and session.state.preview_source == "student", 60)
    return panel


def strokes(panel: Any) -> np.ndarray:
    return panel.workplace.session.annotation.read().labels


def test_a_killed_backend_is_said_and_start_goes_on(a_training_panel: Any, wait: Wait) -> None:
    panel, before = a_training_panel, strokes(a_training_panel)
    session, link = panel.workplace.session, panel.workplace.link
    job, step = session.state.job_id, session.state.step
    os.kill(link._local.pid, signal.SIGKILL)
    wait(lambda: "ended unexpectedly" in panel.backend.ui.linkLabel.text)
    assert not panel.train.ui.backendArea.collapsed, "the button to press is in there"
    assert "Press Start backend" in panel.backend.ui.linkLabel.text
    wait(lambda: bool(panel.train.ui.failureLabel.text))
    assert "goes on from its last checkpoint" in panel.train.ui.stateLabel.text
    assert np.array_equal(strokes(panel), before)
    panel.backend.ui.startButton.click()
    wait(lambda: session.state.phase == "training" and session.state.step > step and not session.state.trouble, 60)
    assert session.state.job_id == job
    assert not panel.train.ui.failureLabel.text


def test_a_server_that_is_pulled_and_comes_back_elsewhere(
    the_module: Module, a_volume: Any, draw: Callable[..., None], wait: Wait, tmp_path: Path
) -> None:
    options = ("--training", "counting_training:run", "--no-probe")
    panel = the_module.open().panel
    session, ui = panel.workplace.session, panel.backend.ui
    for d in (3, 6):
        draw(session.annotation, 0, d, 3, slice(4, 44))
        draw(session.annotation, 1, d, 13, slice(10, 18))
    before = strokes(panel)
    ui.remoteButton.click()

    def connect(backend: LocalBackend) -> None:
        ui.addressEdit.text, ui.tokenEdit.text = backend.url, backend.token
        ui.connectButton.click()
        wait(lambda: panel.workplace.link.state.address == backend.url, 60)

    with LocalBackend(tmp_path / "elsewhere", options=options) as backend:
        connect(backend)
        panel.train.ui.trainButton.click()
        wait(lambda: session.state.phase == "training" and session.state.preview_source == "student", 60)
        job, step = session.state.job_id, session.state.step
        panel.train.ui.backendArea.collapsed = True
    wait(lambda: bool(panel.train.ui.failureLabel.text))
    assert not panel.train.ui.backendArea.collapsed, "the address to correct is in there"
    assert np.array_equal(strokes(panel), before)
    with LocalBackend(tmp_path / "elsewhere", options=options) as backend:
        connect(backend)
        wait(lambda: session.state.phase == "training" and session.state.step > step and not session.state.trouble, 60)
        assert session.state.job_id == job
        panel.train.ui.cancelButton.click()
        wait(lambda: session.state.can_train)


def test_a_closed_scene_says_that_the_training_goes_on(
    a_training_panel: Any, a_desktop: Desktop, wait: Wait, tmp_path: Path
) -> None:
    from slicer_kdseg.desktop.train_panel import CHART_EVERY_TICKS

    panel, before = a_training_panel, strokes(a_training_panel)
    job = panel.workplace.session.state.job_id
    save_scene(a_desktop.host, tmp_path / "scene.mrb")
    a_desktop.scene.Clear(False)
    wait(lambda: f"'{job}' goes on in the backend" in panel.train.ui.stateLabel.text)
    assert unwrap(panel.annotate.ui.editor).segmentationNode() is None
    assert not panel.train.ui.trainButton.enabled
    for _ in range(CHART_EVERY_TICKS + 1):
        panel.workplace.tick()
    assert a_desktop.scene.GetFirstNodeByClass("vtkMRMLPlotChartNode") is None, "the curves belong to the other scene"
    panel.train.ui.trainButton.enabled = True
    panel.train.ui.trainButton.click()
    assert "no volume to work on" in panel.ui.messageLabel.text
    open_scene(a_desktop.host, tmp_path / "scene.mrb")
    panel.ui.tabs.currentIndex = 0
    session = panel.workplace.session
    wait(lambda: session.state.phase == "training" and session.state.job_id == job, 30)
    assert np.array_equal(strokes(panel), before)


def test_a_reloaded_module_finds_job_strokes_and_brush_again(
    a_training_panel: Any, the_module: Module, wait: Wait
) -> None:
    before, old = strokes(a_training_panel), a_training_panel
    job, step = old.workplace.session.state.job_id, old.workplace.session.state.step
    node = unwrap(old.annotate.ui.editor).mrmlSegmentEditorNode()
    node.SetAttribute("BrushRelativeDiameter", "7")
    panel = the_module.reload().panel
    assert panel is not old
    session = panel.workplace.session
    wait(lambda: session.state.phase == "training" and session.state.step > step, 30)
    assert session.state.job_id == job
    assert np.array_equal(strokes(panel), before)
    editor = unwrap(panel.annotate.ui.editor)
    assert editor.mrmlSegmentEditorNode() is node
    assert node.GetAttribute("BrushRelativeDiameter") == "7"


def test_another_module_gets_the_mouse_and_previews_still_arrive(
    a_training_panel: Any, the_module: Module, wait: Wait
) -> None:
    panel = a_training_panel
    panel.ui.tabs.currentIndex = 0
    editor = unwrap(panel.annotate.ui.editor)
    editor.setActiveEffectByName("Erase")
    the_module.leave()
    assert editor.activeEffect() is None
    assert (editor.shortcuts, editor.observing) == (False, False)
    step = panel.workplace.session.state.preview_step
    wait(lambda: panel.workplace.session.state.preview_step > step)
    the_module.open()
    assert editor.activeEffect().property("name") == "Erase"
    assert editor.shortcuts


def test_slicer_ends_and_takes_its_backend_along(a_training_panel: Any, a_desktop: Desktop, wait: Wait) -> None:
    local = a_training_panel.workplace.link._local
    a_desktop.quit()
    assert not local.alive


def test_slicer_ends_and_the_training_may_finish(
    a_training_panel: Any, a_desktop: Desktop, the_module: Module, wait: Wait
) -> None:
    link = a_training_panel.workplace.link
    job = a_training_panel.workplace.session.state.job_id
    a_training_panel.backend.ui.finishBox.click()
    local = link._local
    a_desktop.quit()
    assert local.alive
    left = left_running(link.root)
    assert left is not None
    with BackendClient(left.url, left.token) as client:
        assert client.job(job).state == "training"
        client.cancel(job)
    wait(lambda: not local.alive, 30)


def test_a_volume_that_is_removed_is_said(a_training_panel: Any, a_desktop: Desktop, a_volume: Any, wait: Wait) -> None:
    a_desktop.scene.RemoveNode(a_volume)
    wait(lambda: "was removed" in a_training_panel.train.ui.stateLabel.text)


def test_the_server_is_stopped_by_its_button_and_started_again(a_training_panel: Any, wait: Wait) -> None:
    panel, session = a_training_panel, a_training_panel.workplace.session
    step = session.state.step
    panel.backend.ui.stopButton.click()
    assert "trainings go on when it starts again" in panel.backend.ui.linkLabel.text
    panel.backend.ui.startButton.click()
    wait(lambda: session.state.phase == "training" and session.state.step > step and not session.state.trouble, 60)

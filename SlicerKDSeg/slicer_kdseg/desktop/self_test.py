"""The loop as a user would do it, in a running Slicer: for the module's Test button and ``Testing/slicer``.

Needs a display, a local backend's packages and nothing else; without a network an image made by code takes the
sample's place. It trains in a folder of its own, so that nobody's models get company. Raises ``AssertionError`` or
:class:`KDSegError` at the step that fails.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from slicer_kdseg.desktop.samples import register
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.geometry import new_volume
from slicer_kdseg.scene.results import find_preview

MODULE = "KDSeg"
ROOT = "KDSEG_ROOT"
TRAIN_SECONDS = 20.0
PATIENCE_SECONDS = 180.0
Say = Callable[[str], object]


def run(say: Say) -> None:
    slicer.mrmlScene.Clear(0)
    with tempfile.TemporaryDirectory(prefix="kdseg-test-", ignore_cleanup_errors=True) as folder:
        panel, was_open = a_panel_on(Path(folder))
        try:
            go_through(panel, say)
        finally:
            panel.workplace.link.close()
            if was_open:
                slicer.util.reloadScriptedModule(MODULE)


def a_panel_on(folder: Path) -> tuple[Any, bool]:
    """The module's panel with a backend that stores in ``folder``, and whether it was open with another one before."""
    before = os.environ.get(ROOT)
    os.environ[ROOT] = str(folder)
    try:
        slicer.util.selectModule(MODULE)
        panel = slicer.util.getModuleWidget(MODULE).panel
        was_open = panel.workplace.link.root != folder
        if was_open:
            slicer.util.reloadScriptedModule(MODULE)
            panel = slicer.util.getModuleWidget(MODULE).panel
        return panel, was_open
    finally:
        os.environ.pop(ROOT)
        if before is not None:
            os.environ[ROOT] = before


def go_through(panel: Any, say: Say) -> None:
    session, ui = panel.workplace.session, panel.train.ui
    say("1 module opened")
    volume, inside = an_image(say)
    panel.workplace.work_on(volume)
    panel.annotate.enter()
    annotation = session.annotation
    assert annotation is not None
    assert annotation.volume is volume
    say("2 image chosen, a segmentation to draw in was made")

    paint(annotation, 1, lines(inside, (0.4, 0.6)))
    paint(annotation, 0, lines(far_from(inside), (0.4, 0.6)))
    drawn = annotation.read().labels
    say(f"3 strokes painted: {', '.join(annotation.coverage().values())}")

    panel.ui.tabs.currentIndex = 1
    ui.trainButton.click()
    wait(panel, lambda: session.state.phase == "training", "the local backend and the job")
    say(f"4 the local backend trains: {panel.workplace.link.state.sentence}")
    wait(panel, lambda: session.state.preview_step > 0, "the first preview of the backend")
    say(
        f"5 a preview arrived at step {session.state.preview_step}; it is shown from the {session.state.preview_source}"
    )

    paint(annotation, 1, lines(inside, (0.5,)))
    corrected = annotation.read().labels
    ui.correctButton.click()
    wait(panel, lambda: session.state.joined_revision == 2, "the correction")
    say(f"6 the correction joined at step {session.state.step}")
    began = time.monotonic()
    wait(panel, lambda: time.monotonic() - began > TRAIN_SECONDS or session.state.can_train, "training")
    if session.state.can_stop:
        ui.stopButton.click()
    wait(panel, lambda: session.state.can_train and bool(session.state.models), "the end")
    assert np.array_equal(annotation.read().labels, corrected), "the strokes changed"
    assert not np.array_equal(drawn, corrected)
    assert session.preview is not None
    found = session.preview.labels == 1
    dice = 2 * (found & inside).sum() / (found.sum() + inside.sum())
    say(f"7 stopped; model {session.state.current_model} is current; Dice with the truth {dice:.2f}")

    panel.ui.tabs.currentIndex = 2
    panel.review.ui.nextButton.click()
    panel.review.ui.acceptButton.click()
    say(f"8 reviewed: {panel.review.ui.countLabel.text}")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "kdseg.mrb")
        assert slicer.util.saveScene(path)
        slicer.mrmlScene.Clear(0)
        slicer.util.loadScene(path)
    again = slicer.mrmlScene.GetFirstNodeByName(volume_name())
    assert find_preview(slicer.mrmlScene, again) is not None
    assert [case.verdict for case in panel.review.cases] == ["accepted"]
    say("9 saved, closed, opened again: preview and verdict are there")


def volume_name() -> str:
    return "KDSegSelfTest"


def an_image(say: Say) -> tuple[Any, np.ndarray]:
    """The chest CT and its right lung; without a network a bright ball in noise."""
    try:
        import SampleData

        if "KDSeg" not in getattr(slicer.modules, "sampleDataSources", {}):  # a script runs before start-up is complete
            register(str(Path(__file__).parents[2] / "Resources" / "Icons"))
        nodes = SampleData.SampleDataLogic().downloadSamples("KDSegChestLabelled")
        if len(nodes) < 2:
            raise OSError("nothing was downloaded")
        volume, segmentation = nodes[0], nodes[1]
        segment = segmentation.GetSegmentation().GetNthSegmentID(4)
        inside = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume).astype(bool)
        slicer.mrmlScene.RemoveNode(segmentation)
    except Exception as error:  # whatever a download can raise; the test must run in a hospital network too
        say(f"  the sample cannot be loaded ({error}); an image made by code takes its place")
        grid = np.indices((24, 64, 64)) - np.array([12, 32, 30])[:, None, None, None]
        inside = (grid**2 * np.array([4, 1, 1])[:, None, None, None]).sum(0) < 18**2
        image = np.random.default_rng(0).normal(0, 20, inside.shape) + 150 * inside
        volume = new_volume(slicer.mrmlScene, "ball", image.astype(np.float32), np.diag([1.0, 1.0, 2.0, 1.0]))
    volume.SetName(volume_name())
    return volume, inside


def paint(annotation: Annotation, id_: int, mask: np.ndarray) -> None:
    """Through the arrays of a segment, as scripts do it in Slicer; nothing of the class is taken away."""
    node, segment = annotation.node, annotation.segment_id_of(id_)
    before = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, annotation.volume)
    both = mask if before is None or before.shape != mask.shape else mask | (before > 0)
    slicer.util.updateSegmentBinaryLabelmapFromArray(both.astype(np.uint8), node, segment, annotation.volume)


def lines(mask: np.ndarray, depths: tuple[float, ...]) -> np.ndarray:
    """One line along W on the slices at these shares of the depth that ``mask`` covers."""
    strokes = np.zeros_like(mask)
    covered = np.flatnonzero(mask.any(axis=(1, 2)))
    for share in depths:
        d = int(covered[int(share * (len(covered) - 1))])
        row = int(np.argmax(mask[d].sum(axis=1)))
        strokes[d, row] = mask[d, row]
    return strokes


def far_from(mask: np.ndarray) -> np.ndarray:
    """Rows of the slices of ``mask`` that do not meet it, near the border."""
    outside = np.zeros_like(mask)
    rows = ~mask.any(axis=(0, 2))
    if rows.any():
        outside[mask.any(axis=(1, 2)), int(np.flatnonzero(rows)[0])] = True
    return outside


def wait(panel: Any, condition: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        slicer.app.processEvents()
        failure, link = panel.workplace.session.state.failure, panel.workplace.link.state
        if failure or link.missing:
            raise KDSegError(failure or link.sentence)
        if time.monotonic() > until:
            raise KDSegError(f"{what} did not come: {panel.ui.messageLabel.text or panel.train.ui.stateLabel.text}")
        time.sleep(0.01)

"""A stand-in desktop around a real MRML scene and a real backend process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).parents[2]))

from slicer_kdseg.scene.geometry import new_volume
from slicer_kdseg.scene.painting import Painter

if TYPE_CHECKING:
    from Testing.desktop.standin.application import Desktop, Module

ROOT = Path(__file__).parents[2]
COUNTING_FOLDER = next(ROOT.glob("Testing/**/counting_training.py")).parent


@pytest.fixture
def a_desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    from Testing.desktop.standin.application import desktop
    from Testing.desktop.standin.pythonqt import FAULTS

    monkeypatch.setenv("KDSEG_ROOT", str(tmp_path / "KDSeg"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(COUNTING_FOLDER), os.environ.get("PYTHONPATH", "")]))
    with desktop(tmp_path) as found:
        yield found
        assert not FAULTS, f"A slot failed: {FAULTS[0]!r}"


@pytest.fixture
def a_link(a_desktop: Desktop, tmp_path: Path) -> Iterator[Any]:
    """A local backend whose training only counts; what a click starts is this one."""
    from slicer_kdseg.scene import backend_link

    root = tmp_path / "KDSeg"
    link = backend_link.the_link(root, ("--training", "counting_training:run", "--no-probe"))
    yield link
    link.close()
    backend_link._LINKS.pop(root)


@pytest.fixture
def a_volume(a_desktop: Desktop) -> Any:
    """Two bright blocks on dark ground, 10 x 40 x 48 voxels of 1 x 1 x 4 mm."""
    image = np.random.default_rng(3).normal(0, 4, (10, 40, 48)).astype(np.float32)
    image[2:8, 8:20, 8:20] += 100
    image[2:8, 22:34, 26:42] += 200
    return new_volume(a_desktop.scene, "abdomen", image, np.diag([1.0, 1.0, 4.0, 1.0]))


@pytest.fixture
def the_module(a_desktop: Desktop, a_link: Any) -> Module:
    return a_desktop.module(ROOT / "SlicerKDSeg" / "KDSeg.py")


@pytest.fixture
def the_review_module(a_desktop: Desktop) -> Module:
    return a_desktop.module(ROOT / "SlicerKDSeg" / "KDSegReview.py")


@pytest.fixture
def wait(a_desktop: Desktop) -> Callable[..., None]:
    """``wait(condition)``: turn Qt's loop until it holds; the session is drained by its own timer."""
    from Testing.desktop.standin.pythonqt import FAULTS

    def until(condition: Callable[[], bool], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition():
            a_desktop.process_events()
            assert not FAULTS, f"A slot failed: {FAULTS[0]!r}"
            assert time.monotonic() < end, "It did not happen in time."
            time.sleep(0.005)

    return until


@pytest.fixture
def draw(a_desktop: Desktop) -> Callable[..., None]:
    """``draw(annotation, id, d, h, w)``: a stroke, as the editor's logic paints it."""

    def stroke(annotation: Any, id_: int, d: int, h: int, w: slice) -> None:
        painter = Painter(a_desktop.scene, annotation)
        mask = np.zeros((10, 40, 48), bool)
        mask[d, h, w] = True
        painter.paint(id_, mask)
        painter.close()

    return stroke

"""Surfaces of a preview: seen from outside, and following a preview that never pauses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from slicer_kdseg.browser import surfaces
from slicer_kdseg.browser.surfaces import Surfaces, surface
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.scene.annotation import BACKGROUND_CLASS
from slicer_kdseg.scene.signals import Signal

SHAPE = (16, 24, 24)
PREVIEWS_EVERY_SECONDS, SECONDS = 0.1, 10.0


@pytest.fixture
def ragged() -> np.ndarray:
    """A ball full of holes, as a first preview often is: its surface touches itself at edges and corners."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    ball = (z - 8) ** 2 + (y - 12) ** 2 + (x - 12) ** 2 < 40
    return (ball & (np.random.default_rng(0).random(SHAPE) > 0.3)).astype(np.uint8)


@pytest.mark.parametrize("hand", [1.0, -1.0])
def test_a_ragged_class_is_seen_from_outside(ragged: np.ndarray, hand: float) -> None:
    matrix = vtkMatrix4x4()
    matrix.SetElement(0, 0, hand)
    mesh = surface(ragged, 1, matrix)
    points = vtk_to_numpy(mesh.GetPoints().GetData()).astype(float)
    triangles = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    one, other, third = (points[triangles[:, n]] for n in range(3))
    assert (np.cross(one, other) * third).sum() / 6 > 0.1 * ragged.sum()  # the volume inside, if all look outwards
    edges = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    there, back = (np.unique(found, axis=0, return_counts=True) for found in (edges, edges[:, ::-1]))
    assert np.array_equal(there[0], back[0])  # neighbours agree: every edge is walked both ways, equally often
    assert np.array_equal(there[1], back[1])


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_surfaces_follow_a_preview_that_never_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(surfaces, "time", clock)
    contract = LabelContract((BACKGROUND_CLASS, LabelClass(1, "ball", (1.0, 0.0, 0.0))))
    session: Any = SimpleNamespace(
        signals=SimpleNamespace(preview_arrived=Signal(), state_changed=Signal()),
        preview=SimpleNamespace(labels=np.ones(SHAPE, np.uint8), contract=contract, node=SimpleNamespace(GetID=str)),
        annotation=SimpleNamespace(volume=SimpleNamespace(GetIJKToRASMatrix=lambda matrix: None)),
    )
    follower = Surfaces(session, SimpleNamespace(show=lambda name, shown: None), lambda: None)  # type: ignore[arg-type]
    made: list[float] = []
    monkeypatch.setattr(follower, "_make", lambda: made.append(clock.now))
    for _ in range(round(SECONDS / PREVIEWS_EVERY_SECONDS)):
        session.signals.preview_arrived.emit(SimpleNamespace(node_id=""))
        follower.tick()
        clock.now += PREVIEWS_EVERY_SECONDS
    follower.close()
    assert len(made) >= 3
    assert made[0] - 100.0 == pytest.approx(surfaces.LONGEST_WAIT_SECONDS, abs=2 * PREVIEWS_EVERY_SECONDS)

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicerio

from slicer_kdseg.headless.boot import HeadlessSlicer, boot
from slicer_kdseg.headless.files import load_segmentation, load_volume
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.protocol.local import LocalBackend
from slicer_kdseg.scene.annotation import Annotation, new_annotation
from slicer_kdseg.scene.geometry import new_volume
from slicer_kdseg.scene.painting import Painter

COUNTING_FOLDER = next(Path(__file__).parents[1].rglob("counting_training.py")).parent
Stroke = Callable[[int, int, slice], np.ndarray]
LIVER_ENTRY = "Segmentation category and type~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~~^^~^^"


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Options of a real backend process whose training only counts."""
    monkeypatch.setenv("PYTHONPATH", str(COUNTING_FOLDER))
    return "--training", "counting_training:run", "--no-probe"


@pytest.fixture
def a_backend(tmp_path: Path, counting: tuple[str, ...]) -> Iterator[LocalBackend]:
    with LocalBackend(tmp_path / "backend", options=counting) as backend:
        yield backend


@pytest.fixture
def a_slicer() -> Iterator[HeadlessSlicer]:
    host = boot()
    yield host
    host.close()


@pytest.fixture
def a_scene(a_slicer: HeadlessSlicer) -> Any:
    return a_slicer.scene


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    return Path(slicerio.__file__).parent / "data"


@pytest.fixture
def the_chest_ct(a_slicer: HeadlessSlicer, sample_folder: Path) -> Any:
    return load_volume(a_slicer, sample_folder / "CTChest4.nrrd")


@pytest.fixture
def its_segmentation(a_slicer: HeadlessSlicer, sample_folder: Path) -> Any:
    return load_segmentation(a_slicer, sample_folder / "Segmentation.seg.nrrd")


@pytest.fixture
def a_contract() -> LabelContract:
    return LabelContract(
        (
            LabelClass(0, "background", (0.3, 0.3, 0.3)),
            LabelClass(1, "liver", (0.9, 0.5, 0.3), LIVER_ENTRY),
            LabelClass(4, "spleen", (0.6, 0.1, 0.4)),
        )
    )


@pytest.fixture
def a_volume(a_scene: Any) -> Any:
    """Two bright blocks on dark ground, 10 x 40 x 48 voxels of 1 x 1 x 4 mm."""
    image = np.random.default_rng(3).normal(0, 4, (10, 40, 48)).astype(np.float32)
    image[2:8, 8:20, 8:20] += 100
    image[2:8, 22:34, 26:42] += 200
    affine = np.diag([1.0, 1.0, 4.0, 1.0])
    affine[:3, 3] = -20, 30, 5
    return new_volume(a_scene, "abdomen", image, affine)


@pytest.fixture
def an_empty_annotation(a_scene: Any, a_volume: Any, a_contract: LabelContract) -> Annotation:
    return new_annotation(a_scene, a_volume, a_contract)


@pytest.fixture
def a_painter(a_scene: Any, an_empty_annotation: Annotation) -> Iterator[Painter]:
    painter = Painter(a_scene, an_empty_annotation)
    yield painter
    painter.close()


@pytest.fixture
def stroke() -> Stroke:
    """``stroke(d, h, w)``: the voxels of one straight stroke in ``a_volume``."""

    def voxels(d: int, h: int, w: slice) -> np.ndarray:
        mask = np.zeros((10, 40, 48), bool)
        mask[d, h, w] = True
        return mask

    return voxels


@pytest.fixture
def an_annotation_with_strokes(an_empty_annotation: Annotation, a_painter: Painter, stroke: Stroke) -> Annotation:
    for d in (3, 6):
        a_painter.paint(0, stroke(d, 3, slice(4, 44)) | stroke(d, 37, slice(4, 44)))
        a_painter.paint(1, stroke(d, 13, slice(10, 18)))
        a_painter.paint(4, stroke(d, 28, slice(28, 40)))
    return an_empty_annotation

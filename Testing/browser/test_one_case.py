"""One labelled case and two images without labels, through the choice 'One labelled case → student'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slicer_kdseg.headless.boot import HeadlessSlicer, boot
from slicer_kdseg.headless.files import save_node
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.scene.annotation import BACKGROUND_CLASS, new_annotation
from slicer_kdseg.scene.geometry import new_volume
from slicer_kdseg.scene.painting import Painter
from Testing.browser.conftest import Served, User

TRAINING_SECONDS = 300.0
SHAPE = (16, 48, 48)


def phantom(moved: int) -> tuple[np.ndarray, np.ndarray]:
    """A bright ball in a dim box, ``moved`` voxels aside, and where it is."""
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    ball = (2 * (z - 8)) ** 2 + (y - 24 - moved) ** 2 + (x - 24 + moved) ** 2 < 100
    box = (abs(y - 24) < 20) & (abs(x - 24) < 20)
    image = 40.0 * box + 80.0 * ball + np.random.default_rng(moved).normal(0, 3, SHAPE)
    return image.astype(np.float32), ball


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """``case0.nrrd`` with its segmentation, ``case1.nii.gz`` and ``case2.nrrd`` without."""
    host: HeadlessSlicer = boot()
    made = []
    for number, name in enumerate(("case0.nrrd", "case1.nii.gz", "case2.nrrd")):
        image, ball = phantom(2 * number)
        volume = new_volume(host.scene, name.partition(".")[0], image, np.diag([1.0, 1.0, 2.0, 1.0]))
        save_node(host, volume, tmp_path / name)
        made.append(tmp_path / name)
        if number == 0:
            contract = LabelContract((BACKGROUND_CLASS, LabelClass(1, "ball", (0.9, 0.3, 0.2))))
            annotation = new_annotation(host.scene, volume, contract)
            painter = Painter(host.scene, annotation)
            painter.paint(1, ball)
            painter.close()
            save_node(host, annotation.node, tmp_path / "ball.seg.nrrd")
            made.append(tmp_path / "ball.seg.nrrd")
    host.close()
    return made


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_labelled_case_teaches_two_others(
    serve: Callable[..., Served], visit: Callable[..., User], files: list[Path]
) -> None:
    served = serve()
    user = visit(served)
    user.page.get_by_text("Or drop files here").wait_for()
    with user.page.expect_file_chooser() as chooser:
        user.click("Open files of this computer")
    chooser.value.set_files([str(file) for file in files])
    served.until("session.annotation is not None and len(space.annotate.shown.images) == 3")
    assert served.ask("[item.title for item in space.annotate.shown.images]") == ["case0", "case1", "case2"]
    user.shot("opened")

    user.click("a finished segmentation")
    user.choose("Segmentation", "ball")
    served.until("session.annotation.node.GetName() == 'ball'")
    user.shot("labelled")
    user.tab("Train")
    user.page.get_by_text("One labelled case → student").click()
    served.until("space.workplace.choices.method == 'one_shot'")
    user.choose("Other images", "case1", "case2")
    served.until("len(space.workplace.choices.others) == 2")
    user.shot("chosen")
    user.click("Train")
    shown = "[node.GetAttribute('KDSeg.Source') or '' for node, volume in previews(scene)]"
    served.until(f"sum(source in ('propagated', 'student') for source in {shown}) >= 2", TRAINING_SECONDS)
    served.until(f"{shown}.count('student') >= 1", TRAINING_SECONDS)
    user.shot("taught")
    user.click("Stop")
    served.until("session.state.phase == 'annotating' and session.state.models", TRAINING_SECONDS)
    assert served.ask("session.state.failure") == ""

    overlap = served.ask("{v.GetName(): voxels(v, n)['count'] for n, v in previews(scene)}")
    for number in (1, 2):
        real = int(phantom(2 * number)[1].sum())
        assert 0.6 * real < overlap[f"case{number}"] < 1.6 * real
    user.tab("Review")
    user.sees("0 of 3 cases have a verdict.")
    user.shot("review")

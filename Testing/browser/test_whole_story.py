"""As a new user would: the sample, two classes, strokes, Train, a correction, Stop, review, download, reopen."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import slicerio

from Testing.browser.conftest import Served, User

TRAINING_SECONDS = 300.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_the_sample_to_a_segmentation_that_opens_elsewhere(
    serve: Callable[..., Served], visit: Callable[..., User], tmp_path: Path
) -> None:
    served = serve()
    user = visit(served)
    user.sees("Open an image to begin")
    user.shot("begin")
    user.open_sample()
    make_classes(user)
    draw(user)
    user.shot("drawn")
    drawn = served.ask("session.annotation.read().counts")

    user.tab("Train")
    user.click("10 min")  # time to correct while it trains, on a busy machine too
    user.click("Train")
    served.until("session.state.preview_source == 'growcut'")
    assert served.ask("int(session.preview.labels.any())")
    served.until("session.state.preview_source == 'student'", TRAINING_SECONDS)
    user.shot("student")
    assert served.ask("session.annotation.read().counts") == drawn

    user.choose_class_by_key(2)
    user.stroke(2, (0.50, 0.30), (0.55, 0.33))
    corrected = served.ask("session.annotation.read().counts")
    user.click("Send corrections")
    served.until("session.state.joined_revision == 2", TRAINING_SECONDS)
    served.until("session.preview.provenance.revision == 2", TRAINING_SECONDS)
    user.shot("corrected")
    assert served.ask("session.state.phase") == "training"

    user.click("Stop")
    served.until("session.state.phase == 'annotating' and session.state.models", TRAINING_SECONDS)
    assert served.ask("session.state.job_state") in ("stopped", "done")
    assert served.ask("session.annotation.read().counts") == corrected
    assert served.ask("session.state.failure") == ""
    user.shot("stopped")

    user.tab("Review")
    user.click("Accept")
    served.until("space.review.reviewed[0].verdict == 'accepted'")
    user.sees("1 of 1 case has a verdict.")
    user.shot("accepted")
    saved = user.download("Segmentation (.seg.nrrd)", tmp_path)
    model = user.download("Current model (zip)", tmp_path)
    report = user.download("Review report (CSV, HTML)", tmp_path)
    before = served.ask("voxels(session.annotation.volume, space.review.reviewed[0].reviewed)")
    assert before["classes"] == {"1": "lung", "2": "heart"}
    assert before["count"] > 1000

    names = [segment["name"] for segment in slicerio.read_segmentation(str(saved), skip_voxels=True)["segments"]]
    assert names == ["lung", "heart"]
    assert {Path(name).name for name in zipfile.ZipFile(model).namelist()} >= {"weights.safetensors", "card.json"}
    table = zipfile.ZipFile(report).read("kdseg_review/kdseg_review.csv").decode()
    assert "accepted" in table

    elsewhere = serve()
    other = visit(elsewhere)
    other.open_sample()
    other.open_files(saved)
    elsewhere.until("len(space.review.reviewed) == 1")
    assert elsewhere.ask("voxels(session.annotation.volume, space.review.reviewed[0].prediction)") == before
    other.tab("Review")
    other.sees("0 of 1 case has a verdict.")
    other.shot("reopened")


def make_classes(user: User) -> None:
    user.rename("class 1", "lung")
    user.click("Add class")
    user.rename("class 2", "heart")
    assert user.served.ask("[label.name for label in session.annotation.contract.classes]") == [
        "background",
        "lung",
        "heart",
    ]


def draw(user: User) -> None:
    """On two slices, every class and the background."""
    for _ in range(2):
        user.choose_class("lung")
        user.stroke(1, (0.35, 0.45), (0.42, 0.50))
        user.stroke(1, (0.66, 0.40), (0.70, 0.46))
        user.choose_class("heart")
        user.stroke(2, (0.48, 0.40), (0.54, 0.44))
        user.choose_class("background")
        user.stroke(0, (0.20, 0.12), (0.40, 0.12))
        user.stroke(0, (0.45, 0.80), (0.56, 0.80))
        before = user.served.ask("space.views.slices[0].get_slice_value()")
        user.page.mouse.wheel(0, -120)
        user.served.until(f"space.views.slices[0].get_slice_value() != {before}")
    assert user.served.ask("len(session.annotation.read().drawn)") == 2

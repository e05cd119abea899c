"""Files through the page: a DICOM series, a folder, NIfTI out, and a scene that comes back as it was."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import slicerio

from Testing.browser.conftest import COUNTING, Served, User
from Testing.browser.test_opening import SIDE, SLICES, one_slice

SAMPLE = Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd"


@pytest.mark.slow
def test_what_is_opened_and_taken_away(
    serve: Callable[..., Served], visit: Callable[..., User], tmp_path: Path
) -> None:
    served = serve(*COUNTING)
    user = visit(served)
    series = tmp_path / "series"
    series.mkdir()
    uid = pydicom.uid.generate_uid()
    slices = [one_slice(series, number, uid) for number in range(SLICES)]
    with zipfile.ZipFile(tmp_path / "series.zip", "w") as archive:
        for path in slices:
            archive.write(path, f"DICOM/{path.name}")
    user.click("Open files of this computer", dialog=tmp_path / "series.zip")
    served.until("session.annotation is not None")
    voxels = "__import__('slicer').util.arrayFromVolume(session.annotation.volume)"
    assert served.ask(f"list({voxels}.shape)") == [SLICES, SIDE, SIDE]
    assert served.ask(f"{voxels}[:, 0, 0].tolist()") == [10 * n for n in range(SLICES)]
    assert served.ask("list(session.annotation.volume.GetSpacing())") == pytest.approx([0.8, 0.8, 2.5])

    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(SAMPLE, folder / "thorax.nrrd")
    user.click("Open")
    user.page.get_by_text("A folder where KDSeg runs").click()
    user.page.get_by_label("Folder").fill(str(tmp_path / "nowhere"))
    user.page.get_by_label("Folder").press("Enter")
    user.sees("There is no folder")
    user.page.get_by_label("Folder").fill(str(folder))
    user.page.get_by_label("Folder").press("Enter")
    user.page.get_by_text("thorax.nrrd").click()
    served.until("session.annotation.volume.GetName() == 'thorax'")
    user.stroke(1, (0.35, 0.45), (0.45, 0.50))
    user.choose_class("background")
    user.stroke(0, (0.45, 0.80), (0.56, 0.80))
    drawn = served.ask("session.annotation.read().counts")
    (first,) = served.ask("[i.title for i in space.annotate.shown.images if i.title != 'thorax']")
    user.choose("Image", first)
    served.until("session.annotation.volume.GetName() != 'thorax'")
    user.choose("Image", "thorax")
    served.until("session.annotation.volume.GetName() == 'thorax'")
    assert served.ask("session.annotation.read().counts") == drawn

    user.tab("Train")
    user.click("Train")
    served.until("session.state.preview_source == 'student'")
    user.click("Stop")
    served.until("session.state.phase == 'annotating'")
    user.shot("opened")
    user.choose("Other images", first)
    user.tab("Annotate")
    for looked_at in (first, "thorax"):
        user.choose("Image", looked_at)
        served.until(f"session.annotation.volume.GetName() == {looked_at!r}")
    user.tab("Train")
    user.page.locator(".v-chip").get_by_text(first).wait_for()
    user.tab("Review")
    user.click("Segment other images")
    user.sees("Other images to go: 1")
    user.shot("segmenting")
    user.click("Cancel")
    user.sees("Cancelled; the images that were done keep their segmentations.")
    served.until("session.state.predicting == 0")

    saved = user.download("Segmentation (NIfTI)", tmp_path)
    labels, image = sitk.ReadImage(str(saved)), sitk.ReadImage(str(SAMPLE))
    assert labels.GetSize() == image.GetSize()
    assert np.allclose(labels.GetOrigin(), image.GetOrigin(), atol=1e-3)
    assert np.allclose(labels.GetDirection(), image.GetDirection(), atol=1e-6)
    shown = served.ask("voxels(session.annotation.volume, session.preview.node)")
    assert int((sitk.GetArrayFromImage(labels) > 0).sum()) == shown["count"]

    scene = user.download("Whole scene (.mrb)", tmp_path)
    elsewhere = serve()
    other = visit(elsewhere)
    other.click("Open files of this computer", dialog=scene)
    elsewhere.until("session.annotation is not None")
    assert elsewhere.ask("session.annotation.volume.GetName()") == "thorax"
    assert elsewhere.ask("session.annotation.read().counts") == drawn
    assert elsewhere.ask("[voxels(v, n) for n, v in previews(scene)]") == [shown]
    assert elsewhere.ask("[bool(v.get_view_node().IsMappedInLayout()) for v in space.views.slices]") == [True] * 3
    other.stroke(1, (0.66, 0.40), (0.70, 0.46))
    other.shot("scene")

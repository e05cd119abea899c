from __future__ import annotations

import sys
from pathlib import Path

import pytest

from slicer_kdseg.headless import boot as boot_module
from slicer_kdseg.headless.boot import HeadlessSlicer, NoSlicerParts, require_slicer_core
from slicer_kdseg.headless.files import load_segmentation, load_volume, open_scene, save_node, save_scene
from slicer_kdseg.protocol.errors import BadAnnotation, BadImage, KDSegError, OutOfSpace


def test_an_unrelated_package_called_slicer_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unrelated = tmp_path / "slicer"
    unrelated.mkdir()
    (unrelated / "__init__.py").write_text("def slice_text(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "slicer")
    monkeypatch.setattr(boot_module, "_import_slicer", lambda: object())
    with pytest.raises(NoSlicerParts, match=r"not 3D Slicer's .*pip uninstall slicer"):
        require_slicer_core()


def test_missing_parts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoSlicerParts, match=r"run\.py setup"):
        require_slicer_core()


def test_files_that_cannot_be_read_are_refused_by_name(
    a_slicer: HeadlessSlicer, tmp_path: Path, sample_folder: Path
) -> None:
    with pytest.raises(BadImage, match=r"no file .*missing\.nrrd"):
        load_volume(a_slicer, tmp_path / "missing.nrrd")
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(BadImage, match=r"'notes\.txt' is of a kind"):
        load_volume(a_slicer, tmp_path / "notes.txt")
    cut = tmp_path / "cut.nrrd"
    cut.write_bytes((sample_folder / "CTChest4.nrrd").read_bytes()[:300])
    with pytest.raises(BadImage, match=r"'cut\.nrrd' cannot be read"):
        load_volume(a_slicer, cut)
    assert a_slicer.scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
    assert a_slicer.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_scene_is_written_whole_or_not_at_all(
    a_slicer: HeadlessSlicer, the_chest_ct: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out" / "scene.mrb"
    save_scene(a_slicer, path)
    before = path.read_bytes()
    assert [child.name for child in path.parent.iterdir()] == ["scene.mrb"]

    class FullDisk:
        def WriteToMRB(self, name: str) -> bool:  # noqa: N802
            Path(name).write_bytes(b"half")
            return False

    a_slicer.scene, real = FullDisk(), a_slicer.scene
    with pytest.raises(OutOfSpace, match=r"'scene\.mrb' could not be written"):
        save_scene(a_slicer, path)
    a_slicer.scene = real
    assert path.read_bytes() == before
    assert [child.name for child in path.parent.iterdir()] == ["scene.mrb"]


def test_a_relative_path_means_the_current_folder(
    a_slicer: HeadlessSlicer, its_segmentation: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_node(a_slicer, its_segmentation, Path("out/segmentation.seg.nrrd"))
    save_scene(a_slicer, Path("out/scene.mrb"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"segmentation.seg.nrrd", "scene.mrb"}
    assert load_segmentation(a_slicer, Path("out/segmentation.seg.nrrd")).GetSegmentation().GetNumberOfSegments() == 7
    open_scene(a_slicer, Path("out/scene.mrb"))


def test_a_damaged_scene_is_refused(a_slicer: HeadlessSlicer, tmp_path: Path) -> None:
    (tmp_path / "scene.mrb").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(KDSegError, match=r"'scene\.mrb' cannot be opened"):
        open_scene(a_slicer, tmp_path / "scene.mrb")


@pytest.mark.parametrize("kept", [0, 40, 300, 1500, 4000])
def test_a_segmentation_that_is_cut_off_is_refused(
    a_slicer: HeadlessSlicer, tmp_path: Path, sample_folder: Path, kept: int
) -> None:
    whole = (sample_folder / "Segmentation.seg.nrrd").read_bytes()
    assert len(whole) > 8000
    cut = tmp_path / "cut.seg.nrrd"
    cut.write_bytes(whole[:kept] if kept < 4000 else whole[:-kept])
    with pytest.raises(BadAnnotation, match=r"'cut\.seg\.nrrd' cannot be read as a segmentation: it"):
        load_segmentation(a_slicer, cut)
    assert a_slicer.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0

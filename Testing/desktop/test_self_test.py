"""The self-test for a real Slicer, run here step by step, so that it holds nothing that is broken; what it needs of
Slicer's main window, file dialogs and downloads is replaced, and the training only counts."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import slicer

import Testing.desktop.needs_qt  # noqa: F401  first
from slicer_kdseg.headless.files import open_scene, save_scene
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.scene import backend_python
from slicer_kdseg.scene.backend_link import the_link
from Testing.desktop.standin.application import Desktop, Module

ROOT = Path(__file__).parents[2]


@pytest.fixture
def the_module_in_slicer(the_module: Module, a_desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> Module:
    from slicer_kdseg.desktop import module_panel, self_test

    counting = ("--training", "counting_training:run", "--no-probe")
    monkeypatch.setattr(module_panel, "the_link", lambda root: the_link(root, counting))
    monkeypatch.setattr(self_test, "TRAIN_SECONDS", 0.5)
    monkeypatch.setattr(slicer.util, "selectModule", lambda name: the_module.open())
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: the_module.widget)
    monkeypatch.setattr(slicer.util, "reloadScriptedModule", lambda name: the_module.reload())
    monkeypatch.setattr(slicer.util, "saveScene", lambda path: save_scene(a_desktop.host, Path(path)) is None)
    monkeypatch.setattr(slicer.util, "loadScene", lambda path: open_scene(a_desktop.host, Path(path)))
    return the_module


@pytest.mark.parametrize("was_open", [False, True])
def test_the_self_test_goes_through_every_step(the_module_in_slicer: Module, tmp_path: Path, was_open: bool) -> None:
    from slicer_kdseg.desktop import self_test

    own = tmp_path / "KDSeg"
    if was_open:
        assert the_module_in_slicer.open().panel.workplace.link.root == own
    said: list[str] = []
    self_test.run(said.append)
    steps = [line for line in said if not line.startswith(" ")]
    assert [line[0] for line in steps] == list("123456789")
    assert "1 of 1 case has a verdict" in steps[7]
    assert not own.exists(), "what is the user's stays as it is"
    if was_open:
        assert the_module_in_slicer.widget.panel.workplace.link.root == own


def test_the_self_test_ends_at_once_where_packages_lack(
    the_module_in_slicer: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slicer_kdseg.desktop import self_test

    monkeypatch.setitem(backend_python.NEEDED, "kdseg_no_such_package", "kdseg-no-such-package>=1")
    with pytest.raises(KDSegError, match="newer packages: kdseg-no-such-package"):
        self_test.run(print)


def test_the_self_test_of_the_review_module(the_review_module: Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicer.util, "selectModule", lambda name: the_review_module.open())
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: the_review_module.widget)
    the_review_module.python.KDSegReviewTest().runTest()


def test_every_self_test_is_registered_once() -> None:
    files = (ROOT / "SlicerKDSeg" / "CMakeLists.txt", ROOT / "Testing" / "slicer" / "CMakeLists.txt")
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    found = re.findall(r"slicer_add_python_unittest\(SCRIPT (\S+)\)", text)
    assert sorted(found) == ["KDSegReview.py", "KDSegSelfTest.py"], "KDSeg.py's test is what KDSegSelfTest.py runs"


def test_the_script_for_slicer_holds_nothing_of_the_stand_in() -> None:
    for file in (ROOT / "Testing/slicer/KDSegSelfTest.py", ROOT / "SlicerKDSeg/slicer_kdseg/desktop/self_test.py"):
        text = file.read_text(encoding="utf-8")
        assert "standin" not in text
        assert "PySide" not in text
        tree = ast.parse(text)
        names = [n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef | ast.FunctionDef)]
        assert names


def test_samples_are_registered_with_checksums(a_desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the arguments of SampleDataLogic.registerCustomSampleDataSource, and the files that slicerio carries."""
    import hashlib
    import sys
    import types

    import slicerio

    from slicer_kdseg.desktop import samples

    registered: list[dict[str, Any]] = []

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataCategory(category: str, title: str) -> None:  # noqa: N802  Slicer's name
            assert (category, title) == ("KDSeg", "KDSeg")

        @staticmethod
        def registerCustomSampleDataSource(  # noqa: N802  Slicer's name
            category: str,
            sampleName: str,  # noqa: N803
            uris: Any,
            fileNames: Any,  # noqa: N803
            nodeNames: Any,  # noqa: N803
            thumbnailFileName: str,  # noqa: N803
            checksums: Any,
            loadFileTypes: Any = None,  # noqa: N803
        ) -> None:
            registered.append({"name": sampleName, "files": fileNames, "sums": checksums, "icon": thumbnailFileName})

    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=SampleDataLogic))
    samples.register(str(ROOT / "SlicerKDSeg" / "Resources" / "Icons"))
    data = Path(slicerio.__file__).parent / "data"
    for entry in registered:
        assert Path(entry["icon"]).is_file()
        files, sums = ([x] if isinstance(x, str) else x for x in (entry["files"], entry["sums"]))
        for file, checksum in zip(files, sums, strict=True):
            assert checksum == "SHA256:" + hashlib.sha256((data / file).read_bytes()).hexdigest()
    assert [entry["name"] for entry in registered] == ["KDSegChest", "KDSegChestLabelled"]

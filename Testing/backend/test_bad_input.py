"""Whatever is wrong with a case folder, the command line says it in one sentence and changes nothing."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.errors import OutOfSpace
from training_backend.api.__main__ import main as backend_of_a_host
from training_backend.cli.main import main
from training_backend.cli.results_folder import for_training
from training_backend.cli.terminal_desk import TerminalDesk
from training_backend.data.annotator import annotate
from training_backend.data.cases import read_image, read_labels, write_volume
from training_backend.data.phantom import phantom
from training_backend.engine import checkpoint, device
from training_backend.engine.checkpoint import Memory
from training_backend.report.metrics import dice_by_class

TINY = [f"--set={text}" for text in ("steps=3", "channels=4", "levels=3", "slice_size=48", "volume_size=32")]
CLASSES = {"1": {"name": "ball"}, "2": {"name": "shell"}, "3": {"name": "rod"}}
SHAPE = (8, 32, 32)
AFFINE = np.diag([-1.0, 1.0, 4.0, 1.0])


def write_cases(root: Path, image: np.ndarray, strokes: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    write_volume(root / "images" / "anna.nii.gz", image, affine)
    write_volume(root / "scribbles" / "anna.nii.gz", strokes, affine)
    (root / "labels.json").write_text(json.dumps({"classes": CLASSES, "unlabelled": 255}))
    return root


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    image, labels = phantom(SHAPE)
    return write_cases(tmp_path / "cases", image, annotate(labels, every=2))


def training(cases: Path, out: Path, *more: str) -> list[str]:
    return ["train", "scribble", "--cases", str(cases), "--out", str(out), "--set=device=cpu", *TINY, *more]


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence of a request that ends with exit code 2."""
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("kdseg: ")
    assert told.endswith((".\n", "?\n"))
    assert told.count("\n") == 1
    return told


Spoil = Callable[[Path], object]


def strokes_become(change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    def spoil(cases: Path) -> None:
        path = cases / "scribbles" / "anna.nii.gz"
        write_volume(path, change(read_labels(path).array), AFFINE)

    return spoil


def image_becomes(change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    def spoil(cases: Path) -> None:
        path = cases / "images" / "anna.nii.gz"
        write_volume(path, change(read_image(path).array), AFFINE)

    return spoil


def with_value(array: np.ndarray, value: float) -> np.ndarray:
    array[1, 2, 3] = value
    return array


def without(strokes: np.ndarray, *ids: int) -> np.ndarray:
    return np.where(np.isin(strokes, ids), 255, strokes).astype(np.uint8)


def strokes_move(cases: Path) -> None:
    path = cases / "scribbles" / "anna.nii.gz"
    moved = AFFINE.copy()
    moved[0, 3] = 2.5
    write_volume(path, read_labels(path).array, moved)


def only_background_is_a_class(cases: Path) -> None:
    strokes_become(lambda strokes: without(strokes, 1, 2, 3))(cases)
    (cases / "labels.json").write_text(json.dumps({"classes": {}, "unlabelled": 255}))


def image_file_becomes(change: Callable[[bytes], bytes]) -> Spoil:
    def spoil(cases: Path) -> None:
        path = cases / "images" / "anna.nii.gz"
        path.write_bytes(change(path.read_bytes()))

    return spoil


def image_is(image: sitk.Image) -> Spoil:
    return lambda cases: sitk.WriteImage(image, str(cases / "images" / "anna.nii.gz"))


def a_series() -> sitk.Image:
    return sitk.JoinSeries([sitk.GetImageFromArray(phantom(SHAPE, seed=seed)[0]) for seed in (0, 1)])


def image_has_a_namesake(cases: Path) -> None:
    path = cases / "images" / "anna.nii.gz"
    write_volume(path.with_name("anna.nrrd"), read_image(path).array, AFFINE)


BAD = {
    "no scribble for a class": (strokes_become(lambda s: without(s, 3)), "'rod' (3) has no voxel", "draw at least"),
    "no background scribble": (strokes_become(lambda s: without(s, 0)), "background has no stroke", "automatic"),
    "one class drawn": (strokes_become(lambda s: without(s, 0, 2, 3)), "'shell' (2), 'rod' (3) has no voxel"),
    "one class in all": (only_background_is_a_class, "a label or a scribble of any class", "annotate at least"),
    "no scribble at all": (strokes_become(lambda s: without(s, 0, 1, 2, 3)), "annotation is empty"),
    "labels outside the contract": (strokes_become(lambda s: with_value(s, 9)), "[9]", "labels.json"),
    "labels with fractions": (strokes_become(lambda s: s * 0.37), "'anna.nii.gz' holds fractions"),
    "labels beside the image": (strokes_move, "from (2.5, 0.0, 0.0)", "from (0.0, 0.0, 0.0)", "different grids"),
    "labels of another size": (strokes_become(lambda s: np.pad(s, 1)), "34 x 34 x 10", "32 x 32 x 8", "different"),
    "NaN": (image_becomes(lambda i: with_value(i, np.nan)), "'anna.nii.gz'", "1 voxels that are NaN"),
    "infinite": (image_becomes(lambda i: with_value(i, -np.inf)), "'anna.nii.gz'", "NaN or infinite"),
    "constant": (image_becomes(np.zeros_like), "'anna.nii.gz'", "constant (every voxel is 0.0)"),
    "tiny": (image_becomes(lambda i: i[:, :15, :15]), "(8, 15, 15) is too small"),
    "empty file": (image_file_becomes(lambda _: b""), "'anna.nii.gz' cannot be read"),
    "cut off": (image_file_becomes(lambda whole: whole[: len(whole) // 2]), "'anna.nii.gz' is cut off"),
    "cut off, not compressed": (image_file_becomes(lambda w: gzip.compress(gzip.decompress(w)[:-9])), "is cut off"),
    "renamed": (image_file_becomes(lambda _: b"NRRD0004\ntype: short\n"), "'anna.nii.gz' cannot be read"),
    "namesakes": (image_has_a_namesake, "'anna.nii.gz' and 'anna.nrrd' have the same name; rename one of them."),
    "4-D": (image_is(a_series()), "'anna.nii.gz' has 4 axes (32 x 32 x 8 x 2)", "split the series"),
    "RGB": (image_is(sitk.Image([32, 32, 8], sitk.sitkVectorUInt8, 3)), "3 values per voxel", "one scalar value"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_case_folder_gets_one_sentence_and_stays_as_it_was(cases, tmp_path, capsys, name):
    spoil, *words = BAD[name]
    spoil(cases)
    before = contents(cases)
    told = refused(training(cases, tmp_path / "out"), capsys)
    for word in words:
        assert word in told
    assert contents(cases) == before
    assert not list((tmp_path / "out").glob("*"))


def test_an_image_larger_than_memory_is_refused_with_both_sizes(cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checks, "available_memory_bytes", lambda: 100_000)
    assert "0.0 GB are free; crop it" in refused(training(cases, tmp_path / "out"), capsys)


def test_cuda_that_is_absent_is_said(cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(device, "reason_unusable", lambda _: "no driver was found")
    told = refused(training(cases, tmp_path / "out", "--set=device=cuda"), capsys)
    assert "GPU was asked for but cannot be used (no driver was found); choose device 'cpu'" in told


@pytest.mark.parametrize("words", [["train", "magic"], ["train", "scribble", "--set=second=5"]])
def test_an_unknown_method_or_setting_is_told_before_any_file_is_read(tmp_path, capsys, words):
    told = refused([*words, "--cases", str(tmp_path / "nowhere")], capsys)
    assert "scribble, shape_intensity, supervised" in told or "Did you mean 'seconds'?" in told


def test_a_port_that_is_taken_and_a_bind_without_a_token_are_said(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("KDSEG_TOKEN", raising=False)
    asked = ["serve", "--root", str(tmp_path / "root")]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([*asked, "--port", str(taken.getsockname()[1])]) == 2
        assert "choose another port" in capsys.readouterr().err
        if importlib.util.find_spec("trame_slicer"):
            page = ["web", "--root", str(tmp_path / "root"), "--port", str(taken.getsockname()[1])]
            assert "choose another --port" in refused(page, capsys)
    assert main([*asked, "--port", "0", "--host", "0.0.0.0"]) == 2
    assert "set a token (--new-token, or KDSEG_TOKEN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("serve --port 99999", "There is no port 99999"),
        ("serve --port -1", "There is no port -1"),
        ("serve --host 192.0.2.1 --new-token --port 0", "give an address of this machine as host"),
        ("serve --limit 0", "--limit must be at least 1"),
        ("serve --root a_file", "choose another --root folder"),
        ("web --port 99999", "There is no port 99999"),
        ("web --root a_file", "choose another --root folder"),
        ("pictures --out a_file", "choose another --out folder"),
    ],
)
def test_a_place_that_cannot_be_used_gets_one_sentence(tmp_path, monkeypatch, capsys, words, told):
    if words.startswith("web"):
        pytest.importorskip("trame_slicer")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_file").write_text("no folder")
    root = [] if "--root" in words or "--out" in words else ["--root", "root"]
    assert main([*words.split(), *root]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_host_is_told_of_a_port_that_there_cannot_be(tmp_path, capsys):
    assert backend_of_a_host(["--root", str(tmp_path), "--port", "99999"]) == 2
    assert capsys.readouterr().err == "There is no port 99999; choose one from 1 to 65535, or 0 for a free one.\n"


@contextmanager
def nothing_above(limit_bytes: int) -> Iterator[None]:
    """Larger files cannot be written by this process: the system's own limit, as a quota would set it."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_is_full_when_the_model_is_written_is_said_and_leaves_nothing(cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checkpoint, "save", lambda *_: None)  # lies elsewhere, has a test of its own
    with nothing_above(20_000):
        told = refused(training(cases, tmp_path / "out", "--set=steps=1"), capsys)
    assert "model could not be written" in told
    assert "free" in told
    assert contents(tmp_path / "out") == {}


def test_a_training_is_never_written_over_an_earlier_one(cases, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(training(cases, out)) == 0
    assert f"draw strokes into {cases / 'scribbles'}" in capsys.readouterr().out
    (out / "segmentations" / "anna.nii.gz").write_text("corrected by hand")
    (cases / "images" / "anna.nii.gz").unlink()  # it is refused before anything is read
    before = contents(out)
    assert "holds an earlier training; choose another --out folder." in refused(training(cases, out), capsys)
    assert contents(out) == before


def test_without_out_every_training_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert for_training(None) == Path("kdseg_training")
    (tmp_path / "kdseg_training" / "model").mkdir(parents=True)
    (tmp_path / "kdseg_training_2" / "segmentations").mkdir(parents=True)
    assert for_training(None) == Path("kdseg_training_3")


def test_a_model_that_does_not_fit_at_its_place_leaves_the_one_before(tmp_path):
    desk, drafts = TerminalDesk(tmp_path / "out" / "model"), {"small": 1_000, "large": 100_000}
    for name, size in drafts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(bytes(size))
    desk.candidate(tmp_path / "small", {}, True, "")
    with nothing_above(20_000), pytest.raises(OutOfSpace, match="no space left for the model"):
        desk.candidate(tmp_path / "large", {}, True, "")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]
    assert (tmp_path / "out" / "model" / "weights").stat().st_size == 1_000
    desk.candidate(tmp_path / "large", {}, True, "")
    assert (tmp_path / "out" / "model" / "weights").stat().st_size == 100_000


def test_a_checkpoint_that_does_not_fit_is_said_and_leaves_the_one_before(tmp_path):
    small, large = torch.nn.Linear(2, 2), torch.nn.Linear(200, 200)
    checkpoint.save(tmp_path, Memory({"net": small}, facts={"step": 1}))
    with nothing_above(20_000), pytest.raises(OutOfSpace, match="training goes on"):
        checkpoint.save(tmp_path, Memory({"net": large}, facts={"step": 2}))
    assert checkpoint.facts_of(tmp_path) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_results_that_cannot_be_written_are_said_before_anything_is_computed(cases, tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    assert "choose another --out" in refused(training(cases, tmp_path / "file"), capsys)
    assert main(training(cases, tmp_path / "out")) == 0
    capsys.readouterr()
    asked = ["predict", "--model", str(tmp_path / "out" / "model"), "--images", str(cases / "images")]
    assert "choose another --out" in refused([*asked, "--out", str(tmp_path / "file")], capsys)
    for name in ("anna.nii.gz", "labels.json"):
        there = tmp_path / name.split(".")[0] / name
        there.parent.mkdir()
        there.write_text("corrected by hand")
        assert f"'{there}' is there already" in refused([*asked, "--out", str(there.parent)], capsys)
        assert there.read_text() == "corrected by hand"
        assert len(list(there.parent.iterdir())) == 1
    with nothing_above(10):
        assert "could not be written" in refused([*asked, "--out", str(tmp_path / "p")], capsys)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a name is always Unicode")
def test_a_name_that_is_not_utf_8_is_refused_and_does_not_end_the_process(cases, tmp_path, capsys):
    image = cases / "images" / "anna.nii.gz"
    strange = image.with_name(os.fsdecode(b"z\xfcrich.nii.gz"))
    image.rename(strange)
    assert r"z\udcfcrich.nii.gz' is not written in UTF-8; rename it." in refused(
        training(cases, tmp_path / "a"), capsys
    )
    asked = ["predict", "--model", str(tmp_path), "--images", str(strange), "--out", str(tmp_path / "p")]
    assert "not written in UTF-8" in refused(asked, capsys)
    strange.rename(image)
    out = tmp_path / os.fsdecode(b"\xfc")
    assert "not written in UTF-8" in refused(training(cases, out), capsys)
    assert not out.exists()


@pytest.mark.parametrize(("name", "words"), [("x.dcm", "neither NIfTI nor NRRD"), ("gone.nii.gz", "There is no file")])
def test_predict_refuses_other_kinds_and_absent_files_before_it_loads_the_model(tmp_path, capsys, name, words):
    (tmp_path / "x.dcm").write_bytes(b"DICM")
    asked = ["predict", "--model", str(tmp_path), "--images", str(tmp_path / name), "--out", str(tmp_path / "p")]
    assert words in refused(asked, capsys)
    assert not (tmp_path / "p").exists()


Card = dict[str, Any]
DAMAGED: dict[str, tuple[Callable[[Card], object], str]] = {
    "no object": (lambda card: [], "is no JSON object"),
    "another format": (lambda card: card | {"format": 9}, "has format 9"),
    "no network": (lambda card: card | {"network": {}}, "is damaged (KeyError('dims'))"),
    "no preprocessing": (lambda card: card | {"preprocess": None}, "is damaged (TypeError"),
    "no classes": (lambda card: {name: card[name] for name in card if name != "labels"}, "KeyError('labels')"),
    "a class less": (lambda card: card | {"labels": card["labels"][:-1]}, "names 3 classes, its network has 4"),
    "another width": (lambda card: card | {"network": card["network"] | {"channels": [8, 8, 8]}}, "do not fit"),
}


@pytest.fixture(scope="module")
def a_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("damaged")
    image, labels = phantom(SHAPE)
    cases = write_cases(place / "cases", image, annotate(labels, every=2))
    assert main(training(cases, place / "out", "--set=steps=1")) == 0
    return place / "out" / "model"


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_model_folder_gets_one_sentence(a_model, tmp_path, capsys, name):
    spoil, words = DAMAGED[name]
    model = shutil.copytree(a_model, tmp_path / "model")
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps(spoil(card)))
    image = a_model.parents[1] / "cases" / "images"
    asked = ["predict", "--model", str(model), "--images", str(image), "--out", str(tmp_path / "p"), "--device", "cpu"]
    assert words in refused(asked, capsys)


def turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def affine_of(axes: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = axes * np.asarray(spacing)
    affine[:3, 3] = 12.5, -30.25, 7.0
    return affine


UNUSUAL = {
    "one slice": ((1, 48, 48), affine_of(np.eye(3), (0.8, 0.8, 5.0))),
    "anisotropy 1:20": ((9, 48, 48), affine_of(np.eye(3), (0.5, 0.5, 10.0))),
    "oblique": ((9, 48, 48), affine_of(turned(25), (1.0, 1.0, 3.0))),
    "left-handed": ((9, 48, 48), affine_of(np.diag([1.0, 1.0, -1.0]), (1.0, 1.0, 2.0))),
    "slices along the first axis": ((9, 48, 48), affine_of(np.eye(3)[[2, 0, 1]], (1.0, 1.0, 4.0))),
}


def lies_on(path: Path, other: Path) -> bool:
    one, two = sitk.ReadImage(str(path)), sitk.ReadImage(str(other))
    numbers = ((*i.GetSpacing(), *i.GetOrigin(), *i.GetDirection()) for i in (one, two))
    return one.GetSize() == two.GetSize() and np.allclose(*numbers, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "suffix"), [(name, ".nii.gz") for name in UNUSUAL] + [("one slice", ".nrrd")])
def test_unusual_geometry_is_learnt_and_predicted_in_its_own_grid(tmp_path, name, suffix):
    shape, affine = UNUSUAL[name]
    image, truth = phantom((9, 48, 48))
    first = (9 - shape[0]) // 2
    image, truth = image[first : first + shape[0]], truth[first : first + shape[0]]
    cases = write_cases(tmp_path / "cases", image, annotate(truth, every=2), affine)
    for folder in ("images", "scribbles"):
        whole = sitk.ReadImage(str(cases / folder / "anna.nii.gz"))
        (cases / folder / "anna.nii.gz").unlink()
        flat = shape[0] == 1 and suffix == ".nrrd"  # two axes in the file, too
        sitk.WriteImage(whole[:, :, 0] if flat else whole, str(cases / folder / f"anna{suffix}"))
    given, out = cases / "images" / f"anna{suffix}", tmp_path / "out"
    assert main(training(cases, out)) == 0
    shown = out / "segmentations" / given.name
    assert lies_on(shown, given)
    assert np.mean(list(dice_by_class(read_labels(shown).array, truth, (1, 2, 3)).values())) > 0.6
    asked = ["predict", "--model", str(out / "model"), "--images", str(given), "--device", "cpu"]
    assert main([*asked, "--out", str(tmp_path / "p")]) == 0
    predicted = tmp_path / "p" / given.name
    assert lies_on(predicted, given)
    assert set(np.unique(read_labels(predicted).array)) <= {0, 1, 2, 3}

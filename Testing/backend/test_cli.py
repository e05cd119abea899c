"""The command line as a user meets it: sentences, exit codes, files."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.method_settings import SETTINGS
from training_backend.cli import bench_pushback, demo, doctor
from training_backend.cli.bench_document import put_section
from training_backend.cli.bench_loop import growcut_as_it_is
from training_backend.cli.bench_rows import BenchRow, result, summary, write
from training_backend.cli.main import main, parser
from training_backend.cli.progress import ProgressBar, duration
from training_backend.data.annotator import annotate
from training_backend.data.cases import write_volume
from training_backend.data.growcut import growcut
from training_backend.data.phantom import phantom

TINY = [f"--set={text}" for text in ("channels=4", "levels=2", "slice_size=32", "volume_size=32", "device=cpu")]
CLASSES = {"1": {"name": "ball"}, "2": {"name": "shell"}, "3": {"name": "rod"}}


@pytest.fixture
def a_case_folder(tmp_path: Path) -> Path:
    """One scribbled, one densely labelled and one unlabelled phantom."""
    root, affine = tmp_path / "cases", np.diag([-1.0, 1.0, 4.0, 1.0])
    for number, name in enumerate(("anna", "ben", "cleo")):
        image, labels = phantom((8, 32, 32), seed=number)
        write_volume(root / "images" / f"{name}.nii.gz", image, affine)
        if name == "anna":
            write_volume(root / "scribbles" / f"{name}.nii.gz", annotate(labels, every=2), affine)
        if name == "ben":
            write_volume(root / "labels" / f"{name}.nii.gz", labels, affine)
    (root / "labels.json").write_text(json.dumps({"classes": CLASSES, "unlabelled": 255}))
    return root


def a_training(cases: Path, out: Path, *more: str, method: str = "scribble") -> list[str]:
    return ["train", method, "--cases", str(cases), "--out", str(out), "--seconds", "30", *TINY, *more]


def test_training_writes_a_model_and_label_maps_that_predict_repeats(a_case_folder, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copy(a_case_folder / "labels" / "ben.nii.gz", a_case_folder / "labels" / "anna.nii.gz")
    assert main(a_training(a_case_folder, out, "--set=steps=3")) == 0
    assert {path.name for path in (out / "model").iterdir()} == {"card.json", "weights.safetensors"}
    told = capsys.readouterr().out
    assert "anna: Dice" in told
    assert "ben: Dice" not in told  # it was taught those labels, and shows them
    image = a_case_folder / "images" / "cleo.nii.gz"
    assert main(["predict", "--model", str(out / "model"), "--images", str(image), "--out", str(tmp_path / "p")]) == 0
    predicted = sitk.ReadImage(str(tmp_path / "p" / "cleo.nii.gz"))
    trained = sitk.ReadImage(str(out / "segmentations" / "cleo.nii.gz"))
    given = sitk.ReadImage(str(image))
    assert predicted.GetOrigin() == given.GetOrigin()
    assert predicted.GetDirection() == given.GetDirection()
    assert predicted.GetSpacing() == given.GetSpacing()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(predicted), sitk.GetArrayFromImage(trained))
    assert json.loads((tmp_path / "p" / "labels.json").read_text())["classes"]["2"]["name"] == "shell"
    more = str(a_case_folder / "images" / "anna.nii.gz")
    assert main(["predict", "--model", str(out / "model"), "--images", more, "--out", str(tmp_path / "p")]) == 0
    assert len(list((tmp_path / "p").iterdir())) == 3


def test_supervised_takes_dense_labels_only(a_case_folder, tmp_path, capsys):
    assert main(a_training(a_case_folder, tmp_path / "out", "--set=steps=2", method="supervised")) == 0
    assert "on 1 annotated cases, 2 more" in capsys.readouterr().out


def test_values_that_are_taken_as_classes_are_told(a_case_folder, tmp_path, capsys):
    (a_case_folder / "labels.json").unlink()
    (a_case_folder / "scribbles" / "anna.nii.gz").unlink()
    assert main(a_training(a_case_folder, tmp_path / "out", "--set=steps=1", method="supervised")) == 0
    told = capsys.readouterr().out
    assert "the values 1, 2, 3 are taken as classes; name them in labels.json." in told
    assert "ben: Dice" in told


def test_every_setting_is_listed_with_the_default_of_its_preset_its_range_and_a_hint(capsys):
    assert main(["train", "one_shot", "--settings"]) == 0
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == {"setting", *(field.name for field in fields(SETTINGS["one_shot"]))}
    assert lines["seconds"] == "150.0 1..86400 time budget of training in seconds, previews included"
    assert lines["steps"].startswith("null 1 or more, null end after")
    assert lines["several_scales"].startswith("false true, false, null average")
    assert lines["hint_of"].startswith("voxel voxel, volume a cosine")


def test_train_asks_for_cases(capsys):
    assert main(["train", "scribble"]) == 2
    assert "--cases DIR" in capsys.readouterr().err


def test_the_readme_names_every_switch_of_every_command():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (commands,) = [action for action in parser()._actions if action.dest == "command"]
    for name, command in commands.choices.items():
        told = " ".join(line for line in readme.splitlines() if line.startswith(f"| `kdseg {name}"))
        switches = {switch for action in command._actions for switch in action.option_strings} - {"-h", "--help"}
        assert not {switch for switch in switches if switch not in told}, name


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set=secnds=3"], "Did you mean 'seconds'?"),
        (["--set=seconds"], "write key=value"),
        (["--seconds", "-3"], "must lie in"),
        (["--set=device=gpu"], "must be one of"),
        (["--set=steps=0"], "'steps' must be at least 1, got 0."),
        (["--set=cut_mix=0"], "write true or false"),
        (["--preset", "finest"], "no preset 'finest'"),
        (["--assistant", "."], "leave out --assistant"),
        (["--cases", "nowhere"], "has no images"),
    ],
)
def test_a_wrong_request_gets_one_sentence_and_exit_code_2(a_case_folder, tmp_path, capsys, more, words):
    assert main(a_training(a_case_folder, tmp_path / "out", *more)) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


def test_an_unknown_method_is_told_the_known_ones(a_case_folder, tmp_path, capsys):
    assert main(a_training(a_case_folder, tmp_path / "out", method="scrible")) == 2
    assert "scribble" in capsys.readouterr().err


def without_strokes_of(cases: Path, absent: tuple[int, ...]) -> None:
    (cases / "labels" / "ben.nii.gz").unlink()
    path = cases / "scribbles" / "anna.nii.gz"
    image = sitk.ReadImage(str(path))
    strokes = sitk.GetArrayFromImage(image)
    strokes[np.isin(strokes, absent)] = 255
    changed = sitk.GetImageFromArray(strokes)
    changed.CopyInformation(image)
    sitk.WriteImage(changed, str(path))


@pytest.mark.parametrize(
    ("absent", "words"), [((0,), "background has no stroke"), ((3,), "'rod' (3)"), ((1, 2, 3, 0), "empty")]
)
def test_missing_strokes_are_named(a_case_folder, tmp_path, capsys, absent, words):
    without_strokes_of(a_case_folder, absent)
    assert main(a_training(a_case_folder, tmp_path / "out")) == 2
    assert words in capsys.readouterr().err


def test_a_missing_background_can_be_added_automatically(a_case_folder, tmp_path):
    without_strokes_of(a_case_folder, (0,))
    assert main(a_training(a_case_folder, tmp_path / "out", "--automatic-background", "--set=steps=1")) == 0


def test_a_case_folder_without_annotation_says_what_to_add(a_case_folder, tmp_path, capsys):
    (a_case_folder / "labels" / "ben.nii.gz").unlink()
    (a_case_folder / "scribbles" / "anna.nii.gz").unlink()
    assert main(a_training(a_case_folder, tmp_path / "out")) == 2
    assert "annotate at least one case" in capsys.readouterr().err


def test_predict_refuses_what_is_no_model_and_never_overwrites_images(a_case_folder, tmp_path, capsys):
    images = str(a_case_folder / "images")
    assert main(["predict", "--model", str(tmp_path), "--images", images, "--out", str(tmp_path / "p")]) == 2
    assert "not a model folder" in capsys.readouterr().err
    assert main(["predict", "--model", str(tmp_path), "--images", images, "--out", images]) == 2
    assert "overwritten" in capsys.readouterr().err


def test_predict_goes_on_past_a_bad_image_and_then_tells_of_it(a_case_folder, tmp_path, capsys):
    assert main(a_training(a_case_folder, tmp_path / "out", "--set=steps=1")) == 0
    (a_case_folder / "images" / "bad.nii.gz").write_text("no image")
    model, images = str(tmp_path / "out" / "model"), str(a_case_folder / "images")
    assert main(["predict", "--model", model, "--images", images, "--out", str(tmp_path / "p")]) == 2
    assert "'bad.nii.gz'" in capsys.readouterr().err
    assert len(list((tmp_path / "p").glob("*.nii.gz"))) == 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_ctrl_c_stops_and_keeps_the_best(a_case_folder, tmp_path):
    command = [sys.executable, "-m", "training_backend.cli.main", *a_training(a_case_folder, tmp_path / "out")]
    command[command.index("--seconds") + 1] = "600"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "out" / "model").is_dir() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert "best so far is kept" in told
    assert (tmp_path / "out" / "segmentations" / "cleo.nii.gz").is_file()


def test_the_demo_replaces_its_own_results_only_and_leaves_what_lies_beside_them(tmp_path, capsys):
    out, draft = tmp_path / "out", tmp_path / "draft"
    for folder in (out / "pictures", out / "browser", draft / "pictures"):
        folder.mkdir(parents=True)
    mine, new = out / "pictures" / "mine.png", draft / "pictures" / "unsure.png"
    mine.write_text("mine")
    assert main(["demo", "--out", str(out)]) == 2
    assert "holds 'pictures', which no demo has written; choose another --out folder." in capsys.readouterr().err
    (out / "report.json").write_text('{"title": "a report of mine"}')
    assert main(["demo", "--out", str(out)]) == 2
    new.write_text("new")
    demo.put_in_place(draft, out)
    assert mine.read_text() == "mine"
    assert (out / "pictures" / "unsure.png").read_text() == "new"
    assert (out / "browser").is_dir()


@pytest.mark.parametrize(
    ("words", "seconds", "seed"),
    [
        ([], demo.SECONDS, None),
        (["--set=seconds=30", "--set=seed=3"], 30, 3),
        (["--set=seconds=30", "--seconds=20"], 20, None),
    ],
)
def test_the_demo_takes_seconds_and_seed_as_options_and_as_settings(words, seconds, seed):
    found = demo._settings(parser().parse_args(["demo", *words]))
    assert found["seconds"] == seconds
    assert found.get("seed") == seed


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
def test_ctrl_c_before_the_demo_has_a_model_writes_nothing(tmp_path):
    pytest.importorskip("slicer")
    (tmp_path / "notes.txt").write_text("mine")
    command = [sys.executable, "-u", "-m", "training_backend.cli.main", "demo", "--out", str(tmp_path)]
    process = subprocess.Popen([*command, *TINY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "[" not in process.stdout.readline():
        pass
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2, told
    assert told.endswith("Stopped before there was a model; nothing was written.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_the_demo_runs_the_loop_and_writes_everything(tmp_path):
    pytest.importorskip("slicer")
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "training_backend.cli.main", "demo", "--seconds", "12", "--out", str(out), *TINY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    names = {"scene.mrb", "segmentation.seg.nrrd", "model", "report.html", "report.json", "pictures"}
    assert {path.name for path in out.iterdir()} == names
    report = json.loads((out / "report.json").read_text())
    for state in ("first_preview", "growcut", "student"):
        assert set(report["dice"][state]) >= {"ribs", "left lung", "mean"}
    assert report["seconds"]["first_preview"] < report["seconds"]["total"] < 280
    assert set(report["correction"]) >= {"class", "before", "after"}
    assert report["dice"]["student"]["mean"] >= report["dice"]["first_preview"]["mean"] - 0.02
    segmentation = sitk.ReadImage(str(out / "segmentation.seg.nrrd"))
    header = " ".join(segmentation.GetMetaData(key) for key in segmentation.GetMetaDataKeys() if "Segment" in key)
    assert "left lung" in header
    assert "TerminologyEntry" in header
    assert "report.html" in done.stdout
    assert "left" in done.stdout


def test_the_bar_shows_time_left_and_keeps_logs_short():
    stream = io.StringIO()
    bar = ProgressBar(stream)
    for step in range(50):
        bar.update(step / 50, 50.0 - step, f"step {step}")
    assert stream.getvalue().count("\n") == 1
    assert "50 s left" in stream.getvalue()
    assert duration(150.2) == "2 min 30 s"


def test_the_doctor_names_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "NEEDED", ("numpy", "no-such-package"))
    assert [finding.good for finding in doctor.packages()] == [True, False]
    assert "no-such-package" in doctor.packages()[1].sentence
    monkeypatch.setattr(doctor, "FREE_BYTES", 10**18)
    assert not doctor.disk(tmp_path).good
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not doctor.port(taken.getsockname()[1]).good


@pytest.mark.alone
def test_bringing_results_into_the_scene_is_equal_and_cheaper_than_an_import():
    pytest.importorskip("slicer")
    found = bench_pushback.measure((80, 256, 256), repeats=2)
    assert found["pushback_full_vs_gzip_nrrd"] < 1 / 3
    assert found["pushback_local_vs_gzip_nrrd"] < 1 / 10
    assert found["scene_update_vs_import"] < 1


def test_the_benchmark_update_is_everywhere_and_the_edit_is_local():
    before = bench_pushback.blobs((60, 128, 128))
    full, local = bench_pushback.everywhere(before), bench_pushback.one_edit(before)
    assert 0.0003 < (full != before).mean() < 0.004
    assert len(np.unique(np.argwhere(full != before)[:, 0])) > 20
    assert np.ptp(np.argwhere(local != before)[:, 0]) < 20


def a_row(method: str, seed: int, budget: float | None, mean: float, spent: float = 3.0) -> BenchRow:
    taken = spent if budget is None else budget
    scores = {"x": mean}, {"x": mean}, {"x": 2.0}
    return BenchRow(method, "scribbled", "ct", seed, "a", budget, taken, *scores, mean, spent)


def test_the_summary_groups_by_method_setting_data_and_budget():
    rows = [a_row("scribble", seed, budget, 0.4 + 0.1 * seed) for seed in range(3) for budget in (30.0, 60.0)]
    rows += [a_row("growcut", 0, None, 0.5, spent=1.0), a_row("growcut", 1, None, 0.6, spent=3.0)]
    lines = summary(rows)
    found = [(line["method"], line["cpu_seconds"], line["n"]) for line in lines]
    assert found == [("scribble", 30.0, 3), ("scribble", 60.0, 3), ("growcut", 2.0, 2)]
    assert lines[0]["mean_dice"] == pytest.approx(0.5)
    assert lines[0]["ci"][0] <= 0.5 <= lines[0]["ci"][1]
    assert lines[0]["class_dice"] == {"x": 0.5}
    assert lines[0]["seeds"] == 3


def test_a_table_of_several_runs_counts_every_measurement_once(tmp_path, capsys):
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    grown, drawn = a_row("growcut", 0, None, 0.5), replace(a_row("growcut_of_drawn", 0, None, 0.6), seed=None)
    for number, file in enumerate(files):
        rows = [grown, drawn, a_row("scribble", number, 60.0, 0.7)]
        write(file, result(rows, "kdseg bench scribble --seeds 1", {}))
    assert main(["bench", "table", "--json", *map(str, files)]) == 0
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if " | " in line]
    ends = {cells[2]: cells[-2:] for cells in lines}
    assert ends["growcut"] == ["1", "1 |"]
    assert ends["growcut_of_drawn"] == ["–", "1 |"]
    assert ends["scribble"] == ["2", "2 |"]


NO_RUNS = {"xx": "xx", "an object": "{}", "a list": "[]", "no rows": '{"command": "kdseg bench loop", "rows": []}'}


@pytest.mark.parametrize("content", [*NO_RUNS.values(), None])
def test_a_table_of_what_is_no_run_gets_one_sentence(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    for file in (tmp_path / "run.json", tmp_path):
        assert main(["bench", "table", "--json", str(file)]) == 2
        told = capsys.readouterr().err
        assert f"'{file}'" in told
        assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("scribble --data . --seeds 0", "--seeds must be at least 1"),
        ("scribble --data . --seconds 60 -1", "--seconds must be at least 1"),
        ("scribble --data . --json one_file/x.json", "cannot be written to"),
        ("loop --only scene --json .", "is a folder"),
        ("loop --only ct --data .", "The part 'acdc', and it alone, needs --data"),
        ("loop --json one.json two.json", "give one name"),
        ("loop --device cuda", "does not use --device"),
        ("loop --first-seed 2", "does not use --first-seed"),
        ("scribble --data . --assistant .", "does not use --assistant"),
        ("one_shot --data . --elsewhere .", "does not use --elsewhere"),
        ("browser --seconds 5", "does not use --seconds"),
        ("table --data .", "does not use --data"),
    ],
)
def test_a_bench_says_before_it_measures_what_it_cannot_do(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one_file").write_text("no folder")
    assert main(["bench", *words.split()]) == 2
    assert told in capsys.readouterr().err


def test_a_bench_names_its_data_by_the_folder_wherever_it_is_called_from(tmp_path, monkeypatch):
    (tmp_path / "hearts").mkdir()
    monkeypatch.chdir(tmp_path / "hearts")
    options = parser().parse_args(["bench", "shape_intensity", "--data", ".", "--elsewhere", "../hearts"])
    assert [options.data.name, options.elsewhere[0].name] == ["hearts", "hearts"]


def test_a_new_run_replaces_its_table_and_leaves_the_words_around_it(tmp_path):
    document = tmp_path / "BENCHMARKS.md"
    document.write_text("# Benchmarks\n\nWords before.\n")
    put_section(document, result([a_row("scribble", 0, 60.0, 0.5)], "kdseg bench scribble --seeds 1", {}))
    document.write_text(document.read_text() + "\nWords after.\n")
    put_section(document, result([a_row("scribble", 0, 60.0, 0.7)], "kdseg bench scribble --seeds 2", {}))
    text = document.read_text()
    assert "0.700" in text
    assert "0.500" not in text
    assert text.count("## scribble on ct") == 1
    assert "--seeds 2" in text
    assert text.index("Words before.") < text.index("0.700") < text.index("Words after.")


def test_the_plain_growcut_loses_strokes_on_the_border_and_the_padded_one_does_not():
    pytest.importorskip("slicer")
    image, truth = phantom((12, 40, 40))
    strokes = annotate(truth)
    inner = np.zeros(truth.shape, bool)
    inner[1:-1, 1:-1, 1:-1] = True
    plain, padded = growcut_as_it_is(image, strokes), growcut(image, strokes)
    assert (plain == padded)[inner].mean() > 0.98
    edge = np.full(truth.shape, UNLABELLED, np.uint8)
    edge[0, 5:35, 20], edge[6, 5, 20] = 1, 0
    assert (growcut_as_it_is(image, edge) == 1).mean() < (growcut(image, edge) == 1).mean()

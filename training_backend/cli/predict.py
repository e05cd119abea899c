"""``kdseg predict --model DIR --images PATH… --out DIR``: label maps in each input's own geometry."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from slicer_kdseg.protocol.errors import BadRequest, KDSegError, OutOfSpace
from slicer_kdseg.protocol.labels import LabelContract
from training_backend.cli.progress import ProgressBar
from training_backend.cli.results_folder import writable
from training_backend.data.cases import check_file, image_files, read_image, write_labels

BOOK = "labels.json"


def add_to(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("predict", help="segment images with a model folder")
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a folder with card.json")
    parser.add_argument("--images", type=Path, required=True, nargs="+", metavar="PATH", help="files or folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="nothing there is overwritten")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Every readable image is segmented; unreadable ones are told at the end, with exit code 2."""
    from training_backend.export.model import load_model

    files = _files(options.images, options.out)
    model = load_model(options.model, options.device)
    book = _book(model.labels)
    _refuse_another_book(options.out, book)
    writable(options.out)
    bar, refused = ProgressBar(), []
    begun = time.monotonic()
    for done, path in enumerate(files):
        left = None if not done else (time.monotonic() - begun) / done * (len(files) - done)
        bar.update(done / len(files), left, path.name)
        try:
            volume = read_image(path)
            write_labels(options.out / path.name, model.predict(volume.array, volume.affine), path)
        except KDSegError as error:
            refused.append(error.sentence)
    bar.close()
    _write_book(options.out, book)
    print(f"Wrote {len(files) - len(refused)} label maps and {BOOK} to {options.out}.")
    if refused:
        raise BadRequest(" ".join(refused))
    return 0


def _files(paths: list[Path], out: Path) -> list[Path]:
    files = [file for path in paths for file in (image_files(path) if path.is_dir() else [path])]
    if not files:
        raise BadRequest("There is no NIfTI or NRRD image at the given place; check --images.")
    for file in files:
        check_file(file)
        if file.resolve() == (out / file.name).resolve():
            raise BadRequest(f"'{file}' would be overwritten by its own label map; choose another --out folder.")
    names = [file.name for file in files]
    if len(set(names)) < len(names):
        raise BadRequest("Two images have the same file name; predict them into different --out folders.")
    for name in names:
        if (out / name).exists():
            raise BadRequest(f"'{out / name}' is there already; choose another --out folder.")
    return files


def _book(contract: LabelContract) -> str:
    classes = {str(label.id): {"name": label.name, "color": list(label.color)} for label in contract.foreground}
    return json.dumps({"classes": classes}, indent=2) + "\n"


def _refuse_another_book(out: Path, book: str) -> None:
    """More images of the same model may come into the same folder."""
    path = out / BOOK
    if path.exists() and not (path.is_file() and path.read_text(encoding="utf-8", errors="replace") == book):
        raise BadRequest(f"'{path}' is there already and names other classes; choose another --out folder.")


def _write_book(out: Path, book: str) -> None:
    try:
        (out / BOOK).write_text(book, encoding="utf-8")
    except OSError as problem:
        raise OutOfSpace(f"'{out / BOOK}' could not be written ({problem.strerror}); free some space.") from None

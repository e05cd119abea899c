"""The case folder: ``images/`` and, by the same file name, ``labels/`` (dense) or ``scribbles/``.

    cases/
    ├── images/      anna.nii.gz  ben.nrrd  cleo.nii.gz
    ├── scribbles/   anna.nii.gz  ben.seg.nrrd
    ├── labels/      (dense label maps, same names)
    └── labels.json  {"classes": {"1": {"name": "liver", "color": [0.8, 0.3, 0.2]}}, "unlabelled": 4}

Without ``labels.json`` the classes are read from ``.seg.nrrd`` headers, else from the values found.
"""

from __future__ import annotations

import json
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slicer_kdseg.protocol.errors import BadAnnotation, BadImage
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelClass, LabelContract
from training_backend.data.cases import Case, Volume, image_files, on_grid_of, read_image, read_labels, stem
from training_backend.data.segments import contract_of, is_background, segment_classes

Found = tuple[Path, Volume]


@dataclass(frozen=True)
class CaseFolder:
    """All cases on one label contract; ``notes`` are sentences about what had to be assumed."""

    contract: LabelContract
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()


def read_case_folder(folder: Path, only: tuple[str, ...] = ()) -> CaseFolder:
    """Read every case, or those whose names are in ``only``. Raises BadImage and BadAnnotation, naming the file."""
    images = folder / "images"
    files = [path for path in image_files(images) if not only or stem(path) in only] if images.is_dir() else []
    if not files:
        raise BadImage(f"'{folder}' has no images; put NIfTI or NRRD files into '{images}'.")
    _no_namesakes(files)
    read = {path: read_image(path) for path in files}
    scribbles = {path: _labels_for(path, folder / "scribbles") for path in files}
    labels = {path: _labels_for(path, folder / "labels") for path in files}
    said, file_value, notes = _classes_said(folder, list(scribbles.values()), list(labels.values()))
    cases = []
    for path, image in read.items():
        drawn = _on_contract(scribbles[path], image, path, file_value, scribbled=True)
        dense = _on_contract(labels[path], image, path, file_value, scribbled=False)
        cases.append(Case(stem(path), image.array, image.affine, drawn, dense, path))
    if not said:
        said = _classes_found(cases)
        values = ", ".join(str(label.id) for label in said)
        notes += (f"The classes have no names: the values {values} are taken as classes; name them in labels.json.",)
    contract = contract_of(said)
    for case in cases:
        _inside_contract(case, contract)
    return CaseFolder(contract, tuple(cases), notes)


def _no_namesakes(images: list[Path]) -> None:
    by_name: dict[str, Path] = {}
    for path in images:
        other = by_name.setdefault(stem(path), path)
        if other is not path:
            raise BadImage(f"'{other.name}' and '{path.name}' have the same name; rename one of them.")


def _labels_for(image: Path, folder: Path) -> Found | None:
    found = [path for path in image_files(folder) if stem(path) == stem(image)] if folder.is_dir() else []
    if len(found) > 1:
        raise BadAnnotation(f"'{found[0].name}' and '{found[1].name}' both belong to '{image.name}'; keep one of them.")
    return (found[0], read_labels(found[0])) if found else None


def _classes_said(
    folder: Path, scribbles: list[Found | None], labels: list[Found | None]
) -> tuple[tuple[LabelClass, ...], int | None, tuple[str, ...]]:
    """Classes from labels.json or file headers (empty: not said), the files' unlabelled value, notes."""
    book = folder / "labels.json"
    if book.is_file():
        return *_read_book(book), ()
    classes: dict[int, LabelClass] = {}
    for path, volume in [item for item in (*scribbles, *labels) if item]:
        for label in segment_classes(volume.header):
            if classes.setdefault(label.id, label).name != label.name:
                raise BadAnnotation(
                    f"'{path.name}' calls the label value {label.id} '{label.name}', other files"
                    f" '{classes[label.id].name}'; give one class one value or write a labels.json."
                )
    plain = [item[1].array for item in scribbles if item and not item[1].header]
    if not plain:
        return tuple(classes.values()), None, ()
    value = _unlabelled_value(plain)
    note = f"There is no labels.json: {value}, the value of most voxels in the scribble files, is taken as unlabelled."
    return tuple(classes.values()), value, () if value == UNLABELLED else (note,)


def _unlabelled_value(scribbles: list[np.ndarray]) -> int:
    counts = sum(np.bincount(array.ravel(), minlength=256) for array in scribbles)
    value = int(np.argmax(counts))
    if value == BACKGROUND or value != max(np.flatnonzero(counts)):
        raise BadAnnotation(
            f"Most voxels of the scribble files hold {value} and it is not clear which value means unlabelled;"
            ' say it in labels.json: {"classes": {...}, "unlabelled": 255}, with 0 for background strokes.'
        )
    return value


def _read_book(path: Path) -> tuple[tuple[LabelClass, ...], int | None]:
    try:
        book = json.loads(path.read_text(encoding="utf-8"))
        classes = tuple(
            LabelClass(int(id_), str(entry["name"]), _color(entry.get("color", (0.5, 0.5, 0.5))))
            for id_, entry in book["classes"].items()
        )
        value = book.get("unlabelled")
        return classes, None if value is None else int(value)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BadAnnotation(
            f"'{path}' is not a label contract ({problem!r});"
            ' write {"classes": {"1": {"name": "liver", "color": [0.8, 0.3, 0.2]}}, "unlabelled": 4}.'
        ) from None


def _color(value: object) -> tuple[float, float, float]:
    if isinstance(value, str):
        digits = value.lstrip("#")
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    else:
        parts = [float(part) for part in value]  # type: ignore[attr-defined]
        if max(parts) > 1:
            parts = [part / 255 for part in parts]
    red, green, blue = parts
    return red, green, blue


def _on_contract(
    found: Found | None, image: Volume, image_path: Path, file_value: int | None, scribbled: bool
) -> np.ndarray | None:
    """Labels on the image's grid with the project's values; in a Slicer segmentation 0 means "nothing drawn"."""
    if found is None:
        return None
    path, volume = found
    from_slicer = bool(segment_classes(volume.header))
    empty = UNLABELLED if scribbled else BACKGROUND
    array = on_grid_of(
        volume, image, BACKGROUND if from_slicer else (file_value or empty), (path.name, image_path.name)
    )
    if not from_slicer:
        return array if file_value is None else np.where(array == file_value, UNLABELLED, array).astype(np.uint8)
    result = np.where(array == 0, empty, array).astype(np.uint8)
    for label in segment_classes(volume.header):
        if is_background(label):
            result[array == label.id] = BACKGROUND
    return result


def _classes_found(cases: list[Case]) -> tuple[LabelClass, ...]:
    arrays = [array for case in cases for array in (case.scribbles, case.labels) if array is not None]
    ids = sorted({int(id_) for array in arrays for id_ in np.unique(array)} - {BACKGROUND, UNLABELLED})
    if not ids:
        raise BadAnnotation("No case has a label or a scribble of any class; annotate at least one case.")
    return tuple(LabelClass(id_, f"class {id_}", hsv_to_rgb(n / len(ids), 0.7, 0.9)) for n, id_ in enumerate(ids))


def _inside_contract(case: Case, contract: LabelContract) -> None:
    for kind, array in (("scribbles", case.scribbles), ("labels", case.labels)):
        if array is None:
            continue
        strange = sorted(set(np.unique(array).tolist()) - {*contract.ids, UNLABELLED})
        if strange:
            raise BadAnnotation(
                f"The {kind} of '{case.name}' hold the values {strange}, which are no class of the label contract"
                f" {list(contract.ids)}; add them to labels.json or correct the file."
            )

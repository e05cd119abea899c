"""A review as two files that need nothing of ours: a table (CSV) and a page (HTML)."""

from __future__ import annotations

import csv
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slicer_kdseg.protocol.errors import BadAnnotation, OutOfSpace
from slicer_kdseg.scene.review import ClassDifference, ReviewCase, differences

COLUMNS = (
    "case",
    "prediction",
    "model",
    "job",
    "step",
    "verdict",
    "reader",
    "time",
    "note",
    "class",
    "predicted_ml",
    "reviewed_ml",
    "dice",
    "changed_voxels",
)


@dataclass(frozen=True)
class ReportFiles:
    table: Path
    page: Path


def write_report(cases: Sequence[ReviewCase], folder: Path) -> ReportFiles:
    """``kdseg_review.csv`` and ``kdseg_review.html`` in ``folder``. Raises :class:`OutOfSpace`."""
    rows = [row for case in cases for row in _rows(case)]
    files = ReportFiles(folder / "kdseg_review.csv", folder / "kdseg_review.html")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with files.table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(rows)
        files.page.write_text(_page(rows), encoding="utf-8")
    except OSError as error:
        raise OutOfSpace(
            f"The report could not be written to '{folder}' ({error.strerror}); choose another folder or free space."
        ) from error
    return files


def _rows(case: ReviewCase) -> list[tuple[str, ...]]:
    told = [case.prediction.GetAttribute(f"KDSeg.{name}") or "" for name in ("Model", "JobId", "Step")]
    about = (case.name, str(case.prediction.GetName()), *told, case.verdict, case.reader, case.time, case.note)
    try:
        found = differences(case)
    except BadAnnotation as error:
        return [(*about, error.sentence, "", "", "", "")]
    return [(*about, *_cells(row)) for row in found] or [(*about, "", "", "", "", "")]


def _cells(row: ClassDifference) -> tuple[str, ...]:
    dice = "" if row.dice is None else f"{row.dice:.4f}"
    return row.name, f"{row.predicted_ml:.2f}", f"{row.reviewed_ml:.2f}", dice, str(row.changed_voxels)


def _page(rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in COLUMNS)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>KDSeg review</title>'
        "<style>body{font-family:sans-serif}table{border-collapse:collapse}td,th{border:1px solid;padding:.2em .5em}"
        "</style><h1>Review</h1><p>Predictions are drafts; Dice compares the prediction with the reviewed copy.</p>\n"
        f"<table><tr>{head}</tr>\n{body}\n</table></html>\n"
    )

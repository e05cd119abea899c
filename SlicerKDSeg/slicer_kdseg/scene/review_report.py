"""A review as two files that need nothing of ours: a table (CSV) and a page (HTML)."""

from __future__ import annotations

import csv
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slicer_kdseg.protocol.errors import BadAnnotation, OutOfSpace
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.review import ClassDifference, ReviewCase, differences_later

Row = tuple[str, ...]
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


class ReviewReport:
    """The report of ``cases`` as they are now: the scene is asked here, the voxels are compared by :meth:`write`."""

    def __init__(self, cases: Sequence[ReviewCase]) -> None:
        self._rows = [_rows_later(case) for case in cases]
        self.cases = len(self._rows)
        self.done = 0

    def write(self, folder: Path) -> ReportFiles:
        """``kdseg_review.csv`` and ``kdseg_review.html`` in ``folder``, on any thread; ``done`` counts the cases.

        512 x 512 x 300 voxels take half a second a case. Raises :class:`OutOfSpace`.
        """
        rows: list[Row] = []
        for compare in self._rows:
            rows += compare()
            self.done += 1
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
                _(
                    "The report could not be written to '{folder}' ({reason}); choose another folder or free space."
                ).format(folder=folder, reason=error.strerror)
            ) from error
        return files


def _rows_later(case: ReviewCase) -> Callable[[], list[Row]]:
    told = [case.prediction.GetAttribute(f"KDSeg.{name}") or "" for name in ("Model", "JobId", "Step")]
    about = (case.name, str(case.prediction.GetName()), *told, case.verdict, case.reader, case.time, case.note)
    try:
        compare = differences_later(case)
    except BadAnnotation as error:
        refused = [(*about, error.sentence, "", "", "", "")]
        return lambda: refused
    return lambda: [(*about, *_cells(row)) for row in compare()] or [(*about, "", "", "", "", "")]


def _cells(row: ClassDifference) -> tuple[str, ...]:
    dice = "" if row.dice is None else f"{row.dice:.4f}"
    return row.name, f"{row.predicted_ml:.2f}", f"{row.reviewed_ml:.2f}", dice, str(row.changed_voxels)


def _page(rows: list[Row]) -> str:
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in COLUMNS)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>KDSeg review</title>'
        "<style>body{font-family:sans-serif}table{border-collapse:collapse}td,th{border:1px solid;padding:.2em .5em}"
        "</style><h1>Review</h1><p>Predictions are drafts; Dice compares the prediction with the reviewed copy.</p>\n"
        f"<table><tr>{head}</tr>\n{body}\n</table></html>\n"
    )

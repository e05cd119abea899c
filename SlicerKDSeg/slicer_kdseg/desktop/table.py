"""Rows of text into a QTableWidget, whose last column takes what room is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt


def fill_table(table: Any, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table.setColumnCount(len(head))
    table.setHorizontalHeaderLabels(list(head))
    table.setRowCount(len(rows))
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            cell = qt.QTableWidgetItem(text)
            cell.setToolTip(text)  # where the column is too narrow
            table.setItem(number, column, cell)
    for column in range(len(head) - 1):
        table.resizeColumnToContents(column)

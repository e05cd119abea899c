"""Rows of text into a QTableWidget."""

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
            table.setItem(number, column, qt.QTableWidgetItem(text))
    table.resizeColumnsToContents()

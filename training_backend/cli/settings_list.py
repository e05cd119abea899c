"""``kdseg train METHOD --settings``: everything that can be set, with its default, its range and what it does."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from typing import Any, Literal

from slicer_kdseg.protocol.settings import resolve


def settings_list(method: str, preset: str) -> str:
    """One line a setting; the defaults are those of ``preset``, written as ``--set`` takes them."""
    settings = resolve(method, preset)
    kinds = typing.get_type_hints(type(settings))
    rows = [("setting", "default", "range", "")]
    for field in dataclasses.fields(settings):
        default = getattr(settings, field.name)
        written = default if isinstance(default, str) else json.dumps(default)
        rows.append((field.name, written, _range(kinds[field.name], field.metadata), field.metadata["hint"]))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    )


def _range(kind: Any, limits: Mapping[str, Any]) -> str:
    """What fits; ``null`` where the run itself may choose, which the explanations call none."""
    if typing.get_origin(kind) is Literal:
        return ", ".join(typing.get_args(kind))
    kinds = typing.get_args(kind) or (kind,)
    or_none = ", null" if type(None) in kinds else ""
    if bool in kinds:
        return f"true, false{or_none}"
    return (
        f"{limits['low']} or more{or_none}" if limits["high"] is None else f"{limits['low']}..{limits['high']}{or_none}"
    )

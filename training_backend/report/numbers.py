"""``report.json``: the same story in numbers."""

from __future__ import annotations

import math
from typing import Any

from training_backend.report.story import Row, Story


def numbers(story: Story) -> dict[str, Any]:
    """Dice by class name and mean at the three states, seconds, the correction, and every row in full."""
    correction = story.correction
    return {
        "title": story.title,
        "subject": story.subject,
        "classes": {str(label.id): label.name for label in story.contract.foreground},
        "dice": {
            "first_preview": _dice(story, story.first_preview),
            "growcut": _dice(story, story.growcut),
            "student": _dice(story, story.student),
            **({} if story.model is None else {"model_alone": _dice(story, story.model)}),
        },
        "seconds": {"first_preview": round(story.first_preview_seconds, 3), "total": round(story.total_seconds, 3)},
        "correction": None
        if correction is None
        else {
            "class": correction.class_name,
            "before": round(correction.before, 4),
            "after": round(correction.after, 4),
            "slices": list(correction.slices),
            "strokes": correction.strokes,
            "seconds": round(correction.seconds, 3),
        },
        "rows": [_row(story, row) for row in story.rows],
        "held_out": [
            {"seconds": round(p.seconds, 2), "student": p.student, "growcut": p.growcut} for p in story.held_out
        ],
        "remarks": list(story.remarks),
        "versions": story.versions,
    }


def _dice(story: Story, row: Row) -> dict[str, float | None]:
    return {name: _plain(value) for name, value in row.scores.dice_by_name(story.contract).items()}


def _row(story: Story, row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "meaning": row.meaning,
        "seconds": None if row.seconds is None else round(row.seconds, 3),
        "tolerance_mm": row.scores.tolerance_mm,
        "absent": [story.contract.by_id(id_).name for id_ in row.scores.absent],
        "scores": {
            story.contract.by_id(id_).name: {
                "dice": _plain(score.dice),
                "surface_dice": _plain(score.surface_dice),
                "hd95_mm": _plain(score.hd95_mm),
            }
            for id_, score in row.scores.by_class.items()
        },
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)

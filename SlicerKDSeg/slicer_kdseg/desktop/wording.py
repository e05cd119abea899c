"""Numbers as a person says them."""

from __future__ import annotations

from slicer.i18n import tr as _

from slicer_kdseg.protocol.messages import HeldOut, ModelInfo


def time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 1:
        return _("almost done")
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return _("{n} s left").format(n=rest)
    return _("{minutes} min {seconds} s left").format(minutes=minutes, seconds=rest)


def quality(held: HeldOut | None) -> str:
    """How good it is, on what it never saw."""
    if held is None:
        return _("Quality is measured on strokes that are kept aside; not yet.")
    return _("On strokes kept aside: student {student} %, grow-cut {growcut} %.").format(
        student=round(100 * held.student_mean), growcut=round(100 * held.growcut_mean)
    )


def score(model: ModelInfo) -> str:
    values = list(model.scores.values())
    return f"{100 * sum(values) / len(values):.0f} %" if values else "–"

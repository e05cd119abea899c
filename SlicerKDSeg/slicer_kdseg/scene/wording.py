"""What both faces say, in the same words; numbers as a person says them."""

from __future__ import annotations

from collections.abc import Sequence

from slicer_kdseg.protocol.messages import HeldOut, ModelInfo
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.review import ClassDifference, ReviewCase
from slicer_kdseg.scene.state import SessionState


def happening(state: SessionState) -> str:
    """What is going on; of a backend that does not answer nobody knows."""
    if state.trouble and state.phase == "training":
        return _("The training goes on from its last checkpoint as soon as the backend answers.")
    return state.sentence


def time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 1:
        return _("almost done")
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return _("{rest} s left").format(rest=rest)
    return _("{minutes} min {rest} s left").format(minutes=minutes, rest=rest)


def quality(held: HeldOut | None, of_strokes: bool = False) -> str:
    """How good it is, on what it never saw. ``of_strokes``: it learns from strokes, and some were to be kept aside."""
    if held is None:
        return _("Quality is measured on strokes that are kept aside, and nothing is measured yet.")
    if not held.student:
        few = _("No strokes could be kept aside; draw on more slices to have quality measured.")
        return few if of_strokes else ""
    student, growcut = round(100 * held.student_mean), round(100 * held.growcut_mean)
    return _("On strokes kept aside: student {student} %, grow-cut {growcut} %.").format(
        student=student, growcut=growcut
    )


def score(model: ModelInfo) -> str:
    values = list(model.scores.values())
    return f"{100 * sum(values) / len(values):.0f} %" if values else "–"


def difference_cells(row: ClassDifference) -> tuple[str, ...]:
    """Class, ml before, ml after, Dice, changed voxels: a line of the table of a review."""
    dice = "–" if row.dice is None else f"{row.dice:.3f}"
    return row.name, f"{row.predicted_ml:.1f}", f"{row.reviewed_ml:.1f}", dice, str(row.changed_voxels)


def verdicts(cases: Sequence[ReviewCase]) -> str:
    if not cases:
        return _("There is no case to review yet.")
    done = sum(case.verdict != "open" for case in cases)
    if len(cases) == 1:
        return _("{done} of 1 case has a verdict.").format(done=done)
    if done == 1:
        return _("1 of {all} cases has a verdict.").format(all=len(cases))
    return _("{done} of {all} cases have a verdict.").format(done=done, all=len(cases))


def nothing_open(cases: Sequence[ReviewCase]) -> str:
    """Why there is no next case."""
    return _("Every case has a verdict.") if cases else verdicts(cases)

"""Who is shown, decided case by case on strokes that nobody was taught."""

import numpy as np
import pytest

from slicer_kdseg.protocol.labels import UNLABELLED
from training_backend.data.phantom import CONTRACT
from training_backend.jobs.examiner import Examiner

SIZE = (8, 16, 16)
FINE = {"good": 1.0, "bad": 1.0}


def truth() -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[:, 4:12, 4:12] = 1
    return labels


def an_examiner() -> Examiner:
    """Both cases have a stroke of class 1 and one of background kept aside on every second slice."""
    examiner = Examiner(CONTRACT, dense=False)
    held = np.full(SIZE, UNLABELLED, np.uint8)
    held[::2, 8, 5:11], held[::2, 1, 2:14] = 1, 0
    examiner.held = {"good": held, "bad": held.copy()}
    return examiner


def worse() -> np.ndarray:
    labels = truth()
    labels[2:] = 0
    return labels


@pytest.mark.parametrize("shown_bad", [worse(), truth()], ids=["worse there", "as good everywhere"])
def test_a_case_whose_own_strokes_speak_for_grow_cut_keeps_it(shown_bad):
    examiner = an_examiner()
    shown = {"good": truth(), "bad": shown_bad}
    rivals = {"good": worse(), "bad": truth()}
    taught = {"good": truth(), "bad": truth()}
    examiner.examine(1, shown, shown, rivals, taught, FINE)
    examiner.note_fit(taught, taught)
    assert examiner.student_leads("good")
    assert examiner.student_leads("bad") == bool((shown_bad == truth()).all())
    assert ("Grow-cut stays" in examiner.verdict("bad")) != examiner.student_leads("bad")


def test_strokes_that_were_not_learnt_and_lost_detail_hinder_one_case_only():
    examiner = an_examiner()
    shown = {"good": truth(), "bad": truth()}
    alone = {"good": truth(), "bad": np.zeros(SIZE, np.uint8)}
    examiner.examine(1, shown, alone, shown, shown, FINE)
    assert examiner.student_leads("good")
    assert not examiner.student_leads("bad")
    assert "has not learnt" in examiner.verdict("bad")
    examiner.stacked = True
    assert examiner.student_leads("bad"), "of what it has not learnt the nets speak alone"
    examiner.examine(2, shown, shown, shown, shown, {"good": 1.0, "bad": 0.5})
    assert not examiner.student_leads("bad")
    assert "too coarsely" in examiner.verdict("bad")


def test_a_case_with_no_stroke_kept_aside_follows_the_others():
    examiner = an_examiner()
    examiner.held["bad"] = np.full(SIZE, UNLABELLED, np.uint8)
    shown = {"good": truth(), "bad": truth()}
    examiner.examine(1, shown, shown, shown, shown, FINE)
    assert examiner.student_leads("bad")
    alone = {"bad": truth()}
    single = Examiner(CONTRACT, dense=False)
    single.held = {"bad": examiner.held["bad"]}
    single.examine(1, alone, alone, alone, alone, FINE)
    assert not single.student_leads("bad")
    assert "Too few strokes" in single.verdict("bad")


def test_where_strokes_are_sparse_their_number_excuses_little():
    examiner = an_examiner()
    behind = truth()
    behind[0, 8, 5:8] = 0
    shown, taught = {"good": truth(), "bad": behind}, {"good": truth(), "bad": truth()}
    examiner.examine(1, shown, taught, taught, taught, FINE)
    assert examiner.student_leads("bad"), "half of one stroke of four is within two standard errors"
    assert examiner.verdict("bad").endswith("which so few strokes cannot tell apart.")
    examiner.sparse = {"good", "bad"}
    examiner.examine(2, shown, taught, taught, taught, FINE)
    assert examiner.student_leads("good")
    assert not examiner.student_leads("bad")
    rivals = {"good": 1 - truth(), "bad": truth()}
    examiner.examine(3, shown, taught, rivals, taught, FINE)
    assert examiner.student_leads("bad"), "all together speak for the student"
    examiner.stacked = True
    examiner.examine(4, shown, taught, taught, taught, FINE)
    assert examiner.student_leads("bad"), "nets have won on strokes that they had not seen"


def test_the_student_alone_may_speak_for_what_is_shown_unless_strokes_are_sparse():
    examiner = an_examiner()
    smooth, right = {"good": worse(), "bad": worse()}, {"good": truth(), "bad": truth()}
    examiner.examine(1, smooth, right, right, right, FINE)
    assert examiner.student_leads("good")
    examiner.examine(2, smooth, smooth, right, right, FINE)
    examiner.note_fit(right, right)
    assert not examiner.student_leads("good")
    examiner.sparse = {"good", "bad"}
    examiner.examine(3, smooth, right, right, right, FINE)
    assert not examiner.student_leads("good")


def test_strokes_of_background_weigh_as_much_as_those_of_all_classes_together():
    examiner = Examiner(CONTRACT, dense=False)
    held = np.full(SIZE, UNLABELLED, np.uint8)
    for id_, row in ((0, 1), (1, 5), (2, 8), (3, 11)):
        held[::2, row, 3:13] = id_
    whole = np.where(held == UNLABELLED, 0, held).astype(np.uint8)
    thinner, leaking = whole.copy(), whole.copy()
    thinner[:, (5, 8, 11), 3] = 0
    leaking[:, 1, 3:5] = 1
    examiner.held, examiner.sparse = {"good": held}, {"good"}
    said, right = {"good": thinner}, {"good": whole}
    examiner.examine(1, said, right, {"good": leaking}, right, FINE)
    assert examiner.student_leads("good"), "a tenth of every class lost, a fifth of the leak mended"
    assert examiner.verdict("good").endswith("but it has leaked less.")
    leaking[:, 1, 4] = 0
    examiner.examine(2, said, right, {"good": leaking}, right, FINE)
    assert examiner.student_leads("good"), "as much mended as lost"
    leaking[:, 1, 3] = 0
    examiner.examine(3, said, right, {"good": leaking}, right, FINE)
    assert not examiner.student_leads("good")

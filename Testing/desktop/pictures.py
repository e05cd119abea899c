"""Pictures of every tab for the README and the catalogue: ``python -m Testing.desktop.pictures FOLDER``.

A real chest CT, real strokes and a real training behind the stand-in widgets. They show the panels, not Slicer's views;
screenshots of Slicer itself replace them once somebody has taken some.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["LOGNAME"] = "reader"  # whoever draws the pictures need not be in them

from PySide6.QtWidgets import QApplication

from slicer_kdseg.protocol.labels import LabelClass
from slicer_kdseg.scene.painting import Painter
from Testing.desktop.standin.application import desktop
from Testing.desktop.standin.pythonqt import unwrap
from Testing.desktop.test_whole_loop import ROOT, the_lung
from training_backend.data.annotator import annotate

WIDTH, LOWEST_HEIGHT = 470, 640


def grab(panel: Any, file: Path) -> None:
    widget = unwrap(panel.widget)
    for _ in range(3):
        QApplication.processEvents()
    widget.setFixedSize(WIDTH, max(LOWEST_HEIGHT, widget.sizeHint().height() + 40))
    widget.show()
    for _ in range(3):
        QApplication.processEvents()
    widget.grab().save(str(file))
    print(file.name)


def wait(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        QApplication.processEvents()
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, desktop(Path(place)) as slicer:
        os.environ["KDSEG_ROOT"] = str(Path(place) / "KDSeg")
        _, truth = the_lung(slicer)
        panel = slicer.module(ROOT / "SlicerKDSeg" / "KDSeg.py").open().panel
        session, ui = panel.workplace.session, panel.train.ui
        session.annotation.node.GetSegmentation().GetNthSegment(1).SetName("right lung")
        painter = Painter(slicer.scene, session.annotation)
        painter.paint_labels(annotate(truth, seed=1))
        session.annotation.add_class(LabelClass(2, "left lung", (0.3, 0.7, 0.4)))
        wait(lambda: "left lung: no stroke yet" in panel.annotate.ui.coverageLabel.text)
        panel.annotate.ui.nextSliceButton.click()
        grab(panel, folder / "annotate.png")
        session.annotation.node.GetSegmentation().RemoveSegment(session.annotation.segment_id_of(2))
        panel.ui.tabs.currentIndex = 1
        ui.trainButton.click()
        wait(lambda: session.state.preview_source == "student" and len(session.history.losses) > 20)
        grab(panel, folder / "train.png")
        ui.stopButton.click()
        wait(lambda: session.state.can_train and bool(session.state.models))
        panel.ui.tabs.currentIndex = 2
        panel.review.ui.nextButton.click()
        panel.review.ui.correctButton.click()
        grab(panel, folder / "review.png")
        painter.close()
        panel.workplace.link.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""All of the module KDSeg below its shell: three tabs over one workplace, and the module's comings and goings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import translate

from slicer_kdseg.desktop.annotate_panel import AnnotatePanel
from slicer_kdseg.desktop.backend_panel import BackendPanel, default_root, python_chosen
from slicer_kdseg.desktop.models_panel import ModelsPanel
from slicer_kdseg.desktop.preview_panel import PreviewPanel
from slicer_kdseg.desktop.review_panel import ReviewPanel
from slicer_kdseg.desktop.train_panel import TrainPanel
from slicer_kdseg.protocol.words import translate_with
from slicer_kdseg.scene.backend_link import BackendLink, the_link
from slicer_kdseg.scene.review import Review
from slicer_kdseg.scene.watching import SceneWatch
from slicer_kdseg.scene.workplace import Workplace

ANNOTATE, TRAIN, REVIEW = range(3)
TICK_MILLISECONDS = 50


class ModulePanel:
    """``resource`` gives the path of a file in the module's folder of resources."""

    def __init__(self, scene: Any, resource: Callable[[str], str], link: BackendLink | None = None) -> None:
        translate_with(translate)
        self.widget = slicer.util.loadUI(resource("UI/KDSeg.ui"))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.workplace = Workplace(scene, link or application_link(default_root()), python_chosen)
        self._clock = qt.QTimer()
        self._clock.setInterval(TICK_MILLISECONDS)
        self._clock.connect("timeout()", self.workplace.tick)
        self._clock.start()
        self._entered = False

        def load(name: str, into: Any) -> Any:
            widget = slicer.util.loadUI(resource(f"UI/{name}.ui"))
            into.layout().addWidget(widget)
            return widget

        self.annotate = AnnotatePanel(load("KDSegAnnotate", self.ui.annotateTab), self.workplace)
        self.train = TrainPanel(load("KDSegTrain", self.ui.trainTab), self.workplace)
        self.preview = PreviewPanel(self.train.ui, self.workplace)
        self.backend = BackendPanel(load("KDSegBackend", self.train.ui.backendArea), self.workplace)
        review = Review(scene)
        self.review = ReviewPanel(
            load("KDSegReview", self.ui.reviewTab), scene, review, self.workplace.say, "KDSegReviewTab"
        )
        self.models = ModelsPanel(load("KDSegModels", self.ui.reviewTab), self.workplace)
        self.ui.reviewTab.layout().addStretch(1)
        self._disconnect = [
            self.workplace.said.connect(self._say),
            self.workplace.session.signals.warned.connect(self._say),
            self.workplace.session.signals.predicted.connect(lambda volume: self.review.refresh()),
        ]
        self.ui.tabs.connect("currentChanged(int)", self._tab_chosen)
        self._watch = SceneWatch(scene, self.scene_closing, self.scene_changed, self.node_added)
        # Slicer logs everything, through Qt objects that must not be touched from the threads that talk to a backend.
        logging.getLogger("urllib3").setLevel(logging.INFO)
        self._say("")

    def enter(self) -> None:
        self._entered = True
        self._tab_changed()

    def exit(self) -> None:
        """Another module is shown: the mouse belongs to it; the job goes on and previews still arrive."""
        self._entered = False
        self.annotate.leave()
        self.review.leave()

    def scene_closing(self) -> None:
        self.annotate.scene_closing()
        self.train.scene_closing()
        self.review.scene_closing()

    def scene_changed(self) -> None:
        """After a scene was closed or loaded: what it holds is shown, a job that it remembers is followed."""
        choices = self.workplace.choices
        self.workplace.chosen.emit(choices)
        if self._entered:
            self._tab_changed()

    def node_added(self) -> None:
        """Perhaps an image, loaded by somebody who has opened the module already, whichever tab is seen."""
        if self._entered:
            self.annotate.node_added()

    def close(self) -> None:
        """Slicer ends or the module is reloaded: widgets go, strokes and job stay."""
        self._watch.close()
        self.exit()
        self._clock.stop()
        for disconnect in self._disconnect:
            disconnect()
        for panel in (self.annotate, self.train, self.preview, self.backend, self.review, self.models):
            panel.close()
        self.workplace.close()

    def _tab_chosen(self, *_: Any) -> None:
        self._say("")
        self._tab_changed()

    def _tab_changed(self) -> None:
        if not self._entered:
            return
        self.annotate.take_image()
        at = self.ui.tabs.currentIndex
        if at == ANNOTATE:
            self.review.leave()
            self.annotate.enter()
        else:
            self.annotate.leave()
        if at == TRAIN:
            self.review.leave()
        if at == REVIEW:
            self.review.enter()

    def _say(self, sentence: str) -> None:
        self.ui.messageLabel.text = sentence


class ReviewModulePanel:
    """All of the module KDSegReview: cases of the scene and nothing else."""

    def __init__(self, scene: Any, resource: Callable[[str], str]) -> None:
        translate_with(translate)
        self.widget = qt.QWidget()
        layout = qt.QVBoxLayout(self.widget)
        self.message = qt.QLabel()
        self.message.wordWrap = True
        layout.addWidget(self.message)
        loaded = slicer.util.loadUI(resource("UI/KDSegReview.ui"))
        layout.addWidget(loaded)
        layout.addStretch(1)
        self.review = ReviewPanel(loaded, scene, Review(scene), self._say, "KDSegReview")
        self._watch = SceneWatch(scene, self.review.scene_closing, self.review.refresh)

    def enter(self) -> None:
        self.review.enter()

    def exit(self) -> None:
        self.review.leave()

    def close(self) -> None:
        self._watch.close()
        self.review.close()

    def _say(self, sentence: str) -> None:
        self.message.text = sentence


def application_link(root: Path) -> BackendLink:
    """The one link of this Slicer; it is told at its first use that Slicer will end."""
    link = the_link(root)
    if not link.ends_with_slicer:
        link.ends_with_slicer = True
        slicer.app.connect("aboutToQuit()", link.close)
    return link

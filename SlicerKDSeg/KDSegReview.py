"""Slicer's door to the review panel alone, which needs no graphics card, no model and no server."""

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class KDSegReview(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("KDSeg Review")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations", "SegmentEditor"]
        self.parent.contributors = ["KDSeg contributors"]
        self.parent.helpText = _(
            "Look through predicted segmentations one by one: accept, correct or reject each, note why, see what"
            " changed class by class, and write a report. Works on any segmentation that belongs to a volume."
        )
        self.parent.acknowledgementText = _("Part of KDSeg.")


class KDSegReviewWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.panel = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from slicer_kdseg.desktop.module_panel import ReviewModulePanel

        self.panel = ReviewModulePanel(slicer.mrmlScene, self.resourcePath)
        self.layout.addWidget(self.panel.widget)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.on_scene_closing)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.on_scene_changed)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.on_scene_changed)

    def enter(self):
        self.panel.enter()

    def exit(self):
        self.panel.exit()

    def cleanup(self):
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()
            self.panel = None

    def on_scene_closing(self, caller, event):
        self.panel.scene_closing()

    def on_scene_changed(self, caller, event):
        self.panel.scene_changed()


class KDSegReviewTest(ScriptedLoadableModuleTest):
    def runTest(self):  # noqa: N802  Slicer's name
        slicer.mrmlScene.Clear(0)
        slicer.util.selectModule("KDSegReview")
        panel = slicer.util.getModuleWidget("KDSegReview").panel
        panel.review.refresh()
        assert panel.review.cases == []
        self.delayDisplay("An empty scene has no case to review")

"""Slicer's door to the review panel alone, which needs no graphics card, no model and no server."""

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


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


class KDSegReviewWidget(ScriptedLoadableModuleWidget):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.panel = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from slicer_kdseg.desktop.module_panel import ReviewModulePanel

        self.panel = ReviewModulePanel(slicer.mrmlScene, self.resourcePath)
        self.layout.addWidget(self.panel.widget)
        if self.parent.isEntered:  # reloaded while it is shown: Slicer does not say so again
            self.enter()

    def enter(self):
        self.panel.enter()

    def exit(self):
        self.panel.exit()

    def cleanup(self):
        if self.panel is not None:
            self.panel.close()
            self.panel = None


class KDSegReviewTest(ScriptedLoadableModuleTest):
    def runTest(self):  # noqa: N802  Slicer's name
        slicer.mrmlScene.Clear(0)
        slicer.util.selectModule("KDSegReview")
        panel = slicer.util.getModuleWidget("KDSegReview").panel
        panel.review.refresh()
        assert panel.review.cases == []
        self.delayDisplay("An empty scene has no case to review")

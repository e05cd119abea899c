"""Slicer's door to KDSeg: name, help, and the moments of a module's life. Everything else is in slicer_kdseg."""

import os

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class KDSeg(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("KDSeg")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations", "SegmentEditor"]
        self.parent.contributors = ["KDSeg contributors"]
        self.parent.helpText = _(
            "Draw a few strokes of every class, press Train, and watch a small network learn your segmentation while"
            " you go on working. Correct it where it is wrong and see it follow; review the result and take the model"
            " away. Images stay on this computer unless you choose another one and agree."
        )
        self.parent.acknowledgementText = _(
            "Built on the ideas of ScribSD+ (Qu et al.), of one-shot and of shape- and cross-modality distillation;"
            " the README cites the papers."
        )
        slicer.app.connect("startupCompleted()", register_sample_data)


def register_sample_data():
    from slicer_kdseg.desktop.samples import register

    register(os.path.join(os.path.dirname(__file__), "Resources", "Icons"))


class KDSegWidget(ScriptedLoadableModuleWidget):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.panel = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from slicer_kdseg.desktop.module_panel import ModulePanel

        self.panel = ModulePanel(slicer.mrmlScene, self.resourcePath)
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


class KDSegTest(ScriptedLoadableModuleTest):
    """The whole loop with a real training, one line a step; also what the Test button of the module runs."""

    def runTest(self):  # noqa: N802  Slicer's name
        from slicer_kdseg.desktop.self_test import run

        run(self.delayDisplay)

"""Slicer's own segment editor inside a panel: given its node first, put to sleep when nobody sees it.

An effect that stays active in a module that was left takes the mouse from everything else; one that is active
while the scene is closed holds on to nodes that are gone. The editor puts its image into all views by itself, as they
are turned and without fitting them: only while it is seen, and after the panel has done it.
"""

from __future__ import annotations

from typing import Any

from slicer_kdseg.scene.editing import WAYS, editor_node


class EditorHost:
    """``editor`` is a qMRMLSegmentEditorWidget; ``tag`` names its node, one for every panel.

    Made before the editor is given its scene: what it selects by itself then is kept in the node. What the editor
    shows is said here and not in the .ui file, because without a node it complains.
    """

    def __init__(self, editor: Any, scene: Any, tag: str) -> None:
        self._editor, self._scene, self._tag = editor, scene, tag
        self._effect = ""
        self._awake = False
        editor.setMRMLSegmentEditorNode(editor_node(scene, tag))
        editor.autoShowSourceVolumeNode = False
        editor.segmentationNodeSelectorVisible = False
        editor.sourceVolumeNodeSelectorVisible = False
        editor.switchToSegmentationsButtonVisible = False
        editor.specifyGeometryButtonVisible = False
        editor.maskingSectionVisible = False
        editor.maximumNumberOfUndoStates = 30
        editor.setEffectNameOrder(["Paint", "Draw", "Erase"])
        editor.unorderedEffectsVisible = True

    def edit(self, volume: Any, segmentation: Any, way: str, segment: str = "") -> None:
        """The node before the segmentation, the segmentation before the volume: any other order loses one of them."""
        self._editor.setMRMLSegmentEditorNode(editor_node(self._scene, self._tag))
        self._editor.setSegmentationNode(segmentation)
        self._editor.setSourceVolumeNode(volume)
        if segment:
            self._editor.setCurrentSegmentID(segment)
        self._effect = WAYS[way]
        if self._awake:
            self._editor.setActiveEffectByName(self._effect)

    def wake(self) -> None:
        """The panel is seen: keys work, the effect is what it was."""
        if self._awake:
            return
        self._awake = True
        self._editor.autoShowSourceVolumeNode = True  # also in the views of another layout
        self._editor.installKeyboardShortcuts()
        self._editor.setupViewObservations()
        if self._editor.segmentationNode() is not None and self._effect:
            self._editor.setActiveEffectByName(self._effect)

    def sleep(self) -> None:
        if not self._awake:
            return
        self._awake = False
        effect = self._editor.activeEffect()
        self._effect = effect.name if effect is not None else self._effect
        self._editor.autoShowSourceVolumeNode = False
        self._editor.setActiveEffect(None)
        self._editor.uninstallKeyboardShortcuts()
        self._editor.removeViewObservations()

    def let_go(self) -> None:
        """Before the scene is closed."""
        self.sleep()
        self._editor.setSegmentationNode(None)

"""The segment editor's own node for a face: which effect, which brush, what overwrites what.

The editor of a desktop and the editor of a browser workspace both follow a vtkMRMLSegmentEditorNode, and common
effect parameters are attributes of it: so the brush is chosen here, and it survives a reload and a saved scene.
"""

from __future__ import annotations

from typing import Any

# A stroke, not a filling: 2 % of the view, flat, and only where the mouse is.
BRUSH = {
    "BrushDiameterIsRelative": "1",
    "BrushRelativeDiameter": "2",
    "BrushSphere": "0",
    "BrushPixelMode": "0",
    "EditIn3DViews": "0",
}
WAYS = {"scribble": "Paint", "atlas": "Draw"}


def editor_node(scene: Any, tag: str) -> Any:
    """The vtkMRMLSegmentEditorNode with singleton ``tag``, with a brush fit for strokes unless it has one already."""
    node = scene.GetSingletonNode(tag, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(tag)
        node.SetName(f"{tag} editor")
        node = scene.AddNode(node)
    for name, value in BRUSH.items():
        if node.GetAttribute(name) is None:
            node.SetAttribute(name, value)
    return node

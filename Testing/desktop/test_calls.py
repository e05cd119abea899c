"""Every call of the panels into Slicer and CTK stands in ``slicer_calls.txt`` with the file of Slicer 5.12 (or CTK) in
which its name was read; a name that is used and not listed, or listed and no longer used, fails here.

A stand-in can hide a wrong name, so the list is made against the real sources and not against the stand-in. Names of
Qt itself are not listed: the stand-in's Qt is Qt. Names of MRML classes are not either: the tests' MRML is Slicer's.
"""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).parents[2]
PANELS = ROOT / "SlicerKDSeg" / "slicer_kdseg" / "desktop"
SHELLS = (ROOT / "SlicerKDSeg" / "KDSeg.py", ROOT / "SlicerKDSeg" / "KDSegReview.py")
UI = ROOT / "SlicerKDSeg" / "Resources" / "UI"
SELF_TEST = ROOT / "Testing" / "slicer" / "KDSegSelfTest.py"
PARENTS = {
    "ScriptedLoadableModule": "qSlicerScriptedLoadableModule",
    "ScriptedLoadableModuleWidget": "qSlicerAbstractModuleWidget",
}
LIST = Path(__file__).with_name("slicer_calls.txt")
FOREIGN = ("qMRML", "ctk")
KNOWN_OBJECTS = {
    "_editor": "qMRMLSegmentEditorWidget",
    "editor": "qMRMLSegmentEditorWidget",
    "effect": "qSlicerSegmentEditorAbstractEffect",
    "logic": "SampleDataLogic",
}
IN_SLICERS_MODULE = ("slicer.util", "slicer.app", "slicer.mrmlScene", "slicer.modules")
FROM_QT = {"visible", "enabled", "connect", "layout", "blockSignals", "text", "name", "children", "update"}


def listed() -> dict[str, str]:
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {call.strip(): file.strip() for call, _, file in (line.partition("->") for line in lines)}


def used() -> set[str]:
    classes = widget_classes()
    found = set()
    for file in (*PANELS.glob("*.py"), *SHELLS, SELF_TEST):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found |= names_of_modules(tree) | names_of_widgets(tree, classes) | signals_of(tree, classes)
        found |= signals_of_the_application(tree) | inherited(tree)
    return found | in_ui_files()


def widget_classes() -> dict[str, str]:
    found = {}
    for file in UI.glob("*.ui"):
        for widget in ElementTree.parse(file).iter("widget"):
            found[widget.get("name", "")] = widget.get("class", "")
    return found


def names_of_modules(tree: ast.AST) -> set[str]:
    """``slicer.util.loadUI``, ``ctk.ctkPathLineEdit.Dirs``: dotted names that begin with a module of Slicer."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = dotted(node)
            if name.startswith(("slicer.", "ctk.")) and name not in IN_SLICERS_MODULE:
                found.add(name)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("slicer."):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


def names_of_widgets(tree: ast.AST, classes: dict[str, str]) -> set[str]:
    """``ui.volumeSelector.currentNode``: an attribute of a widget whose class the .ui files tell."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts = dotted(node).split(".")
            owner = parts[-2] if len(parts) > 1 else ""
            kind = KNOWN_OBJECTS.get(owner) if "ui" not in parts else classes.get(owner)
            of_qt = parts[-1] in FROM_QT and (kind or "").startswith(FOREIGN)
            if kind and kind.startswith((*FOREIGN, "SampleData", "qSlicer")) and not of_qt:
                found.add(f"{kind}.{parts[-1]}")
    return {name for name in found if name.partition(".")[2] not in own_methods()}


def own_methods() -> set[str]:
    """``self.editor`` is our EditorHost in panels and the widget itself inside of it."""
    tree = ast.parse((PANELS / "editor_host.py").read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def signals_of(tree: ast.AST, classes: dict[str, str]) -> set[str]:
    """Rows of a panel's table of bindings."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "BINDINGS":
            for widget, signal, _ in ast.literal_eval(node.value):
                if classes[widget].startswith(FOREIGN):
                    found.add(f"{classes[widget]}.{signal}")
    return found


def signals_of_the_application(tree: ast.AST) -> set[str]:
    """``slicer.app.connect("aboutToQuit()", …)``: a name that is wrong is only printed."""
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and dotted(node.func) == "slicer.app.connect"
    ]
    return {f"slicer.app.{ast.literal_eval(call.args[0])}" for call in calls}


def inherited(tree: ast.AST) -> set[str]:
    """What the shells take from Slicer's base classes and from the C++ object behind them, ``self.parent``."""
    found = set()
    for shell in ast.walk(tree):
        base = getattr(shell.bases[0], "id", "") if isinstance(shell, ast.ClassDef) and shell.bases else ""
        if not base.startswith("ScriptedLoadableModule"):
            continue
        own = {node.name for node in ast.walk(shell) if isinstance(node, ast.FunctionDef)}
        names = [dotted(node).split(".") for node in ast.walk(shell) if isinstance(node, ast.Attribute)]
        stored = {dotted(node) for node in ast.walk(shell) if isinstance(getattr(node, "ctx", None), ast.Store)}
        for first, *rest in names:
            if [first, rest[0]] == ["self", "parent"] and len(rest) > 1:
                found.add(f"{PARENTS[base]}.{rest[1]}")
            elif (first == base and rest != ["__init__"]) or (
                first == "self" and rest[0] not in own and f"self.{rest[0]}" not in stored
            ):
                found.add(f"{base}.{rest[0]}")
    return found


def in_ui_files() -> set[str]:
    found = set()
    for file in UI.glob("*.ui"):
        tree = ElementTree.parse(file)
        for widget in tree.iter("widget"):
            kind = widget.get("class", "")
            if kind.startswith(FOREIGN):
                names = {described.get("name", "") for described in widget.findall("property")}
                found |= {f"{kind}.{name}" for name in names if name not in FROM_QT | {"toolTip", "minimumSize"}}
        for row in tree.iter("connection"):
            found |= {f"qMRMLWidget.{row.findtext('signal')}", f"qMRMLWidget.{row.findtext('slot')}"}
    return found


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_every_call_was_read_in_slicers_sources() -> None:
    calls, names = listed(), used()
    assert names - set(calls) == set(), "look these up in Slicer's sources and list them"
    assert set(calls) - names == set(), "these are listed and not used any more"
    assert all(file.endswith((".h", ".py", ".cxx")) for file in calls.values())

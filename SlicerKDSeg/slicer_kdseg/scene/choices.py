"""What the user chose in the panels, kept in the scene: one parameter node, typed, the same for every face."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args, get_type_hints

from slicer_kdseg.protocol.method_settings import SETTINGS

MODULE = "KDSeg"
Way = Literal["scribble", "atlas"]
Budget = Literal["2 min", "10 min", "until good"]
DEVICES = ("auto", "cpu", "cuda")
BUDGET_SECONDS: dict[Budget, float] = {"2 min": 120.0, "10 min": 600.0, "until good": 3600.0}


@dataclass(frozen=True)
class Choices:
    """``volume`` and ``annotation`` are node IDs; ``others`` the IDs of further volumes that take part."""

    volume: str = ""
    annotation: str = ""
    others: tuple[str, ...] = ()
    way: Way = "scribble"
    method: str = "scribble"
    budget: Budget = "2 min"
    automatic_background: bool = True
    grow_while_drawing: bool = False
    preview_visible: bool = True
    outline: bool = False
    opacity: float = 0.5
    uncertainty: bool = False
    device: str = "auto"
    preset: str = "fast"

    NODES: ClassVar[tuple[str, ...]] = ("volume", "annotation")

    @property
    def settings(self) -> dict[str, Any]:
        """The differences from the preset that these choices mean."""
        found: dict[str, Any] = {"seconds": BUDGET_SECONDS[self.budget], "until_good": True}
        return found if self.device == "auto" else {**found, "device": self.device}


def way_of(method: str) -> Way:
    """What a method learns from; an unknown one, of a newer version's scene, is refused when it is to train."""
    known = SETTINGS.get(method)
    return "atlas" if known is not None and known.learns_from == "dense" else "scribble"


class ChoiceNode:
    """A :class:`Choices` in the scene's vtkMRMLScriptedModuleNode; node IDs are references, so that they survive
    loading. Unknown or damaged values of an older or newer version become the defaults."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self.node = _found(scene) or _made(scene)
        self.node.SetModuleName(MODULE)  # closing a scene resets the node and may forget whose it is

    @property
    def present(self) -> bool:
        return bool(self._scene.IsNodePresent(self.node))

    def read(self) -> Choices:
        hints = get_type_hints(Choices)
        found: dict[str, Any] = {}
        for field in dataclasses.fields(Choices):
            if field.name in Choices.NODES:
                found[field.name] = self.node.GetNodeReferenceID(field.name) or ""
            elif field.name == "others":
                count = self.node.GetNumberOfNodeReferences("other")
                ids = (self.node.GetNthNodeReferenceID("other", n) for n in range(count))
                found["others"] = tuple(id_ for id_ in ids if id_)
            else:
                value = _parsed(self.node.GetParameter(field.name))
                found[field.name] = value if _fits(value, hints[field.name]) else field.default
        return Choices(**found)

    def write(self, **changes: Any) -> Choices:
        """Change some choices and return all."""
        choices = dataclasses.replace(self.read(), **changes)
        for name in changes:
            value = getattr(choices, name)
            if name in Choices.NODES:
                self.node.SetNodeReferenceID(name, value or None)
            elif name == "others":
                self.node.RemoveNodeReferenceIDs("other")
                for id_ in value:
                    self.node.AddNodeReferenceID("other", id_)
            else:
                self.node.SetParameter(name, json.dumps(value))
        return choices


def _found(scene: Any) -> Any | None:
    return scene.GetSingletonNode(MODULE, "vtkMRMLScriptedModuleNode")


def _made(scene: Any) -> Any:
    node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
    node.UnRegister(None)
    node.SetSingletonTag(MODULE)
    node.SetName(MODULE)
    return scene.AddNode(node)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _fits(value: Any, hint: Any) -> bool:
    allowed = get_args(hint)
    return value in allowed if allowed else type(value) is hint

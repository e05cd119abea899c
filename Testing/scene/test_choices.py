from __future__ import annotations

from pathlib import Path
from typing import Any

from slicer_kdseg.headless.boot import HeadlessSlicer
from slicer_kdseg.headless.files import open_scene, save_scene
from slicer_kdseg.scene.choices import ChoiceNode, Choices


def test_choices_survive_saving_with_their_nodes(a_slicer: HeadlessSlicer, a_volume: Any, tmp_path: Path) -> None:
    kept = ChoiceNode(a_slicer.scene)
    assert kept.read() == Choices()
    kept.write(volume=a_volume.GetID(), others=(a_volume.GetID(),), budget="until good", opacity=0.25, outline=True)
    save_scene(a_slicer, tmp_path / "scene.mrb")
    open_scene(a_slicer, tmp_path / "scene.mrb")
    found = ChoiceNode(a_slicer.scene).read()
    volume = a_slicer.scene.GetFirstNodeByName("abdomen").GetID()
    assert found == Choices(volume=volume, others=(volume,), budget="until good", opacity=0.25, outline=True)


def test_there_is_one_parameter_node(a_scene: Any) -> None:
    assert ChoiceNode(a_scene).node is ChoiceNode(a_scene).node


def test_a_closed_scene_begins_anew(a_scene: Any, a_volume: Any) -> None:
    kept = ChoiceNode(a_scene)
    kept.write(volume=a_volume.GetID(), others=(a_volume.GetID(),), outline=True)
    a_scene.Clear(False)
    assert ChoiceNode(a_scene).read() == Choices()


def test_damaged_values_become_the_defaults(a_scene: Any) -> None:
    kept = ChoiceNode(a_scene)
    for name, text in (("budget", '"a year"'), ("opacity", "null"), ("outline", "yes"), ("way", "3")):
        kept.node.SetParameter(name, text)
    assert kept.read() == Choices()


def test_the_budget_becomes_settings() -> None:
    assert Choices(budget="10 min").settings == {"seconds": 600.0, "until_good": True}
    assert Choices(device="cpu").settings["device"] == "cpu"

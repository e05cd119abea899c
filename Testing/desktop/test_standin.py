"""The stand-in refuses what PythonQt refuses; otherwise green tests would mean less than nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import Testing.desktop.needs_qt  # noqa: F401  first
from Testing.desktop.standin.application import Desktop
from Testing.desktop.standin.pythonqt import FAULTS


@pytest.fixture
def qt(a_desktop: Desktop) -> Any:
    import qt

    return qt


def test_properties_are_attributes_and_no_functions(qt: Any) -> None:
    label = qt.QLabel("one")
    assert label.text == "one"
    label.text = "two"
    assert label.text == "two"
    with pytest.raises(TypeError, match="not callable"):
        label.text()


def test_unknown_and_wrongly_typed_attributes_are_refused(qt: Any) -> None:
    button = qt.QPushButton("x")
    with pytest.raises(AttributeError, match="no property 'colour'"):
        button.colour = "red"
    with pytest.raises(AttributeError):
        button.colour  # noqa: B018
    with pytest.raises(TypeError, match="is str, not int"):
        button.text = 3
    with pytest.raises(TypeError, match="is bool, not int"):
        button.enabled = 1


def test_both_ways_to_connect_and_an_unknown_signal(qt: Any, capsys: pytest.CaptureFixture[str]) -> None:
    button, told = qt.QPushButton("x"), []
    assert button.connect("clicked(bool)", lambda on: told.append(on))
    assert button.clicked.connect(lambda: told.append("no argument"))
    button.click()
    assert told == [False, "no argument"]
    assert button.connect("pushed()", print) is False
    assert "no signal pushed()" in capsys.readouterr().out


def test_a_slot_that_fails_is_kept_for_the_test(qt: Any) -> None:
    button = qt.QPushButton("x")
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert isinstance(FAULTS.pop(), ZeroDivisionError)


def test_only_what_a_header_exposes_exists(a_desktop: Desktop, tmp_path: Path) -> None:
    import slicer

    file = tmp_path / "one.ui"
    file.write_text(UI.format(property="noneEnabled", slot="setMRMLScene(vtkMRMLScene*)"))
    box = slicer.util.loadUI(str(file)).selector
    assert box.nodeCount() == 0
    with pytest.raises(AttributeError, match="nodes"):
        box.nodes()  # public in the header, neither slot nor Q_INVOKABLE
    with pytest.raises(AttributeError, match="neither a slot nor Q_INVOKABLE"):
        box._refill()


@pytest.mark.parametrize(("property_", "slot"), [("nonsense", "setMRMLScene(vtkMRMLScene*)"), ("noneEnabled", "go()")])
def test_a_ui_file_that_asks_for_what_is_not_there_is_refused(
    a_desktop: Desktop, tmp_path: Path, property_: str, slot: str
) -> None:
    import slicer

    file = tmp_path / "one.ui"
    file.write_text(UI.format(property=property_, slot=slot))
    with pytest.raises((ValueError, AttributeError)):
        slicer.util.loadUI(str(file))


UI = """<?xml version="1.0" encoding="UTF-8"?>
<ui version="4.0"><class>One</class>
 <widget class="qMRMLWidget" name="One"><layout class="QVBoxLayout" name="l"><item>
  <widget class="qMRMLNodeComboBox" name="selector"><property name="{property}"><bool>true</bool></property></widget>
 </item></layout></widget>
 <connections><connection><sender>One</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>
  <receiver>selector</receiver><slot>{slot}</slot></connection></connections>
</ui>
"""

"""``slicer.app``, ``slicer.modules`` and the base classes of scripted modules, around a real MRML scene.

Written from Base/QTCore/qSlicerCoreApplication.h, Base/QTGUI/qSlicerApplication.h,
Base/QTGUI/qSlicerAbstractModuleWidget.h, Libs/MRML/Widgets/qMRMLLayoutManager.h, Libs/MRML/Widgets/qMRMLSliceWidget.h
and Base/Python/slicer/ScriptedLoadableModule.py of Slicer 5.12.
"""
# ruff: noqa: N802, N815  the names are Slicer's

from __future__ import annotations

import importlib.util
import sys
import types
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
import slicer.util
from PySide6.QtCore import Property, QObject, QProcessEnvironment, QSettings, Signal
from PySide6.QtWidgets import QApplication, QVBoxLayout

from slicer_kdseg.headless.boot import HeadlessSlicer, boot
from slicer_kdseg.headless.files import load_segmentation, load_volume
from slicer_kdseg.protocol.errors import BadAnnotation, BadImage
from Testing.desktop.standin.modules import CtkModule, QtModule
from Testing.desktop.standin.mrml_widgets import qSlicerScriptedLoadableModuleWidget
from Testing.desktop.standin.pythonqt import Proxy, forget_all, wrap

VIEWS = ("Red", "Yellow", "Green")
VIEW_PIXELS = (400, 400)


class qMRMLSliceWidget(QObject):  # noqa: N801
    EXPOSED = frozenset({"mrmlSliceNode", "sliceLogic"})

    def __init__(self, host: HeadlessSlicer, name: str, parent: QObject) -> None:
        super().__init__(parent)
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(host.application)
        self._logic.SetMRMLScene(host.scene)
        self._logic.AddSliceNode(name).SetDimensions(*VIEW_PIXELS, 1)

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def sliceLogic(self) -> Any:
        return self._logic


class qSlicerLayoutManager(QObject):  # noqa: N801
    EXPOSED = frozenset({"sliceViewNames", "sliceWidget", "mrmlSliceLogics"})

    def __init__(self, host: HeadlessSlicer) -> None:
        super().__init__()
        self._logics = host.application.GetSliceLogics()
        self._widgets = {name: qMRMLSliceWidget(host, name, self) for name in VIEWS}
        for widget in self._widgets.values():
            self._logics.AddItem(widget.sliceLogic())

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._widgets)

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._widgets.get(name)

    def mrmlSliceLogics(self) -> Any:
        return self._logics


class qSlicerApplication(QApplication):  # noqa: N801
    """Only what its headers expose and our panels, or ``slicer.util``, call."""

    startupCompleted = Signal()
    EXPOSED = frozenset(
        {"testingEnabled", "translate", "layoutManager", "moduleManager", "startupEnvironment", "mrmlScene"}
    )
    slicerUserSettingsFilePath = Property(str, lambda self: str(self.folder / "Slicer.ini"))
    temporaryPath = Property(str, lambda self: str(self.folder))
    applicationName = Property(str, lambda self: "Slicer")
    folder = Path()
    layout: qSlicerLayoutManager | None = None

    def testingEnabled(self) -> bool:
        return False

    def layoutManager(self) -> qSlicerLayoutManager | None:
        return self.layout

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def startupEnvironment(self) -> QProcessEnvironment:
        return QProcessEnvironment.systemEnvironment()


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def setup(self) -> None:
        pass


class ScriptedLoadableModuleTest(unittest.TestCase):
    def delayDisplay(self, message: str, *_: Any) -> None:
        print(message)  # noqa: T201  Slicer shows it and logs it


BASES = (ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleTest)


class Module:
    """A scripted module as ``slicer.modules.x``: its file, and its widget when somebody has opened it."""

    def __init__(self, file: Path) -> None:
        self.path = str(file)
        self.name = file.stem
        spec = importlib.util.spec_from_file_location(self.name, file)
        assert spec is not None
        assert spec.loader is not None
        self.python = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.python)
        self.about = getattr(self.python, self.name)(types.SimpleNamespace(path=self.path))
        self._parent: qSlicerScriptedLoadableModuleWidget | None = None
        self.widget: Any = None

    def open(self) -> Any:
        """What the module selector does: make the widget at the first time, then enter it."""
        if self._parent is None:
            self._parent = qSlicerScriptedLoadableModuleWidget()
            QVBoxLayout(self._parent)
            self._parent.setProperty("isEntered", False)
            self._new_widget()
        self._parent.setProperty("isEntered", True)
        self.widget.enter()
        return self.widget

    def widgetRepresentation(self) -> Any:
        return types.SimpleNamespace(self=lambda: self.widget)

    def leave(self) -> None:
        assert self._parent is not None
        self._parent.setProperty("isEntered", False)
        self.widget.exit()

    def reload(self) -> Any:
        """``slicer.util.reloadScriptedModule``: cleanup, layout emptied, a new widget, no ``enter``."""
        self.widget.cleanup()
        assert self._parent is not None
        layout = self._parent.layout()
        while layout.count():
            layout.takeAt(0).widget().hide()
        self._new_widget()
        return self.widget

    def end(self) -> None:
        if self.widget is not None:
            self.widget.cleanup()
            self.widget = None

    def _new_widget(self) -> None:
        kind = getattr(self.python, f"{self.name}Widget")
        self.widget = kind(wrap(self._parent))
        self.widget.setup()
        setattr(slicer.modules, f"{self.name}Widget", self.widget)


class Desktop:
    """A running stand-in: ``scene``, ``app`` and modules by name."""

    def __init__(self, host: HeadlessSlicer, app: Proxy) -> None:
        self.host, self.app, self.scene = host, app, host.scene
        self.modules: dict[str, Module] = {}

    def module(self, file: Path) -> Module:
        module = self.modules[file.stem] = Module(file)
        setattr(slicer.modules, file.stem.lower(), module)
        return module

    def process_events(self) -> None:
        QApplication.processEvents()

    def quit(self) -> None:
        """What happens when Slicer ends: widgets are cleaned up, then ``aboutToQuit``."""
        for module in self.modules.values():
            module.end()
        QApplication.instance().aboutToQuit.emit()


def read_volume(host: HeadlessSlicer, file: str, properties: dict[str, Any]) -> Any:
    """Slicer's own raises RuntimeError, whatever is wrong, and puts the image into all views unless told not to."""
    assert properties == {"show": False}
    try:
        return load_volume(host, Path(file))
    except BadImage as error:
        raise RuntimeError(f"Failed to load node from file: {file}") from error


def read_segmentation(host: HeadlessSlicer, file: str) -> Any:
    """As :func:`read_volume`; what was read is shown at once."""
    try:
        return load_segmentation(host, Path(file))
    except BadAnnotation as error:
        raise RuntimeError(f"Failed to load node from file: {file}") from error


@contextmanager
def desktop(folder: Path) -> Iterator[Desktop]:
    """Put the stand-in's modules where Slicer has them, and take them away again."""
    app = QApplication.instance() or qSlicerApplication(["Slicer"])
    app.folder = folder
    QSettings.setDefaultFormat(QSettings.Format.IniFormat)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(folder / "settings"))
    host = boot()
    app.layout = qSlicerLayoutManager(host)
    base, words = types.ModuleType("slicer.ScriptedLoadableModule"), types.ModuleType("slicer.i18n")
    vars(base).update({kind.__name__: kind for kind in BASES})
    translate = QApplication.translate
    vars(words).update(tr=lambda text: translate("slicer.i18n", text), translate=translate)
    ours = {"qt": QtModule("qt"), "ctk": CtkModule("ctk"), base.__name__: base, words.__name__: words}
    before = {name: sys.modules.get(name) for name in ours}
    sys.modules.update(ours)
    slicer.app, slicer.modules, slicer.mrmlScene = wrap(app), types.SimpleNamespace(), host.scene
    kept = {name: getattr(slicer.util, name) for name in ("loadVolume", "loadSegmentation")}
    slicer.util.loadVolume = lambda file, properties: read_volume(host, file, properties)
    slicer.util.loadSegmentation = lambda file: read_segmentation(host, file)
    for name, logic in (("segmentations", host.segmentations), ("volumes", host.volumes)):
        setattr(slicer.modules, name, types.SimpleNamespace(logic=lambda logic=logic: logic))
    found = Desktop(host, slicer.app)
    try:
        yield found
    finally:
        for module in found.modules.values():
            module.end()
        vars(slicer.util).update(kept)
        slicer.app.disconnect_all()
        app.layout = None
        host.close()
        forget_all()
        for name in ("app", "modules", "mrmlScene"):
            delattr(slicer, name)
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module

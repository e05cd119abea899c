"""CTK widgets with the properties, slots and signals of commontk/CTK Libs/Widgets/ctk*.h."""
# ruff: noqa: N801, N802, N815  the names are CTK's

from __future__ import annotations

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLineEdit, QPushButton, QSlider, QWidget

from Testing.desktop.standin.mrml_widgets import stored

TITLE_PIXELS = 22


class ctkCollapsibleButton(QWidget):
    contentsCollapsed = Signal(bool)
    EXPOSED: frozenset[str] = frozenset()
    text = stored(str, "text", "")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shut = False
        self.setContentsMargins(0, TITLE_PIXELS, 0, 0)

    def _collapse(self, shut: bool) -> None:
        self._shut = shut
        self.setMaximumHeight(TITLE_PIXELS if shut else 16777215)
        self.setMinimumHeight(TITLE_PIXELS)
        self.contentsCollapsed.emit(shut)

    collapsed = Property(bool, lambda self: self._shut, lambda self, shut: self._collapse(shut))

    def paintEvent(self, event: QPaintEvent) -> None:
        QPainter(self).drawText(4, TITLE_PIXELS - 6, ("▸ " if self._shut else "▾ ") + str(self.property("text")))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.position().y() < TITLE_PIXELS:
            self._collapse(not self._shut)


class ctkSliderWidget(QWidget):
    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    SIGNALS = ("valueChanged(double)", "valueIsChanging(double)")
    EXPOSED = frozenset({"setValue", "setRange", "reset"})

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider, self._spin = QSlider(Qt.Orientation.Horizontal), QDoubleSpinBox()
        self._spin.setRange(0, 99)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._spin)
        self._slider.valueChanged.connect(lambda value: self.setValue(self._spin.maximum() * value / 99))
        self._spin.valueChanged.connect(self._changed)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def _changed(self, value: float) -> None:
        before = self._slider.blockSignals(True)
        self._slider.setValue(round(99 * value / (self._spin.maximum() or 1)))
        self._slider.blockSignals(before)
        self.valueChanged.emit(value)

    value = Property(float, lambda self: self._spin.value(), lambda self, value: self.setValue(value))
    minimum = Property(float, lambda self: self._spin.minimum(), lambda self, value: self._spin.setMinimum(value))
    maximum = Property(float, lambda self: self._spin.maximum(), lambda self, value: self._spin.setMaximum(value))
    singleStep = Property(float, lambda self: self._spin.singleStep(), lambda self, v: self._spin.setSingleStep(v))
    decimals = Property(int, lambda self: self._spin.decimals(), lambda self, value: self._spin.setDecimals(value))


class ctkPathLineEdit(QWidget):
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    EXPOSED = frozenset({"setCurrentPath", "browse", "addCurrentPathToHistory"})
    Dirs, Files, Drives, NoSymLinks, Readable, Writable, Executable = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40
    filters = stored(int, "filters", 0)
    settingKey = stored(str, "settingKey", "")
    showHistoryButton = stored(bool, "showHistoryButton", True)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edit = QLineEdit()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        layout.addWidget(QPushButton("...", maximumWidth=28))
        self._edit.textChanged.connect(self.currentPathChanged.emit)

    def setCurrentPath(self, path: str) -> None:
        self._edit.setText(path)

    currentPath = Property(str, lambda self: self._edit.text(), lambda self, path: self.setCurrentPath(path))

"""Where it trains: on this computer by default, or on another one whose address, token and consent stand here."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from slicer_kdseg.desktop.binding import bind
from slicer_kdseg.protocol.errors import NotAllowed
from slicer_kdseg.scene import backend_remote
from slicer_kdseg.scene.backend_python import BackendPython, chosen_python, slicers_python
from slicer_kdseg.scene.backend_state import LinkState
from slicer_kdseg.scene.workplace import Workplace

BINDINGS = (
    ("localButton", "clicked()", "place_chosen"),
    ("remoteButton", "clicked()", "place_chosen"),
    ("lookButton", "clicked()", "look"),
    ("installButton", "clicked()", "install"),
    ("cancelInstallButton", "clicked()", "cancel_installation"),
    ("startButton", "clicked()", "start"),
    ("stopButton", "clicked()", "stop"),
    ("finishBox", "toggled(bool)", "finish_chosen"),
    ("sureBox", "toggled(bool)", "sure_chosen"),
    ("cleanUpButton", "clicked()", "clean_up"),
    ("addressEdit", "editingFinished()", "address_entered"),
    ("testButton", "clicked()", "test"),
    ("connectButton", "clicked()", "connect"),
)


class BackendPanel:
    def __init__(self, widget: Any, workplace: Workplace) -> None:
        self.widget = widget
        self.ui = slicer.util.childWidgetVariables(widget)
        self._place, self._link = workplace, workplace.link
        bind(self.ui, BINDINGS, self, workplace.say)
        self._disconnect = workplace.link.changed.connect(self.show)
        settings = qt.QSettings()
        self.ui.addressEdit.text = settings.value("KDSeg/Address", "")
        self.ui.pythonEdit.currentPath = settings.value("KDSeg/Python", "")
        self.ui.folderLabel.text = str(self._link.root)
        self.show(self._link.state)

    # This computer

    def place_chosen(self) -> None:
        self._link.prefer(local=self.ui.localButton.checked)

    def look(self) -> None:
        self._remember_python()
        self._link.look(python_chosen())

    def install(self) -> None:
        """One click: what is missing is looked up and installed."""
        self._remember_python()
        self._link.install(python_chosen())

    def cancel_installation(self) -> None:
        self._link.cancel_installation()

    def start(self) -> None:
        self._remember_python()
        self._link.start_local(python_chosen())

    def stop(self) -> None:
        self._link.stop_local()

    def finish_chosen(self) -> None:
        self._link.let_trainings_finish = self.ui.finishBox.checked

    def sure_chosen(self) -> None:
        self.ui.cleanUpButton.enabled = self.ui.sureBox.checked

    def clean_up(self) -> None:
        """Everything that a local backend has stored; the box beside it has said that nobody needs it."""
        self.ui.sureBox.checked = False
        self._link.clean_up()
        self._place.session.models.forget()

    # Another one

    def address_entered(self) -> None:
        if self.ui.addressEdit.text:
            self.ui.tokenEdit.text = backend_remote.stored_token(self.ui.addressEdit.text) or self.ui.tokenEdit.text

    def test(self) -> None:
        backend_remote.host_of(self.ui.addressEdit.text)
        self._link.test(self.ui.addressEdit.text, self.ui.tokenEdit.text)

    def connect(self) -> None:
        url, token = self.ui.addressEdit.text, self.ui.tokenEdit.text
        host = backend_remote.host_of(url)
        if backend_remote.needs_consent(url):
            self._ask_consent(host)
        qt.QSettings().setValue("KDSeg/Address", url)
        if token and not backend_remote.store_token(url, token):
            self._place.say(_("No keyring can be used here; the token is kept until Slicer ends."))
        self._link.connect_remote(url, token)

    def show(self, state: LinkState) -> None:
        ui = self.ui
        running = state.runs_locally
        ui.localButton.checked, ui.remoteButton.checked = state.local, not state.local
        ui.localArea.visible, ui.remoteArea.visible = state.local, not state.local
        ui.linkLabel.text = state.sentence
        ui.lookButton.enabled = not state.busy and not running
        ui.installButton.enabled = not state.busy and not running and state.missing != ()
        ui.cancelInstallButton.visible = state.stage == "installing"
        ui.startButton.enabled = not state.busy and not running
        ui.stopButton.enabled = running
        ui.testButton.enabled = ui.connectButton.enabled = not state.busy
        ui.busyBar.visible = state.busy
        ui.finishBox.checked = self._link.let_trainings_finish
        ui.cleanUpButton.enabled = ui.sureBox.checked

    def close(self) -> None:
        self._disconnect()

    def _ask_consent(self, host: str) -> None:
        """The one question that KDSeg ever asks. Raises :class:`NotAllowed`."""
        settings = qt.QSettings()
        key = f"KDSeg/Consent/{host}"
        if settings.value(key, "") == "yes":
            return
        text = _(
            "To train there, images and what you draw on them leave this computer and are stored on '{host}'."
            " Names of patients and other tags are not sent. Send them?"
        ).format(host=host)
        if not slicer.util.confirmOkCancelDisplay(text, windowTitle=_("KDSeg: send images to another computer")):
            raise NotAllowed(_("Nothing was sent to '{host}'.").format(host=host))
        settings.setValue(key, "yes")

    def _remember_python(self) -> None:
        qt.QSettings().setValue("KDSeg/Python", self.ui.pythonEdit.currentPath)


def python_chosen() -> BackendPython:
    """Slicer's own Python unless the user has chosen another. Raises :class:`BackendUnreachable`."""
    path = qt.QSettings().value("KDSeg/Python", "")
    if not path:
        return slicers_python()
    return chosen_python(path, slicer.util.startupEnvironment())


def default_root() -> Path:
    """Where nothing else cleans up: beside Slicer's settings; not in the cache, because models are kept there.

    On Windows those settings roam: they are copied from computer to computer, which gigabytes of images should not be.
    """
    told, settings = os.environ.get("KDSEG_ROOT", ""), Path(slicer.app.slicerUserSettingsFilePath)
    if told:
        return Path(told)
    stays = os.environ.get("LOCALAPPDATA", "") if sys.platform == "win32" else ""
    return (Path(stays) / settings.parent.name if stays else settings.parent) / "KDSeg"

"""The one connection to a backend that a running Slicer has, local or remote.

It outlives panels: a module that is reloaded finds it again (:func:`the_link`). Starting, installing and asking
happen on other threads; :meth:`BackendLink.drain` hands over what has come, on the caller's thread.
"""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import KDSegError
from slicer_kdseg.protocol.local import LeftBackend, LocalBackend, left_running
from slicer_kdseg.protocol.messages import BackendInfo
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene import backend_remote
from slicer_kdseg.scene.backend_install import Installation, torch_is_chosen
from slicer_kdseg.scene.backend_python import BackendPython, Missing, look
from slicer_kdseg.scene.backend_remote import Tested, device_sentence
from slicer_kdseg.scene.backend_state import LinkState, Stage
from slicer_kdseg.scene.errands import Errands
from slicer_kdseg.scene.signals import Signal

Running = LocalBackend | LeftBackend
DELETE_SECONDS = 10.0  # workers that are just ending still hold files


class BackendLink:
    """``root`` is where a local backend keeps cases, jobs and models; ``options`` go to its command line."""

    def __init__(self, root: Path, options: Sequence[str] = ()) -> None:
        self.root = root
        self.state = LinkState()
        self.client: BackendClient | None = None
        self.changed: Signal[[LinkState]] = Signal()
        self.connected: Signal[[BackendClient]] = Signal()
        self.let_trainings_finish = False
        self.ends_with_slicer = False
        self._options = tuple(options)
        self._local: Running | None = None
        self._started: list[Running] = []  # all that were ever, the one that nobody has been told of included
        self._closed = threading.Event()
        self._remote = False
        self._installation: Installation | None = None
        self._cancel_wanted = threading.Event()
        self._errands = Errands(("backend", "test"))
        self._lines: SimpleQueue[str] = SimpleQueue()

    def prefer(self, local: bool) -> None:
        """Where the next training goes; a connection is left as it is until then."""
        self._become(local=local)

    @property
    def connected_as_chosen(self) -> bool:
        """A backend is connected, on this computer or on another one as the user wants it."""
        return self.state.stage == "connected" and self._remote != self.state.local

    def look(self, python: BackendPython) -> None:
        """What a local backend with this Python would lack."""
        self._become(stage="asking", sentence=_("Looking what is installed."))
        self._errands.send("backend", lambda: look(python), self._looked, self._failed)

    def install(self, python: BackendPython) -> None:
        """What is missing and nothing else. Only ever after a click that said so."""
        self._cancel_wanted.clear()
        self._become(stage="installing", sentence=_("Installing; this loads up to a few gigabytes, once."))

        def work() -> Missing:
            missing = look(python)
            installation = self._installation = Installation(python, missing.requirements, torch_is_chosen(python))
            if self._cancel_wanted.is_set():
                installation.cancel()
            installation.run(self._lines.put)
            return look(python)

        self._errands.send("backend", work, self._looked, self._failed)

    def cancel_installation(self) -> None:
        self._cancel_wanted.set()
        if self._installation is not None:
            self._installation.cancel()

    def start_local(self, python: BackendPython) -> None:
        """Looks first, starts only if nothing is missing; a backend that was left to finish its jobs is taken over."""
        self._become(stage="starting", sentence=_("Starting the local backend."), local=True)

        def work() -> Missing | tuple[Running, BackendClient, BackendInfo]:
            local: Running | None = left_running(self.root)
            if local is None:
                missing = look(python)
                if missing.requirements:
                    return missing
                local = LocalBackend(self.root, python.executable, self._options, python.environment)
            self._started.append(local)
            if self._closed.is_set():
                local.close()
            client = BackendClient(local.url, local.token)
            return local, client, client.info(devices=True)

        def started(result: Missing | tuple[Running, BackendClient, BackendInfo]) -> None:
            if isinstance(result, Missing):
                self._looked(result)
                return
            self._local, client, info = result
            self.let_trainings_finish |= isinstance(self._local, LeftBackend)
            self._use(client, _("The local backend runs. {device}").format(device=device_sentence(info)), local=True)

        self._errands.send("backend", work, started, self._failed)

    def connect_remote(self, url: str, token: str) -> None:
        """Test first, connect if it is one."""
        self._become(stage="asking", sentence=_("Asking {url}.").format(url=url), local=False)

        def connect(tested: Tested) -> None:
            self._use(BackendClient(tested.url, token or None), tested.sentence, local=False)

        self._errands.send("test", lambda: backend_remote.test_connection(url, token), connect, self._failed)

    def test(self, url: str, token: str) -> None:
        """Says what is there, or the cause; a connection that exists stays as it is."""
        before = self.state
        self._become(stage="asking", sentence=_("Asking {url}.").format(url=url))

        def told(sentence: str) -> None:
            self._become_all(dataclasses.replace(before, sentence=sentence))

        self._errands.send(
            "test",
            lambda: backend_remote.test_connection(url, token),
            lambda tested: told(tested.sentence),
            lambda error: told(error.sentence),
        )

    def stop_local(self) -> None:
        """Jobs are interrupted, not lost: they go on when a backend starts again."""
        self._end_local_elsewhere()
        self._become_all(
            LinkState(sentence=_("The local backend was stopped. Its trainings go on when it starts again."))
        )

    def clean_up(self) -> None:
        """Stop the local backend and delete all cases, jobs and models that it has stored."""
        local, self._local = self._local, None
        self._become(stage="asking", sentence=_("Deleting what was stored."), local=True)

        def work() -> None:
            for running in (local, left_running(self.root)):
                if running is not None:
                    running.close()
            until = time.monotonic() + DELETE_SECONDS
            while self.root.exists() and time.monotonic() < until:
                shutil.rmtree(self.root, ignore_errors=True)
                time.sleep(0.1)

        def done(nothing: None) -> None:
            sentence = _("What the local backend had stored was deleted.")
            if self.root.exists():
                sentence = _("Not everything in {folder} could be deleted; close what uses it, and delete it again.")
            self._become_all(LinkState(sentence=sentence.format(folder=self.root)))

        self._errands.send("backend", work, done, self._failed)

    def drain(self) -> None:
        """Hand over what has come, and notice when the local backend has died."""
        line = ""
        while True:
            try:
                line = self._lines.get_nowait()
            except Empty:
                break
        if line and self.state.stage == "installing":
            self._become(sentence=line[:160])
        self._errands.drain()
        if self._local is not None and not self._local.alive:
            words = self._local.last_words
            self._local.close()
            self._local = None
            self._become_all(
                LinkState(
                    sentence=_(
                        "The local backend has ended unexpectedly. Press Start backend: trainings go on from their last"
                        " checkpoint, and what you drew is untouched. {words}"
                    )
                    .format(words=words)
                    .strip()
                )
            )

    def close(self) -> None:
        """Slicer ends. A local backend ends too, unless it was asked to let its trainings finish."""
        self.cancel_installation()
        self._errands.close()
        self._closed.set()
        local, self._local = self._local, None
        if local is not None and self.let_trainings_finish and local.alive:
            local.let_finish()
            self._started.remove(local)
        for local in list(self._started):
            local.close()

    def _end_local_elsewhere(self) -> None:
        """Workers get seconds to end; nobody should look at a frozen window meanwhile."""
        local, self._local = self._local, None
        if local is not None:
            self._errands.send("backend", local.close, lambda _: None, self._failed)

    def _use(self, client: BackendClient, sentence: str, local: bool) -> None:
        if not local:
            self._end_local_elsewhere()
        self.client = client
        self._remote = not local
        self._become(
            stage="connected",
            sentence=sentence,
            local=local,
            runs_locally=self._local is not None,
            address=client.url,
            missing=() if local else self.state.missing,
        )
        self.connected.emit(client)

    def _looked(self, missing: Missing) -> None:
        self._become(stage="none", sentence=missing.sentence, missing=missing.requirements)

    def _failed(self, error: KDSegError) -> None:
        stage: Stage = "connected" if self._local is not None or self._remote else "none"
        self._become(stage=stage, sentence=error.sentence)

    def _become(self, **changes: object) -> None:
        self._become_all(dataclasses.replace(self.state, **changes))  # type: ignore[arg-type]

    def _become_all(self, state: LinkState) -> None:
        if state != self.state:
            self.state = state
            self.changed.emit(state)


_LINKS: dict[Path, BackendLink] = {}


def the_link(root: Path, options: Sequence[str] = ()) -> BackendLink:
    """The link of this application on ``root``; made at the first call."""
    if root not in _LINKS:
        _LINKS[root] = BackendLink(root, options)
    return _LINKS[root]

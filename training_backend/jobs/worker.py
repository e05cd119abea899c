"""One job in one process: ``python -m training_backend.jobs.worker --root DIR --job ID``.

Without ``--job`` it loads what training needs, which takes ten CPU seconds, and waits for a line with the job's id.
``--training module:function`` chooses which training to run; the function takes the job's folder, its request,
its resolved settings, its cases, a desk (see ``training_backend.engine.desk``) and the folder of the model that
is current for these classes, or None. It returns when it has finished, and soon after ``desk.orders().end`` is
set; what it has handed in as its candidate then becomes a model.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from slicer_kdseg.protocol import method_settings
from slicer_kdseg.protocol.errors import KDSegError, OutOfSpace
from slicer_kdseg.protocol.messages import FINAL_STATES, StateChanged
from training_backend.jobs.files import is_disk_full
from training_backend.jobs.loading import load
from training_backend.jobs.locks import FolderLock
from training_backend.jobs.store import PREDICT, Store
from training_backend.jobs.worker_desk import Line, WorkerDesk

TRAINING = "training_backend.jobs.training:run"
PREDICTION = "training_backend.jobs.prediction:run"
LOCK_WAIT_SECONDS = 20.0


def main(arguments: list[str] | None = None) -> int:
    """0 when the job's end has been written down, 1 when the runner has to."""
    parser = argparse.ArgumentParser(prog="training_backend.jobs.worker", description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--job", help="without it: told on stdin, once everything is loaded")
    parser.add_argument("--training", default=TRAINING, help="module:function, which training to run")
    options = parser.parse_args(arguments)
    line = _take_over_stdout()
    job = options.job or _told()
    if not job:
        return 0
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    store = Store(options.root, on_event=lambda job: line.say("event"))
    if not options.job:
        _log_to(store.job_folder(job) / "worker.log")
    lock = FolderLock(store.job_folder(job) / "worker.lock")
    if not lock.acquire(LOCK_WAIT_SECONDS):
        sys.stderr.write("Another worker still holds this job.\n")
        return 1
    try:
        _work(store, job, options.training, line)
    except Exception as error:  # the border of the process: whatever went wrong is written down
        traceback.print_exc()
        return _note_failure(store, job, error)
    finally:
        lock.release()
        store.close()
    return 0


def _work(store: Store, job: str, training: str, line: Line) -> None:
    request = store.history.request(job)
    cases, last_join = store.stored_cases(job)
    affines = {case.case: np.array(store.cases.about(case.case)["affine"]) for case in cases}
    desk = WorkerDesk(store, job, line, affines, last_join)
    resolved = json.loads((store.job_folder(job) / "settings.json").read_bytes())
    if request.method == PREDICT:
        _function(PREDICTION)(store.models.path(resolved["model"]), cases[0], desk)
    else:
        chosen = method_settings.SETTINGS[request.method](**resolved)
        previous = store.models.current_folder(request.labels)
        _function(training)(store.job_folder(job), request, chosen, cases, desk, previous)
    _conclude(store, job, request.method)


def _conclude(store: Store, job: str, method: str) -> None:
    """Turn what a finished run has left into the job's last events."""
    ending, _ = store.history.ending(job)
    if ending == "cancel":
        store.history.emit(job, StateChanged("cancelled", "Cancelled; nothing was kept."))
    elif method == PREDICT:
        store.history.emit(job, StateChanged("done" if ending is None else "stopped"))
    elif ending == "stop":
        if store.models.promote(job, "stopped", "Stopped; the best model so far was kept.") is None:
            store.history.emit(job, StateChanged("stopped", "Stopped before there was a model to keep."))
    elif store.models.promote(job, "done") is None:
        store.history.emit(job, StateChanged("failed", "The training ended without a model that could be verified."))


def _note_failure(store: Store, job: str, error: Exception) -> int:
    if store.history.status(job).state in FINAL_STATES:
        return 0
    try:
        store.history.emit(job, StateChanged("failed", _sentence(error)))
    except OutOfSpace:
        store.free_reserve()
        store.history.emit(job, StateChanged("failed", _sentence(error)))
    return 0


def _sentence(error: Exception) -> str:
    if isinstance(error, KDSegError):
        return error.sentence
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "The memory ran out while training; crop the image, choose a coarser working spacing or fewer cases."
    if is_disk_full(error):
        return f"There is no space left on the disk ({error}); free some space and start the job again."
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return f"The training failed: {type(error).__name__}: {error} ({where}); the job's worker.log tells more."


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _take_over_stdout() -> Line:
    """Keep the line to the server for ourselves; what anything prints goes to the log."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    return Line(descriptor)


def _told() -> str:
    """The job's id, once everything that it needs is loaded; empty when the server has gone."""
    load()
    said = b""
    while not said.endswith(b"\n"):
        more = os.read(0, 1024)
        if not more:
            return ""
        said += more
    return said.decode().strip()


def _log_to(file: Path) -> None:
    """From now on whatever is printed goes to ``file``."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)


def _end_with_the_server() -> None:
    """Nothing more is written here: the end of stdin means that the server is gone, and its worker goes with it."""
    while os.read(0, 1024):
        pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())

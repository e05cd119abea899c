"""A training that counts instead of learning: real processes, files and checkpoints, no torch.

``settings.seconds`` x 50 steps of 20 ms; ``settings.seed`` chooses how it behaves.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from slicer_kdseg.protocol.errors import BadImage
from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.messages import JobRequest, Progress, RevisionJoined, StateChanged
from slicer_kdseg.protocol.method_settings import TrainSettings
from training_backend.engine.desk import Desk
from training_backend.jobs.cases import StoredCase, read_annotation, read_image

STEP_SECONDS = 0.02
GOOD, HANGS, BAD_IMAGE, NO_MEMORY, DIES, WORSE, FAST, FULL_DISK = range(8)


def run(
    job_folder: Path,
    request: JobRequest,
    settings: TrainSettings,
    cases: list[StoredCase],
    desk: Desk,
    previous: Path | None,
) -> None:
    print("a library prints something")  # noqa: T201  must not disturb the line to the server
    misbehave(settings.seed)
    state = job_folder / "checkpoint" / "state.json"
    state.parent.mkdir(exist_ok=True)
    seen = json.loads(state.read_text()) if state.exists() else {"step": 0, "strokes": {}, "starts": 0}
    seen["previous"] = previous.name if previous else None
    seen["starts"] += 1
    for case in cases:
        assert read_image(case.image).array.ndim == 3
        if case.annotation is not None:
            seen["strokes"][f"{case.case}/{case.revision}"] = strokes(read_annotation(case.annotation)[0])
    desk.emit(StateChanged("training"))
    for case in cases[1:]:
        carried_over = np.ones(read_image(case.image).array.shape, np.uint8)
        desk.preview(case.case, carried_over, "propagated", 0, 0, sentence="Carried over.")
    total = max(1, int(settings.seconds / STEP_SECONDS))
    for step in range(seen["step"] + 1, total + 1):
        orders = desk.orders()
        for new in orders.revisions:
            seen["strokes"][f"{new.case}/{new.number}"] = strokes(new.labels)
            desk.emit(RevisionJoined(new.case, new.number, step))
        if orders.end == "cancel":
            return
        seen["step"] = step
        desk.emit(Progress(step, step / total, (total - step) * STEP_SECONDS, "counting"))
        if step % 10 == 1 or step == total or orders.end:
            labels = np.zeros(read_image(cases[0].image).array.shape, np.uint8)
            labels.reshape(-1)[: step * 7] = 1
            desk.preview(cases[0].case, labels, "student", step, cases[0].revision or 0, uncertainty=labels)
            hand_in(job_folder, seen, settings.seed, desk)
            save(state, seen)
        if orders.end == "stop":
            return
        if settings.seed != FAST:
            time.sleep(STEP_SECONDS)


def strokes(labels: np.ndarray) -> int:
    return int((labels != UNLABELLED).sum())


def save(state: Path, seen: dict[str, object]) -> None:
    draft = state.with_suffix(".new")
    draft.write_text(json.dumps(seen))
    draft.replace(state)


def hand_in(job_folder: Path, seen: dict[str, object], seed: int, desk: Desk) -> None:
    folder = job_folder / "draft"
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(json.dumps(seen))
    (folder / "weights.bin").write_bytes(b"\7" * (4 << 20 if seed == FULL_DISK else 1000))
    desk.candidate(folder, {"1": 0.9}, seed != WORSE, "Worse than before." if seed == WORSE else "Good.")


def misbehave(seed: int) -> None:
    if seed == HANGS:
        while True:
            time.sleep(1)
    if seed == BAD_IMAGE:
        raise BadImage("The image is of no use; take another one.")
    if seed == NO_MEMORY:
        raise MemoryError
    if seed == DIES:
        sys.stderr.write("a last word\n")
        sys.stderr.flush()
        os._exit(3)

"""A workspace for tests: the real one in a process of its own, which answers questions about its scene.

Every line on standard input is a Python expression over ``space`` (the workspace), ``session``, ``scene``, ``np`` and
:func:`voxels`, evaluated in the workspace's own thread; the answer is one line of JSON. The end of standard input ends
the process.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from slicer_kdseg.browser.workspace import Workspace
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.results import preview_nodes
from training_backend.cli.web import sample_image

TOLD = os.fdopen(os.dup(1), "w", buffering=1)


def main() -> None:
    root, *options = sys.argv[1:]
    os.dup2(2, 1)  # whatever a library prints must not come between the answers
    space = Workspace(Path(root), options, samples=sample_image)

    def ready(address: str) -> None:
        tell({"address": address})
        threading.Thread(target=listen, args=(space, asyncio.get_running_loop()), daemon=True).start()

    space.run(0, ready)


def listen(space: Workspace, loop: asyncio.AbstractEventLoop) -> None:
    for line in sys.stdin:
        tell(asyncio.run_coroutine_threadsafe(answer(space, line), loop).result())
    loop.call_soon_threadsafe(lambda: (space.close(), os._exit(0)))


async def answer(space: Workspace, question: str) -> dict[str, Any]:
    names = {
        "space": space,
        "session": space.session,
        "scene": space.parts.scene,
        "np": np,
        "voxels": voxels,
        "previews": preview_nodes,
    }
    try:
        with space.server.state:
            return {"answer": eval(question, names)}
    except Exception:
        return {"error": traceback.format_exc()}


def voxels(volume: Any, node: Any) -> dict[str, Any]:
    """Of a segmentation: the classes by id, and a digest of all voxels."""
    annotation = Annotation(volume, node)
    classes = {label.id: label.name for label in annotation.contract.foreground}
    labels = annotation.filled()
    return {
        "classes": classes,
        "count": int((labels > 0).sum()),
        "digest": hashlib.sha256(labels.tobytes()).hexdigest(),
    }


def tell(content: dict[str, Any]) -> None:
    TOLD.write(json.dumps(content, default=str) + "\n")


if __name__ == "__main__":
    main()

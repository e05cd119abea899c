"""What it costs to bring a new label map from the trainer into the scene, against what others do.

    ours    changes since the last preview ─ encode ─ HTTP on loopback ─ decode ─ written into the shared layer
    theirs  whole map as gzip NRRD ─ file ─ HTTP on loopback ─ file ─ loaded ─ ImportLabelmapToSegmentationNode

CPU seconds of this process, both ends included, variants interleaved, medians; one update is ``full``
(0.15 % of the voxels, everywhere), one ``local`` (one edit). The result must be equal voxel by voxel.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import requests

from slicer_kdseg.protocol.deltas import changes, encode_changes
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.protocol.previews import decode_preview
from training_backend.data.cases import write_volume

SHAPE = (300, 512, 512)
CLASSES = 5
REPEATS = 5
FULL_SHARE = 0.0015
AFFINE = np.diag([-0.8, -0.8, 1.0, 1.0])


def measure(shape: tuple[int, int, int] = SHAPE, repeats: int = REPEATS) -> dict[str, float]:
    """Medians in CPU seconds and the promised ratios. Raises AssertionError if a result is not equal."""
    contract = LabelContract(tuple(LabelClass(n, f"class {n}", (n / 5, 0.5, 0.5)) for n in range(CLASSES + 1)))
    before = blobs(shape)
    updates = {"full": everywhere(before), "local": one_edit(before)}
    spent: dict[str, list[float]] = {}
    with TemporaryDirectory(prefix="kdseg-bench-") as folder, _Shelf.open() as shelf:
        place = _Scene(shape, contract)
        spare = np.empty_like(before)
        for _ in range(repeats):
            for name, after in updates.items():
                place.preview.show(before)
                spent.setdefault(f"{name} ours", []).append(_cpu(partial(_ours, before, after, shelf, place)))
                assert np.array_equal(place.preview.labels, after), "the preview differs from what was sent"
                theirs = _cpu(partial(_theirs, after, shelf, place, Path(folder)))
                spent.setdefault(f"{name} gzip nrrd", []).append(theirs)
            spent.setdefault("memcpy", []).append(_cpu(lambda: np.copyto(spare, before)))
            spent.setdefault("scene update", []).append(_cpu(lambda: place.preview.show(updates["full"])))
            spent.setdefault("scene import", []).append(_cpu(place.import_again))
        assert place.preview.node.GetSegmentation().GetNumberOfLayers("Binary labelmap") == 1
        place.close()
    found = {name: median(values) for name, values in spent.items()}
    found["pushback_full_vs_gzip_nrrd"] = found["full ours"] / found["full gzip nrrd"]
    found["pushback_local_vs_gzip_nrrd"] = found["local ours"] / found["local gzip nrrd"]
    found["scene_update_vs_import"] = found["scene update"] / found["scene import"]
    found["pushback_full_vs_memcpy"] = found["full ours"] / found["memcpy"]
    return found


def blobs(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Organs of a body: five ellipsoids (D, H, W) uint8."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    d, h, w = (
        np.linspace(-1, 1, n, dtype=np.float32).reshape([-1 if a == x else 1 for a in range(3)])
        for x, n in enumerate(shape)
    )
    for id_ in range(1, CLASSES + 1):
        z, y, x = rng.uniform(-0.5, 0.5, 3)
        a, b, c = rng.uniform(0.15, 0.4, 3)
        labels[((d - z) / a) ** 2 + ((h - y) / b) ** 2 + ((w - x) / c) ** 2 < 1] = id_
    return labels


def everywhere(labels: np.ndarray, seed: int = 1) -> np.ndarray:
    """Borders moved by a voxel in blocks all over the volume, until about ``FULL_SHARE`` of it has changed."""
    moved = np.roll(labels, 1, axis=2)
    most = float((moved != labels).mean())
    coarse = np.random.default_rng(seed).random([-(-n // 16) for n in labels.shape]) < FULL_SHARE / max(
        most, FULL_SHARE
    )
    for axis, extent in enumerate(labels.shape):
        coarse = np.repeat(coarse, 16, axis).take(range(extent), axis)
    return np.where(coarse, moved, labels)


def one_edit(labels: np.ndarray) -> np.ndarray:
    """A ball of class 1 painted at one place, about 0.02 % of the volume."""
    after = labels.copy()
    radius = round((0.00022 * labels.size * 3 / 4 / np.pi) ** (1 / 3))
    middle = [extent // 3 for extent in labels.shape]
    box = tuple(slice(max(0, m - radius), m + radius + 1) for m in middle)
    grid = np.ogrid[box]
    inside = sum((axis - m) ** 2 for axis, m in zip(grid, middle, strict=True)) <= radius**2
    after[box][inside] = 1
    return after


def _ours(before: np.ndarray, after: np.ndarray, shelf: _Shelf, place: _Scene) -> None:
    about = {"preview": 2, "case": "bench", "since": 1}
    shelf.content = encode_changes(changes(before, after), about=about)
    update = decode_preview(shelf.fetch())
    update.apply(place.preview.labels)
    place.preview.shown()


def _theirs(after: np.ndarray, shelf: _Shelf, place: _Scene, folder: Path) -> None:
    write_volume(folder / "sent.nrrd", after, AFFINE)
    shelf.content = (folder / "sent.nrrd").read_bytes()
    (folder / "received.nrrd").write_bytes(shelf.fetch())
    place.load_and_import(folder / "received.nrrd")


def _cpu(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


class _Scene:
    """A scene with a volume, our preview and the segmentation that others import into."""

    def __init__(self, shape: tuple[int, int, int], contract: LabelContract) -> None:
        from slicer_kdseg.headless.boot import boot
        from slicer_kdseg.scene.geometry import new_volume
        from slicer_kdseg.scene.results import PreviewSegmentation

        self._host = boot()
        volume = new_volume(self._host.scene, "CT", np.zeros(shape, np.int16), AFFINE)
        self.preview = PreviewSegmentation(self._host.scene, volume, contract)
        self._other = self._host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "imported")
        self._other.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        self._labelmap: Any = None

    def load_and_import(self, path: Path) -> None:
        from slicer_kdseg.headless.files import load_volume

        if self._labelmap is not None:
            self._host.scene.RemoveNode(self._labelmap)
        self._labelmap = load_volume(self._host, path, labelmap=True)
        self.import_again()

    def import_again(self) -> None:
        import slicer

        self._other.GetSegmentation().RemoveAllSegments()
        slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(self._labelmap, self._other)

    def close(self) -> None:
        self._host.close()


class _Shelf:
    """One body behind an HTTP server on loopback, and a client with a kept connection."""

    def __init__(self, url: str) -> None:
        self.content = b""
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def fetch(self) -> bytes:
        return self._session.get(self._url, timeout=60).content

    @staticmethod
    @contextmanager
    def open() -> Iterator[_Shelf]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(shelf.content)))
                self.end_headers()
                self.wfile.write(shelf.content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        shelf = _Shelf(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield shelf
        finally:
            server.shutdown()
            server.server_close()
            shelf._session.close()

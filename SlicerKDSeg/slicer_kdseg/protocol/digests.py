"""Content addresses: the same voxels and geometry have the same name on both ends, however they were packed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np


def case_id(array: np.ndarray, affine: np.ndarray) -> str:
    """64 hexadecimal digits from type, shape, affine and voxels of an image (D, H, W)."""
    return _digest([array], {"affine": np.asarray(affine, np.float64).tolist()})


def annotation_digest(labels: np.ndarray, growcut: np.ndarray | None, about: dict[str, Any]) -> str:
    """The address of an annotation; ``about`` is its kind and label contract as JSON."""
    return _digest([labels] if growcut is None else [labels, growcut], about)


def _digest(arrays: list[np.ndarray], about: dict[str, Any]) -> str:
    sha = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for array in arrays:
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        sha.update(f"{array.dtype.newbyteorder('=').name}{array.shape}".encode())
        sha.update(little.reshape(-1).view(np.uint8).data)
    return sha.hexdigest()

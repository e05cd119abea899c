"""Everything a job needs to go on after a crash, as safetensors and JSON: no pickle, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from slicer_kdseg.protocol.errors import OutOfSpace


def save(
    folder: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer, facts: dict[str, Any]
) -> None:
    """Write one checkpoint over the one before. Raises :class:`OutOfSpace`; the older one then stays."""
    tensors = {f"{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(value) for key, value in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "state.safetensors.part"
    try:
        save_file(
            {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}, draft, {"facts": json.dumps(facts)}
        )
        os.replace(draft, folder / "state.safetensors")
    except (OSError, SafetensorError) as error:
        draft.unlink(missing_ok=True)
        raise OutOfSpace(
            f"The checkpoint could not be written ({error}); free disk space, training goes on."
        ) from error


def load(folder: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Restore what :func:`save` wrote and return its facts; None if there is no checkpoint."""
    path = folder / "state.safetensors"
    if not path.exists():
        return None
    tensors = load_file(path)
    for name, module in modules.items():
        module.load_state_dict(_below(tensors, name))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _below(tensors, "optimizer").items():
        index, field = key.split("/")
        state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return facts_of(folder)


def facts_of(folder: Path) -> dict[str, Any] | None:
    """The facts of a checkpoint without its tensors; None if there is no checkpoint."""
    path = folder / "state.safetensors"
    if not path.exists():
        return None
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return json.loads(header["__metadata__"]["facts"])


def _below(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    start = f"{name}/"
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}

"""Everything a job needs to go on after a crash, as safetensors and JSON: no pickle, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from slicer_kdseg.protocol.errors import OutOfSpace

LAYOUT = "3"  # one more whenever a job could not go on from what was written before


@dataclass(frozen=True)
class Memory:
    """What a training remembers: ``modules`` and ``optimizers`` are restored in place, ``tensors`` and ``facts``
    (JSON) are handed back."""

    modules: Mapping[str, nn.Module] = field(default_factory=dict)
    optimizers: Mapping[str, torch.optim.Optimizer] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def named(self, name: str) -> Memory:
        """The same under names that begin with ``name.``, so that several can be kept together."""
        return Memory(
            {f"{name}.{key}": value for key, value in self.modules.items()},
            {f"{name}.{key}": value for key, value in self.optimizers.items()},
            {f"{name}.{key}": value for key, value in self.tensors.items()},
            {f"{name}.{key}": value for key, value in self.facts.items()},
        )

    def __or__(self, other: Memory) -> Memory:
        return Memory(
            {**self.modules, **other.modules},
            {**self.optimizers, **other.optimizers},
            {**self.tensors, **other.tensors},
            {**self.facts, **other.facts},
        )


@dataclass(frozen=True)
class Recalled:
    """The part of a :class:`Memory` that has no place of its own to return to."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    def under(self, name: str) -> Recalled:
        """The part that :meth:`Memory.named` has put under ``name``."""
        start = f"{name}."
        tensors, facts = (
            {k[len(start) :]: own[k] for k in own if k.startswith(start)} for own in (self.tensors, self.facts)
        )
        return Recalled(tensors, facts)


def save(folder: Path, memory: Memory) -> None:
    """Write one checkpoint over the one before. Raises :class:`OutOfSpace`; the older one then stays."""
    tensors = {f"tensor/{key}": value for key, value in memory.tensors.items()}
    for name, module in memory.modules.items():
        tensors |= {f"module/{name}/{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in memory.optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{name}/{index}/{key}": torch.as_tensor(value) for key, value in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "state.safetensors.part"
    try:
        whole = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
        save_file(whole, draft, {"layout": LAYOUT, "facts": json.dumps(dict(memory.facts))})
        os.replace(draft, folder / "state.safetensors")
    except (OSError, SafetensorError) as error:
        draft.unlink(missing_ok=True)
        raise OutOfSpace(
            f"The checkpoint could not be written ({error}); free disk space, training goes on."
        ) from error


def load(folder: Path, memory: Memory) -> Recalled | None:
    """Restore the modules and optimisers of what :func:`save` wrote and return the rest; None without a checkpoint."""
    path, facts = folder / "state.safetensors", facts_of(folder)
    if facts is None:
        return None
    tensors = load_file(path)
    for name, module in memory.modules.items():
        module.load_state_dict(_below(tensors, f"module/{name}"))
    for name, optimizer in memory.optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _below(tensors, f"optimizer/{name}").items():
            index, field_name = key.split("/")
            state.setdefault(int(index), {})[field_name] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return Recalled(_below(tensors, "tensor"), facts)


def facts_of(folder: Path) -> dict[str, Any] | None:
    """The facts of a checkpoint without its tensors; None if there is none, or one of another version of KDSeg."""
    path = folder / "state.safetensors"
    if not path.exists():
        return None
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    told = header["__metadata__"]
    return json.loads(told["facts"]) if told.get("layout") == LAYOUT else None


def _below(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    start = f"{name}/"
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}

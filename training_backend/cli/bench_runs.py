"""One training as a benchmark runs it: one thread, a budget in CPU seconds, nobody correcting."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from slicer_kdseg.protocol.errors import BadRequest
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.messages import JobRequest, Payload, Warned
from slicer_kdseg.protocol.settings import resolve
from training_backend.cli.bench_rows import Cost
from training_backend.cli.terminal_desk import TerminalDesk
from training_backend.cli.train import in_use

if TYPE_CHECKING:
    from training_backend.export.model import Model
    from training_backend.jobs.training_case import TrainingCase
    from training_backend.methods.method import Method


@dataclass(frozen=True)
class Variant:
    """A row of a benchmark: ``name`` in the table, and what is trained."""

    name: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    preset: str = "fast"


@dataclass(frozen=True)
class Trained:
    """``model``: the last one, loaded back; ``first`` and ``shown``: what a user was shown first and last, (D, H, W)
    ids by case id; ``said``: what the run had to say; ``method``: what has been trained, with all its networks."""

    model: Model
    first: dict[str, Any]
    shown: dict[str, Any]
    cost: Cost
    said: list[str]
    method: Method


def wanted(bench: str, only: Sequence[str] | None, known: set[str]) -> set[str]:
    """The rows to measure: those of ``--only``, else all. Raises :class:`BadRequest`, naming the rows there are."""
    strange = sorted(set(only or []) - known)
    if strange:
        raise BadRequest(f"The bench '{bench}' has no row {strange[0]!r}; it has {', '.join(sorted(known))}.")
    return set(only or known)


@contextmanager
def trained(
    variant: Variant,
    contract: LabelContract,
    cases: Sequence[TrainingCase],
    seconds: float,
    seed: int,
    device: str = "cpu",
) -> Iterator[Trained]:
    """Train ``variant`` on ``cases`` for ``seconds`` of CPU time, or of wall time on a GPU."""
    from training_backend.export.model import load_model
    from training_backend.jobs.loading import load
    from training_backend.jobs.training import Training, chosen

    clock = "cpu" if device == "cpu" else "wall"
    fixed = {"seconds": seconds, "seed": seed, "clock": clock, "threads": 1, "until_good": False, "device": device}
    settings = resolve(variant.method, variant.preset, {**fixed, **variant.settings})
    usable = chosen(cases, settings)
    load()
    request = JobRequest(variant.method, contract, in_use(usable), variant.preset, {**fixed, **variant.settings})
    with TemporaryDirectory(prefix="kdseg-bench-") as work:
        desk = _QuietDesk(Path(work) / "model")
        begun = time.process_time()
        training = Training(Path(work) / "job", request, settings, usable, desk)
        training.run()
        cost = Cost(seconds, time.process_time() - begun)
        shown = {case: preview[0] for case, preview in desk.previews.items()}
        yield Trained(load_model(desk.model, device), desk.first, shown, cost, desk.said, training.method)


@dataclass
class _QuietDesk(TerminalDesk):
    said: list[str] = field(default_factory=list)
    first: dict[str, np.ndarray] = field(default_factory=dict)

    def preview(self, case: str, labels: np.ndarray, *about: Any, **more: Any) -> None:
        self.first.setdefault(case, labels)
        super().preview(case, labels, *about, **more)

    def emit(self, payload: Payload) -> None:
        if isinstance(payload, Warned):
            self.said.append(payload.sentence)

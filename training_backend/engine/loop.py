"""The one training loop. It knows no method: stages say what learns, from what, scored how.

    for report in train(stages, budget):
        ...                            previews, checkpoints and orders happen between two steps

A stage is resumable at every step: all randomness of step n comes from :func:`generator_for` (seed, n).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slicer_kdseg.protocol.errors import KDSegError
from training_backend.engine.budget import Budget

Terms = dict[str, Tensor]


class DivergedError(KDSegError):
    """The loss stopped being a number."""


@dataclass(frozen=True)
class Moment:
    """Where training stands when a step begins; ``fraction`` of the whole budget, 0..1."""

    step: int
    fraction: float


@dataclass(frozen=True)
class Stage:
    """One part of a method.

    ``until``: fraction of the whole budget at which the stage ends. ``terms`` draws a batch and returns
    named, weighted 0-d losses; only ``learner`` is stepped. ``after`` runs behind each optimiser step.
    """

    name: str
    until: float
    learner: nn.Module
    optimizer: torch.optim.Optimizer
    rate: Callable[[float], float]
    terms: Callable[[Moment], Terms]
    after: Callable[[Moment], None]


@dataclass(frozen=True)
class Report:
    """What one step did."""

    stage: str
    step: int
    fraction: float
    losses: dict[str, float]


def generator_for(seed: int, step: int) -> torch.Generator:
    """The randomness of one step, the same whether or not the job was interrupted before it."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)


def train(stages: Iterable[Stage], budget: Budget, step: int = 0, clip: float = 5.0) -> Iterator[Report]:
    """Run ``stages`` from ``step`` on until the budget is gone. Raises :class:`DivergedError`."""
    skipped = 0
    for stage in stages:
        while (fraction := budget.fraction(step)) < stage.until:
            moment = Moment(step, fraction)
            for group in stage.optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * stage.rate(fraction)
            terms = stage.terms(moment)
            loss = torch.stack(list(terms.values())).sum()
            stage.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(stage.learner.parameters(), clip)
            if torch.isfinite(norm) and torch.isfinite(loss):
                stage.optimizer.step()
                skipped = 0
            elif (skipped := skipped + 1) > 20:
                raise DivergedError(
                    "Training diverged (the loss is not a number); lower 'learning_rate' and start again."
                )
            stage.after(moment)
            step += 1
            losses = {name: float(term.detach()) for name, term in terms.items()}
            yield Report(stage.name, step, budget.fraction(step), losses)

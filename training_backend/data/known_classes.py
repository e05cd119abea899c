"""Classes that one kind of image knows and the other does not: unlabelled there, never background."""

from __future__ import annotations

import torch
from torch import Tensor

from training_backend.data.items import Items


def known_to_assistants(items: Items) -> list[int]:
    """Foreground channels that any assistant shows: what one side does not know is unlabelled there."""
    own = items.of("assistant")
    return [int(c) for c in items.strokes[own].unique() if c > 0] if len(own) else []


def folded(logits: Tensor, target: Tensor, known: list[int]) -> tuple[Tensor, Tensor]:
    """Background and the channels not in ``known`` as one class, in logits and target (B, K+1, ...) alike.

    Where the assistants do not know a class, their background may be that class: nobody is taught otherwise.
    """
    rest = [channel for channel in range(logits.shape[1]) if channel not in known]
    if len(rest) == 1:
        return logits, target
    return (
        torch.cat([logits[:, rest].logsumexp(dim=1, keepdim=True), logits[:, known]], dim=1),
        torch.cat([target[:, rest].sum(dim=1, keepdim=True), target[:, known]], dim=1),
    )

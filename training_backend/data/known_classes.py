"""Classes that one case knows and another does not: unlabelled there, never background."""

from __future__ import annotations

import torch
from torch import Tensor

from training_backend.data.items import Items

UNHEARD = -1e4  # a logit whose probability is 0, and finite, so that times 0 it is 0


def known_classes(items: Items) -> Tensor:
    """(n, K+1) bool: the foreground channels that the case of each item shows in its labels."""
    known = torch.zeros(len(items), items.belief.shape[1], dtype=torch.bool, device=items.device)
    for span in items.spans:
        shown = items.strokes[span].unique().long()
        known[span, shown[shown > 0]] = True
    return known


def folded(logits: Tensor, target: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Item by item, background and the channels that are not ``known`` (B, K+1) as one class.

    ``logits`` and ``target`` are (B, K+1, ...), and come back without the channels that no item knows. Where a case
    does not know a class its background may be that class: nobody is taught otherwise.
    """
    own = known.view(*known.shape, *[1] * (logits.dim() - 2))
    heard = known.any(dim=0)
    background = logits.masked_fill(own, -torch.inf).logsumexp(dim=1, keepdim=True)
    rest = target.masked_fill(own, 0.0).sum(dim=1, keepdim=True)
    return (
        torch.cat([background, logits.masked_fill(~own, UNHEARD)[:, heard]], dim=1),
        torch.cat([rest, target.masked_fill(~own, 0.0)[:, heard]], dim=1),
    )

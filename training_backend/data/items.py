"""Training items on one device: slices in 2-D, volumes in 3-D, each with strokes and a soft target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training_backend.losses.partial_cross_entropy import UNSPOKEN

Part = Literal["annotated", "unlabelled", "assistant"]


@dataclass(frozen=True)
class PreparedCase:
    """One case at working spacing, slice axis first.

    ``image`` (C, D, H, W) float32; ``strokes`` (D, H, W) int8 channel indices, ``UNSPOKEN`` elsewhere;
    ``belief`` (K+1, D, H, W) float32: what the first teachers think, 0 where none of them speaks.
    ``part``: what the case is to the training.
    """

    case: str
    image: Tensor
    strokes: Tensor
    belief: Tensor
    part: Part = "annotated"


class Items:
    """All cases as items of one padded size.

    ``image`` (n, C, *spatial), ``strokes`` (n, *spatial) int8, ``belief`` and ``target``
    (n, K+1, *spatial) float16; strokes always overrule the target. ``rarity`` (n,): how much of the classes
    of each item is to be found nowhere else. ``parts``: what each case is to the training; ``edition`` grows
    whenever the targets have been built anew.
    """

    def __init__(self, cases: Sequence[PreparedCase], dims: int, device: torch.device) -> None:
        self.dims = dims
        self.device = device
        sizes = [_item_sizes(case, dims) for case in cases]
        self.spatial = tuple(int(n) for n in np.max([size for size, _ in sizes], axis=0))
        self.spans: list[slice] = []
        first = 0
        for _, count in sizes:
            self.spans.append(slice(first, first + count))
            first += count
        classes = len(cases[0].belief)
        self.image = torch.zeros(first, len(cases[0].image), *self.spatial, device=device)
        self.strokes = torch.full((first, *self.spatial), UNSPOKEN, dtype=torch.int8, device=device)
        self.belief = torch.zeros(first, classes, *self.spatial, dtype=torch.float16, device=device)
        self.sizes = torch.zeros(first, dims)
        self.parts: list[Part] = [case.part for case in cases]
        self.edition = 0
        for place, (case, (size, _)) in enumerate(zip(cases, sizes, strict=True)):
            self.image[self.spans[place]] = padded(as_items(case.image, dims), self.spatial).to(device)
            self.sizes[self.spans[place]] = torch.tensor(size, dtype=torch.float32)
            self.replace(place, case)
        self.begin_anew()

    def __len__(self) -> int:
        return len(self.image)

    def places(self, part: Part) -> list[int]:
        """Numbers of the cases that are ``part`` of the training."""
        return [place for place, own in enumerate(self.parts) if own == part]

    def of(self, part: Part) -> Tensor:
        """(m,) item numbers of the cases that are ``part`` of the training."""
        spans = [torch.arange(self.spans[p].start, self.spans[p].stop) for p in self.places(part)]
        return torch.cat(spans) if spans else torch.zeros(0, dtype=torch.long)

    def replace(self, place: int, case: PreparedCase) -> None:
        """Take the strokes and the first belief of case number ``place`` anew, after a correction."""
        span, inner = self.spans[place], self._inner(place)
        self.parts[place] = case.part
        self.replace_strokes(place, case.strokes)
        self.belief[(span, slice(None), *inner)] = as_items(case.belief, self.dims).to(self.device, torch.float16)

    def middles(self) -> Tensor:
        """(n, dims) on the CPU: the middle of the foreground of each item's case in voxels, its own without any."""
        middles = (self.sizes - 1) / 2
        for span in self.spans:
            spoken = self.belief[span, 1:].amax(dim=(0, 1) if self.dims == 2 else 1).squeeze(0) > 0.5
            if spoken.any():
                middles[span] = spoken.nonzero().float().mean(dim=0).cpu()
        return middles

    def begin_anew(self) -> None:
        """After strokes or beliefs have changed: the target is the belief again."""
        self.edition += 1
        self.target = self.belief.clone()
        self.speak()
        area = self.belief.sum(dim=list(range(2, self.belief.dim())), dtype=torch.float32).cpu()
        self.rarity = (area / area.sum(dim=0).clamp_min(1.0)).sum(dim=1).clamp_min(1e-6)

    def speak(self) -> None:
        """Write the strokes over the target, a channel at a time: what the user drew is never in doubt."""
        spoken = self.strokes != UNSPOKEN
        for channel in range(self.target.shape[1]):
            self.target[:, channel].masked_fill_(spoken, 0.0).masked_fill_(self.strokes == channel, 1.0)

    def replace_strokes(self, place: int, strokes: Tensor) -> None:
        """(D, H, W) int8 for case number ``place``; what the first teachers believed stays."""
        index = (self.spans[place], *self._inner(place))
        self.strokes[index] = as_items(strokes[None], self.dims)[:, 0].to(self.device)

    def whole_image(self, place: int) -> Tensor:
        """(C, D, H, W) of case number ``place`` without its padding."""
        return from_items(self.image[(self.spans[place], slice(None), *self._inner(place))], self.dims)

    def belief_of(self, place: int) -> Tensor:
        """(K+1, D, H, W) float32."""
        return from_items(self.belief[(self.spans[place], slice(None), *self._inner(place))], self.dims).float()

    def strokes_of(self, place: int) -> Tensor:
        """(D, H, W) int8."""
        return from_items(self.strokes[(self.spans[place], *self._inner(place))][:, None], self.dims)[0]

    def set_target(self, place: int, target: Tensor) -> None:
        """(K+1, D, H, W) for case number ``place``; call :meth:`speak` when all cases are set."""
        index = (self.spans[place], slice(None), *self._inner(place))
        self.target[index] = as_items(target, self.dims).to(self.device, self.target.dtype)

    def _inner(self, place: int) -> tuple[slice, ...]:
        return tuple(slice(0, int(n)) for n in self.sizes[self.spans[place].start])


def hot(channels: Tensor, classes: int) -> Tensor:
    """(D, H, W) int8 channels -> (K+1, D, H, W) float32; all 0 where nobody has spoken."""
    spoken = (channels != UNSPOKEN)[None]
    return F.one_hot(channels.clamp_min(0).long(), classes).movedim(-1, 0).float() * spoken


def as_items(volume: Tensor, dims: int) -> Tensor:
    """(C, D, H, W) -> (D, C, H, W) in 2-D, (1, C, D, H, W) in 3-D."""
    return volume.movedim(1, 0) if dims == 2 else volume[None]


def padded(items: Tensor, spatial: Sequence[int]) -> Tensor:
    """Items (n, C, *own) at the size ``spatial``, their last voxels repeated behind them."""
    own = items.shape[2:]
    padding = [p for n, full in zip(reversed(own), reversed(spatial), strict=True) for p in (0, full - n)]
    return F.pad(items, padding, mode="replicate")


def from_items(items: Tensor, dims: int) -> Tensor:
    """The inverse of :func:`as_items`."""
    return items.movedim(0, 1) if dims == 2 else items[0]


def _item_sizes(case: PreparedCase, dims: int) -> tuple[list[int], int]:
    shape = list(case.image.shape[1:])
    return (shape[1:], shape[0]) if dims == 2 else (shape, 1)

"""A network over a whole case: slice by slice in 2-D, whole or in windows in 3-D."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from training_backend.networks.window import window_for

LARGEST_WHOLE = 160**3


@torch.no_grad()
def predict(
    network: nn.Module,
    image: Tensor,
    divisor: Sequence[int],
    dtype: torch.dtype = torch.float32,
    batch: int = 8,
    scales: Sequence[float] = (1.0,),
    flips: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Class probabilities of one case, averaged over ``scales`` of its image and, with ``flips``, its mirror images.

    Args:
        network: maps (B, C, *spatial) to logits; ``len(divisor)`` spatial dimensions.
        image: (C, D, H, W) at working spacing, on the network's device.
        divisor: what each spatial size of the network's input must be a multiple of; see :func:`window_for`.
        dtype: bfloat16 or float32 for autocast.
        scales: factors on the sides that the network sees; several give 0.004 to 0.013 Dice on ACDC.
        flips: mirror along the last two axes too; for networks that were trained so, others lose 0.1 Dice by it.
        cancelled: asked between two batches; if it says yes the rest stays zero.

    Returns:
        (K+1, D, H, W) float32 on the same device.
    """
    was_training = network.training
    network.eval()
    try:
        mirrored: list[list[int]] = [[], [2], [3], [2, 3]] if flips else [[]]
        views = [
            _at_scale(network, image.flip(axes), divisor, dtype, batch, scale, cancelled).flip(axes)
            for scale in scales
            for axes in mirrored
        ]
        return torch.stack(views).mean(dim=0)
    finally:
        network.train(was_training)


def _at_scale(
    network: nn.Module,
    image: Tensor,
    divisor: Sequence[int],
    dtype: torch.dtype,
    batch: int,
    scale: float,
    cancelled: Callable[[], bool],
) -> Tensor:
    size = image.shape[1:]
    if len(divisor) == 3:
        seen = _resized(image[None], [round(n * scale) for n in size])[0]
        return _resized(_volume(network, seen, divisor, dtype)[None], size)[0]
    slices = _resized(image.movedim(1, 0), [round(n * scale) for n in size[1:]])
    parts: list[Tensor] = []
    for first in range(0, len(slices), batch):
        if cancelled():
            break
        parts.append(_probability(network, slices[first : first + batch], divisor, dtype))
    missing = len(slices) - sum(len(part) for part in parts)
    if missing:
        classes = len(parts[0][0]) if parts else 1
        parts.append(slices.new_zeros(missing, classes, *slices.shape[2:]))
    return _resized(torch.cat(parts), size[1:]).movedim(1, 0)


def _resized(images: Tensor, size: Sequence[int]) -> Tensor:
    if list(images.shape[2:]) == list(size):
        return images
    return F.interpolate(images, list(size), mode="trilinear" if len(size) == 3 else "bilinear")


def _volume(network: nn.Module, image: Tensor, divisor: Sequence[int], dtype: torch.dtype) -> Tensor:
    if image[0].numel() <= LARGEST_WHOLE:
        return _probability(network, image[None], divisor, dtype)[0]
    window = [min(128, -(-n // d) * d) for n, d in zip(image.shape[1:], divisor, strict=True)]
    probability = sliding_window_inference(
        image[None], window, 1, lambda part: _probability(network, part, divisor, dtype), overlap=0.25, mode="gaussian"
    )
    return probability[0]


def _probability(network: nn.Module, images: Tensor, divisor: Sequence[int], dtype: torch.dtype) -> Tensor:
    size = images.shape[2:]
    missing = [wanted - n for wanted, n in zip(window_for(size, divisor), size, strict=True)]
    before = [m // 2 for m in missing]
    padding = [p for b, m in reversed(list(zip(before, missing, strict=True))) for p in (b, m - b)]
    padded = F.pad(images, padding, mode="replicate") if any(missing) else images
    with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
        logits = network(padded)
    inside = tuple(slice(b, b + n) for b, n in zip(before, size, strict=True))
    return logits[(slice(None), slice(None), *inside)].float().softmax(dim=1)

"""A network over a whole case: slice by slice in 2-D, whole or in windows in 3-D."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

LARGEST_WHOLE = 160**3


@torch.no_grad()
def predict(
    network: nn.Module,
    image: Tensor,
    divisor: Sequence[int],
    dtype: torch.dtype = torch.float32,
    batch: int = 8,
    cancelled: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Class probabilities of one case.

    Args:
        network: maps (B, C, *spatial) to logits; ``len(divisor)`` spatial dimensions.
        image: (C, D, H, W) at working spacing, on the network's device.
        divisor: what each spatial size of the network's input must be a multiple of.
        dtype: bfloat16 or float32 for autocast.
        cancelled: asked between two batches; if it says yes the rest stays zero.

    Returns:
        (K+1, D, H, W) float32 on the same device.
    """
    was_training = network.training
    network.eval()
    try:
        if len(divisor) == 3:
            return _volume(network, image, divisor, dtype)
        slices = image.movedim(1, 0)
        parts: list[Tensor] = []
        for first in range(0, len(slices), batch):
            if cancelled():
                parts.append(torch.zeros_like(parts[-1][:1]).repeat(len(slices) - first, 1, 1, 1) if parts else slices)
                break
            parts.append(_probability(network, slices[first : first + batch], divisor, dtype))
        return torch.cat(parts).movedim(1, 0)
    finally:
        network.train(was_training)


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
    missing = [-n % d for n, d in zip(size, divisor, strict=True)]
    before = [m // 2 for m in missing]
    padding = [p for b, m in reversed(list(zip(before, missing, strict=True))) for p in (b, m - b)]
    padded = F.pad(images, padding, mode="replicate") if any(missing) else images
    with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
        logits = network(padded)
    inside = tuple(slice(b, b + n) for b, n in zip(before, size, strict=True))
    return logits[(slice(None), slice(None), *inside)].float().softmax(dim=1)

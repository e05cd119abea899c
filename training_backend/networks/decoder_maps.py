"""What the decoder of a :class:`MultiScaleUNet` makes at every level, and the same network without its skips.

A level of MONAI's UNet hands on [encoder's map, decoder's map] side by side. Only the second half is taken
here: the first is the encoder's own view of the texture, which a teacher of shape has no say in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from training_backend.networks.multi_scale_unet import MultiScaleUNet


@dataclass(frozen=True)
class Decoded:
    """``logits`` (B, K+1, *spatial); ``maps`` (B, C_k, *spatial_k), the half-resolution map first, the deepest last."""

    logits: Tensor
    maps: list[Tensor]


def decoded(network: MultiScaleUNet, image: Tensor) -> Decoded:
    """(B, C, *spatial) -> logits and the map below every skip connection."""
    taps: list[Tensor] = []
    handles = [
        level.get_submodule("submodule").register_forward_hook(lambda _module, _input, out: taps.append(out))
        for level in network.skips()
    ]
    try:
        logits = network(image)
    finally:
        for handle in handles:
            handle.remove()
    return Decoded(logits, taps[::-1])


def without_skips(network: MultiScaleUNet) -> list[RemovableHandle]:
    """Silence every skip connection of ``network`` from now on: its decoder has only the deepest map to go by.

    Channel counts stay, so the maps remain comparable with those of an ordinary student.
    """
    return [level.register_forward_hook(_only_the_decoder) for level in network.skips()]


def _only_the_decoder(_level: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
    width = inputs[0].shape[1]
    return torch.cat([torch.zeros_like(out[:, :width]), out[:, width:]], dim=1)

"""A :class:`MultiScaleUNet` whose decoder has only the deepest map to go by."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training_backend.networks.multi_scale_unet import MultiScaleUNet


def without_skips(network: MultiScaleUNet) -> None:
    """Silence every skip connection of ``network`` from now on.

    Channel counts stay, so its maps remain comparable with those of an ordinary student.
    """
    for level in network.skips():
        level.register_forward_hook(_only_the_decoder)


def _only_the_decoder(_level: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
    width = inputs[0].shape[1]
    return torch.cat([torch.zeros_like(out[:, :width]), out[:, width:]], dim=1)

"""A second decoder on the encoder of a :class:`MultiScaleUNet`, fed with features that dropout has disturbed."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from training_backend.networks.multi_scale_unet import MultiScaleUNet

DROPOUT = 0.5


class SecondDecoder(nn.Module):
    """Owns the decoder only: the encoder is the student's, which the gradients of both decoders reach.

    Its bottom block is the encoder's; every block above it is a copy of the student's with new weights.
    """

    def __init__(self, student: MultiScaleUNet) -> None:
        super().__init__()
        self.ups = nn.ModuleList(_fresh(up) for _, up in _levels(student))
        self.fine = _fresh(student.fine) if student.fine is not None else None

    def forward(self, student: MultiScaleUNet, image: Tensor, seed: torch.Generator) -> Tensor:
        """(B, C, *spatial) -> logits (B, K+1, *spatial); ``seed`` draws the channels that are dropped."""
        features, seen = [], image
        for down, _ in _levels(student):
            seen = down(seen)
            features.append(_dropped(seen, seed))
        said = _dropped(_bottom(student)(seen), seed)
        for up, feature in zip(reversed(self.ups), reversed(features), strict=True):
            said = up(torch.cat([feature, said], dim=1))
        return self.fine(torch.cat([said, image], dim=1)) if self.fine is not None else said


def _levels(student: MultiScaleUNet) -> list[tuple[nn.Module, nn.Module]]:
    """(down, up) of every level, the outermost first."""
    levels, block = [], student.net.model
    while isinstance(block, nn.Sequential) and len(block) == 3:
        levels.append((block[0], block[2]))
        block = block[1].submodule  # type: ignore[assignment]
    return levels


def _bottom(student: MultiScaleUNet) -> nn.Module:
    block: nn.Module = student.net.model
    while isinstance(block, nn.Sequential) and len(block) == 3:
        block = block[1].submodule  # type: ignore[assignment]
    return block


def _fresh(module: nn.Module) -> nn.Module:
    copied = copy.deepcopy(module)
    for part in copied.modules():
        if callable(reset := getattr(part, "reset_parameters", None)):
            reset()
    return copied


def _dropped(features: Tensor, seed: torch.Generator) -> Tensor:
    """Whole channels set to 0 with probability ``DROPOUT``, the others scaled up."""
    kept = torch.rand(*features.shape[:2], *[1] * (features.dim() - 2), generator=seed) >= DROPOUT
    return features * (kept.to(features.device, features.dtype) / (1.0 - DROPOUT))

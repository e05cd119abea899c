"""Every class in a contrast of its own, over its true texture: what another sequence or scanner may make of it.

    x'_i = sum_c t_ic ( g_c (x_i - picture_i) + (1 - b) mu_c + b r_c + f_ci )

with the class means mu_c and their picture of :mod:`class_means`, a gain g_c, a random level r_c blended in by b, and
a slow change f_c inside the class (as scar or a coil's fall-off). Randomness is drawn in one function and applied
in another. The idea is the label-wise contrast of SynthSeg (Billot et al., Medical Image Analysis 86, 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training_backend.data.class_means import class_means, draw_intensities, painted

GAIN = (-0.9, 0.5)
FIELD = 0.6
FIELD_KNOTS = 4


@dataclass(frozen=True)
class Contrasts:
    """Random numbers of one batch: ``changed`` (B,) bool; ``blend`` (B, 1, 1); ``levels`` and ``gain`` (B, 1, K+1);
    ``field`` (B, K+1, 4, ...) knots of the slow change."""

    changed: Tensor
    blend: Tensor
    levels: Tensor
    gain: Tensor
    field: Tensor


def draw_contrasts(count: int, classes: int, dims: int, share: float, rng: torch.Generator) -> Contrasts:
    """Draw for ``count`` items, of which ``share`` are changed at all."""
    low, high = GAIN
    strength = torch.rand(count, classes, *[1] * dims, generator=rng) * FIELD
    return Contrasts(
        changed=torch.rand(count, generator=rng) < share,
        blend=torch.rand(count, 1, 1, generator=rng),
        levels=draw_intensities(count, 1, classes, rng),
        gain=torch.exp(torch.rand(count, 1, classes, generator=rng) * (high - low) + low),
        field=torch.randn(count, classes, *[FIELD_KNOTS] * dims, generator=rng) * strength,
    )


def recontrasted(image: Tensor, target: Tensor, contrasts: Contrasts) -> Tensor:
    """The image (B, C, *spatial) in its contrasts, brought back to mean 0 and deviation 1; unchanged ones as they are.

    ``target`` (B, K+1, *spatial). A voxel of which no class is known keeps its value.
    """
    device = image.device
    means = class_means(image, target)
    mixed = means + contrasts.blend.to(device) * (contrasts.levels.to(device) - means)
    texture = image - painted(means, target)
    mode = "trilinear" if image.dim() == 5 else "bilinear"
    field = F.interpolate(contrasts.field.to(device), image.shape[2:], mode=mode, align_corners=True)
    seen = painted(mixed, target) + (target * field).sum(dim=1, keepdim=True)
    known = target.sum(dim=1, keepdim=True)
    seen = seen + texture * (painted(contrasts.gain.to(device), target) + 1.0 - known)
    space = list(range(1, image.dim()))
    normal = (seen - seen.mean(space, keepdim=True)) / seen.std(space, keepdim=True).clamp_min(1e-4)
    return torch.where(contrasts.changed.to(device).view(-1, *[1] * (image.dim() - 1)), normal, image)

"""Two small nets for image translation: one changes an image's look and nothing else, one judges patches of it."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class Translator(nn.Module):
    """(B, 1, *spatial) -> the same shape: a residual on the image, from three half-resolution levels of context.

    Starts as the identity, because its last layer starts at zero.
    """

    def __init__(self, dims: int, width: int = 16) -> None:
        super().__init__()
        convolution = nn.Conv3d if dims == 3 else nn.Conv2d
        norm = nn.InstanceNorm3d if dims == 3 else nn.InstanceNorm2d
        self.enter = nn.Sequential(convolution(1, width, 3, 2, 1), norm(width), nn.LeakyReLU(0.1))
        blocks = [nn.Sequential(convolution(width, width, 3, 1, 1), norm(width), nn.LeakyReLU(0.1)) for _ in range(3)]
        self.body = nn.ModuleList(blocks)
        self.fine = convolution(1, width, 3, 1, 1)
        self.leave = convolution(width, 1, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        features = self.enter(image)
        for block in self.body:
            features = features + block(features)
        coarse = F.interpolate(features, image.shape[2:], mode="nearest")
        return image + self.leave(F.leaky_relu(self.fine(image) + coarse, 0.1))


class PatchJudge(nn.Module):
    """(B, 1, *spatial) -> a map of scores, 1 for patches of the real kind (PatchGAN; Isola et al., CVPR 2017)."""

    def __init__(self, dims: int, width: int = 16) -> None:
        super().__init__()
        convolution = nn.Conv3d if dims == 3 else nn.Conv2d
        widths = [1, width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for entering, leaving in pairwise(widths):
            layers += [convolution(entering, leaving, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.net = nn.Sequential(*layers, convolution(widths[-1], 1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image)

"""A teacher that needs no label: it learns to restore images from which blocks are cut, then never changes again.

In OS-MedSeg (arXiv 2408.03616) it learns beside the student, from scratch, on whole images. A network with skip
connections copies a whole image, and a teacher that still moves did harm in trials on phantoms (Dice 0.78 instead
of 0.86): so images are corrupted here, and the teacher is done before the student begins.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training_backend.engine.checkpoint import Memory
from training_backend.engine.loop import Moment, Stage, Terms, generator_for
from training_backend.engine.schedules import share_gone, warm_then_linear
from training_backend.methods.learner import Learner
from training_backend.networks.multi_scale_unet import MultiScaleUNet

HIDDEN = 0.5
BLOCKS = 6
NOISE = 0.2
SALT = 433_781


class ReconstructionTeacher:
    """Owns the network, its optimiser and the projector through which the student's features are compared."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        torch.manual_seed(learner.seed + SALT)
        shape = replace(learner.shape, out_channels=1, heads=0)
        device, rate = learner.items.device, learner.settings.learning_rate
        self.network = MultiScaleUNet(shape).to(device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=1e-3, fused=True)
        width = 2 * shape.channels[0]
        convolution = nn.Conv3d if shape.dims == 3 else nn.Conv2d
        self.projector = convolution(width, width, 1).to(device)

    def stage(self, until: float, begins: float = 0.0) -> Stage:
        """The teacher's own stage, from the fraction ``begins`` of the budget to ``until``."""

        def rate(fraction: float) -> float:
            return warm_then_linear(share_gone(fraction, begins, until))

        return Stage("teacher", until, self.network, self.optimizer, rate, self.restore, lambda _moment: None)

    def restore(self, moment: Moment) -> Terms:
        """Mean squared error between an unlabelled image and what is made of its remains."""
        batch = self.learner.draw(moment, part="unlabelled")
        remains = corrupted(batch.clean, generator_for(self.learner.seed + SALT, moment.step))
        with self.learner.autocast():
            restored = self.network(remains)
        return {"restoration": F.mse_loss(restored.float(), batch.clean[:, :1])}

    def freeze(self) -> None:
        self.network.eval().requires_grad_(False)

    @torch.no_grad()
    def features(self, image: Tensor) -> Tensor:
        """(B, C, *spatial / 2) of an image (B, C, *spatial)."""
        with self.learner.autocast():
            return self.network.scales(image).features.float()

    def memory(self) -> Memory:
        return Memory({"teacher": self.network, "projector": self.projector}, {"teacher": self.optimizer}).named("hint")


def corrupted(image: Tensor, rng: torch.Generator) -> Tensor:
    """Noise on (B, C, *spatial), and half of the ``BLOCKS`` ** n blocks at the image's mean of 0."""
    dims = image.dim() - 2
    kept = torch.rand(len(image), 1, *[BLOCKS] * dims, generator=rng) >= HIDDEN
    mask = F.interpolate(kept.float(), image.shape[2:], mode="nearest").to(image.device)
    noise = torch.randn(image.shape, generator=rng).to(image.device)
    return (image + NOISE * noise) * mask

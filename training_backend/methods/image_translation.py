"""The align stage with an offline GAN: unpaired translation with cycle consistency, CycleGAN-style, made small.

    G: assistant -> target    F: target -> assistant    D_t, D_a: judges of either kind

    G, F minimise  L = E(1 - D_t(G x_a))^2 + E(1 - D_a(F x_t))^2 + cycle (|F G x_a - x_a|_1 + |G F x_t - x_t|_1)

The least-squares form is an assumption (method-cross-modality, section 2); the paper trains it online, with
segmentation losses flowing into G and a pool of 50 images: here it is trained first, alone, without a pool,
and then frozen. It wants many cases and far more than minutes, so only the paper preset uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slicer_kdseg.protocol.method_settings import CrossModalitySettings
from training_backend.data.items import as_items, from_items
from training_backend.engine.checkpoint import Memory
from training_backend.engine.loop import Moment, Stage, Terms
from training_backend.losses.adversarial import adversarial
from training_backend.methods.learner import Learner
from training_backend.methods.likeness import Likenesses
from training_backend.networks.translator import PatchJudge, Translator


class ImageTranslation:
    """Learns from the views that ``learner`` draws and leaves translated assistants in the items."""

    def __init__(self, settings: CrossModalitySettings, learner: Learner, likenesses: Likenesses) -> None:
        self.settings, self.learner, self.likenesses = settings, learner, likenesses
        dims, device = learner.items.dims, learner.items.device
        torch.manual_seed(learner.seed + 2)
        self.makers = nn.ModuleDict({"target": Translator(dims), "assistant": Translator(dims)}).to(device)
        self.judges = nn.ModuleDict({"target": PatchJudge(dims), "assistant": PatchJudge(dims)}).to(device)
        self.optimizer, self.judging = (self._adam(nets) for nets in (self.makers, self.judges))

    def stage(self, until: float) -> Stage:
        return Stage("align", until, self.makers, self.optimizer, lambda fraction: 1.0, self.terms, self.judge)

    def terms(self, moment: Moment) -> Terms:
        """What the makers minimise; the judges get gradients too, which their own step throws away."""
        target, assistant = self._images(moment)
        made, back = self.makers["target"](assistant), self.makers["assistant"](target)
        cycles = [
            (self.makers["assistant"](made) - assistant).abs().mean(),
            (self.makers["target"](back) - target).abs().mean(),
        ]
        self._made = {"target": (target, made.detach()), "assistant": (assistant, back.detach())}
        return {
            "adversarial": adversarial(self.judges["target"](made), 1.0)
            + adversarial(self.judges["assistant"](back), 1.0),
            "cycle": self.settings.gan_cycle * (cycles[0] + cycles[1]),
        }

    def judge(self, moment: Moment) -> None:
        """One step of the judges on the images of this step."""
        losses = [
            adversarial(self.judges[kind](real), 1.0) + adversarial(self.judges[kind](made), 0.0)
            for kind, (real, made) in self._made.items()
        ]
        self.judging.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        self.judging.step()

    @torch.no_grad()
    def translate(self) -> None:
        """Put every assistant, translated as a whole, into the items."""
        preprocess, dims = self.likenesses.preprocess, self.learner.items.dims
        for place, own in self.likenesses.natural.items():
            made = from_items(self.makers["target"](as_items(own[:1], dims)), dims)
            changed = preprocess.with_context(made)
            self.likenesses.put(place, torch.cat([changed, own[len(changed) :]]))

    def memory(self) -> Memory:
        return Memory(
            {"makers": self.makers, "judges": self.judges}, {"makers": self.optimizer, "judges": self.judging}
        )

    def _images(self, moment: Moment) -> tuple[Tensor, Tensor]:
        """Views of one step of either kind, their first channel, not shaded: the look is what is to be learnt."""
        return self.learner.draw(moment).clean[:, :1], self.learner.draw(moment, "assistant").clean[:, :1]

    def _adam(self, nets: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(nets.parameters(), lr=self.settings.gan_rate, betas=(0.5, 0.999))

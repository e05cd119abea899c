"""A student, its optimiser and its averaged self, over training items: what every method here teaches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from slicer_kdseg.protocol.method_settings import TrainSettings
from slicer_kdseg.protocol.settings import View
from training_backend.data.augment import Views, around, draw_crop, draw_views, from_afar, grid_of, sample, shade
from training_backend.data.items import Items, Part
from training_backend.data.preprocess import Preprocess
from training_backend.engine.checkpoint import Memory, Recalled
from training_backend.engine.device import faster_dtype
from training_backend.engine.ema import follow, teacher_of
from training_backend.engine.loop import Moment, generator_for
from training_backend.networks.multi_scale_unet import MultiScaleUNet, UNetShape
from training_backend.networks.window import window_for

SLICES_A_VOLUME = 4
COARSE_SALT, CROP_SALT = 611_953, 746_773
COARSE_UNTIL, FINE_FROM = 0.5, 0.7
SALT: dict[Part, int] = {"annotated": 0, "unlabelled": 104_729, "assistant": 224_737}


@dataclass(frozen=True)
class Batch:
    """``image`` (B, C, *window), ``clean`` the same view without shading, ``target`` (B, K+1, *window),
    ``strokes`` (B, *window) int64; ``numbers`` (B,) of the items."""

    image: Tensor
    clean: Tensor
    target: Tensor
    strokes: Tensor
    numbers: Tensor


class Learner:
    """Owns student and teacher. The student learns by gradient; the teacher follows and never gets one."""

    def __init__(
        self, settings: TrainSettings, items: Items, preprocess: Preprocess, view: View, heads: int = 0, seed: int = 0
    ) -> None:
        """``heads``: coarse heads of the network; ``seed`` sets learners of one run apart."""
        self.settings = settings
        self.seed = settings.seed + 7_919 * seed
        self.items = items
        self.preprocess = preprocess
        self.view = view
        channels, strides = levels(settings, items.dims)
        self.shape = UNetShape(
            dims=items.dims,
            in_channels=items.image.shape[1],
            out_channels=items.belief.shape[1],
            channels=channels,
            heads=heads,
            strides=strides,
            residual_units=settings.residual_units,
            fine_width=view.fine_width,
        )
        torch.manual_seed(self.seed)
        self.student = MultiScaleUNet(self.shape).to(items.device)
        self.teacher = teacher_of(self.student)
        self.followed = 0
        self.optimizer = torch.optim.AdamW(
            self.student.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.dtype = faster_dtype(items.device)
        self.window = self._window()
        self._centres: Tensor | None = None
        self._centres_edition = -1
        self.batch = settings.batch if items.dims == 2 else max(1, settings.batch // SLICES_A_VOLUME)

    def memory(self) -> Memory:
        """What a checkpoint must hold."""
        modules = {"student": self.student, "teacher": self.teacher}
        return Memory(modules, {"optimizer": self.optimizer}, facts={"followed": self.followed})

    def remember(self, recalled: Recalled) -> None:
        """Take back what :meth:`memory` held beside modules and optimisers."""
        self.followed = recalled.facts["followed"]

    def draw(self, moment: Moment, part: Part = "annotated", among: Tensor | None = None, widest: float = 1.0) -> Batch:
        """The batch of one step from the cases that are ``part`` of the training, or from the items ``among``.

        A permutation an epoch, one view an item; each part has its own randomness. ``widest``: of crops, 0.35..1.
        """
        rng = generator_for(self.seed + SALT[part], moment.step)
        chosen = self._chosen(moment.step, part, among)
        items = self.items
        views = self.views(chosen, rng, moment, widest)
        return self.seen(items.image[chosen], items.target[chosen].float(), chosen, views)

    @torch.no_grad()
    def seen(self, image: Tensor, target: Tensor, numbers: Tensor, views: Views) -> Batch:
        """Images and targets of the padded size, (B, C, *spatial) and (B, K+1, *spatial), seen through ``views``.

        ``numbers`` (B,): the items whose strokes are seen with them.
        """
        grid = grid_of(views, self.items.spatial, self.items.device)
        clean = sample(image, grid, outside="border")
        drawn = sample(self.items.strokes[numbers][:, None].float() + 1, grid, nearest=True)[:, 0].long() - 1
        shaded = shade(clean, views, image.shape[1] - 3 * self.preprocess.position)
        return Batch(shaded, clean, sample(target, grid), drawn, numbers)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.items.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def follow(self, _moment: Moment) -> None:
        """Average the student, whose own steps count: a teacher may have had the ones before."""
        follow(self.teacher, self.student, self.followed, self.settings.momentum)
        self.followed += 1

    def views(self, chosen: Tensor, rng: torch.Generator, moment: Moment, widest: float = 1.0) -> Views:
        """Of the items ``chosen`` (B,): whole, or with ``crops`` of windows about their classes, or either from afar.

        Their size is one for all parts and learners of a run at a step, so that batches can be joined.
        """
        s, divisor = self.settings, self.shape.divisor()
        window, miss = self.window, None
        if s.crops:
            window, miss = draw_crop(window, divisor, generator_for(s.seed + CROP_SALT, moment.step), widest)
        half = tuple(max(d, round(n / 2 / d) * d) for n, d in zip(window, divisor, strict=True))
        seen = half if self._coarse(moment) and half != divisor else window
        sizes, view = self.items.sizes[chosen], self.view
        views = draw_views(sizes, seen, view.augmentation, rng, s.flips, s.shading, view.rotation, s.elastic)
        views = views if seen == window else from_afar(views, window)
        return views if miss is None else around(views, self._middles()[chosen], miss, rng)

    def _coarse(self, moment: Moment) -> bool:
        """Whether a step sees its slices at half resolution: often at first, never at the end.

        Students of ten ACDC patients have 0.02 Dice more on others after a minute, 0.01 after five: such a step takes
        half the time. Volumes are coarse already: students of hippocampi lose 0.005.
        """
        if self.items.dims == 3:
            return False
        fades = (FINE_FROM - moment.fraction) / (FINE_FROM - COARSE_UNTIL)
        chance = self.view.coarse * min(max(fades, 0.0), 1.0)
        return chance > float(torch.rand(1, generator=generator_for(self.settings.seed + COARSE_SALT, moment.step)))

    def _middles(self) -> Tensor:
        """(n, dims): the middle of the foreground of each item's case, found again when the targets are built anew."""
        if self._centres is None or self._centres_edition != self.items.edition:
            self._centres, self._centres_edition = self.items.middles(), self.items.edition
        return self._centres

    def _chosen(self, step: int, part: Part = "annotated", among: Tensor | None = None) -> Tensor:
        """(B,) items: some in turn, every item once an epoch, some by chance in favour of rare classes."""
        own = self.items.of(part) if among is None else among
        count, seed = len(own), self.seed + SALT[part]
        rare = round(self.view.rare_items * self.batch) if self.items.dims == 2 and part == "annotated" else 0
        in_turn = self.batch - rare
        places = torch.arange(step * in_turn, (step + 1) * in_turn)
        orders = {
            int(epoch): torch.randperm(count, generator=generator_for(seed + 1, int(epoch)))
            for epoch in (places // count).unique()
        }
        chosen = [orders[int(place) // count][place % count] for place in places]
        if rare:
            rng = generator_for(seed + 2, step)
            chosen += torch.multinomial(self.items.rarity[own], rare, True, generator=rng)
        return own[torch.stack(chosen)]

    def _window(self) -> tuple[int, ...]:
        """Whole items: the median size of the annotated, up to the next that the network takes."""
        median = self.items.sizes[self.items.of("annotated")].median(dim=0).values
        return window_for(median.tolist(), self.shape.divisor())


def levels(settings: TrainSettings, dims: int) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Channels of every level, and the strides between them; empty strides are the usual ones, which all halve.

    A fine level is half as wide and halves no side. It is for volumes alone: they are small at working resolution,
    and on hippocampi it gives 0.01 to 0.02 Dice at equal seconds; slices of an abdomen are better off without it.
    """
    channels = tuple(settings.channels * 2**level for level in range(settings.levels))
    if not settings.fine_level or dims == 2:
        return channels, ()
    return (settings.channels // 2, *channels), ((1,) * dims, *((2,) * dims for _ in channels[1:]))

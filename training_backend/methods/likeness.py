"""The align stage without training: assistant items in the likeness of one annotated target case after another."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from training_backend.data.alignment import Alignment, Labelled, aligned, contrast_agreement
from training_backend.data.items import Items, as_items
from training_backend.data.preprocess import Preprocess
from training_backend.losses.partial_cross_entropy import UNSPOKEN

ALIKE = 0.5
STEPS_WORN = 10
MOST_LIKENESSES = 4


class Likenesses:
    """Puts aligned images where the items have the assistants' own, and keeps those.

    One target case pins one scanner state, so every ``STEPS_WORN`` steps each assistant is shown in the
    likeness of the next case. Which one depends on the step alone, so a restarted run sees the same.
    """

    def __init__(self, items: Items, preprocess: Preprocess, how: Alignment | Literal["auto"]) -> None:
        """``how`` "auto": ``classmap`` where the classes have another contrast, else nothing.

        Where contrasts agree, alignment takes away what sets the assistants apart from each other: from C0 to
        LGE of MSCMR the kept student has Dice 0.798 with assistants as they are, 0.779 with ``classmap``,
        0.781 with ``hist`` (tuning patients, 60 CPU-seconds, one seed).
        """
        self.items, self.preprocess = items, preprocess
        self.places = items.places("assistant")
        self.how: Alignment = self._fitting() if how == "auto" else how
        self.natural = {place: items.whole_image(place).clone() for place in self.places}
        self._images: list[dict[int, Tensor]] = []
        self._made_for: tuple[int, int] | None = None
        self._worn = -1

    def wear(self, step: int) -> None:
        """Make the items show the likenesses of ``step``; they are made anew when the targets' labels have changed."""
        if not self.places or self.how == "none":
            return
        annotated = self.items.of("annotated")
        spoken = int((self.items.strokes[annotated] != UNSPOKEN).sum())
        if self._made_for != (self.items.edition, spoken):
            self._made_for, self._images, self._worn = (self.items.edition, spoken), self._made(), -1
        version = step // STEPS_WORN % len(self._images)
        if version != self._worn:
            self._worn = version
            for place, image in self._images[version].items():
                self.put(place, image)

    def put(self, place: int, image: Tensor) -> None:
        """(C, D', H', W') for the assistant at ``place``."""
        size = [int(n) for n in self.items.sizes[self.items.spans[place].start]]
        inner = tuple(slice(0, n) for n in size)
        self.items.image[(self.items.spans[place], slice(None), *inner)] = as_items(image, self.items.dims)

    def _fitting(self) -> Alignment:
        sides = [[self._labelled(p) for p in places] for places in (self.places, self.items.places("annotated"))]
        return "none" if contrast_agreement(*sides) >= ALIKE else "classmap"

    def _labelled(self, place: int) -> Labelled:
        image, labels = self.items.whole_image(place)[0], self.items.strokes_of(place)
        return Labelled(image.cpu().numpy(), labels.cpu().numpy(), flat=self.items.dims == 2)

    def _made(self) -> list[dict[int, Tensor]]:
        targets = self.items.places("annotated")
        versions = range(min(len(targets), MOST_LIKENESSES))
        return [
            {place: self._one(place, targets[(n + version) % len(targets)]) for n, place in enumerate(self.places)}
            for version in versions
        ]

    def _one(self, place: int, target: int) -> Tensor:
        """The image of assistant ``place`` in the likeness of ``target``, with its channels of context and position."""
        own = self.natural[place]
        labels = self.items.strokes_of(place).cpu().numpy()
        image = aligned(
            Labelled(own[0].cpu().numpy(), labels, flat=self.items.dims == 2), self._labelled(target), self.how
        )
        changed = self.preprocess.with_context(torch.from_numpy(image)[None]).to(own)
        return torch.cat([changed, own[len(changed) :]])

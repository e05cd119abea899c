"""The labelled case carried over to the unlabelled ones, and whether the student may take its place.

Placements are what is kept: labels, warped atlases and new shapes are made from them. The first annotated case is
the atlas.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from training_backend.data.items import Items
from training_backend.data.preprocess import Preprocess
from training_backend.data.registration import Placement, register
from training_backend.data.warp import look_up, points_mm, resized
from training_backend.methods.method import Messenger

CONFIDENT = 0.8
LEAST_VOXELS = 8
PARTS = ("matrix", "shift_mm", "displacement_mm", "likeness")


@dataclass(frozen=True)
class Agreement:
    """``dice``: student against propagated labels, mean over classes, where those are confident; ``lost``: channels
    that propagation found and the student did not."""

    dice: float
    lost: tuple[int, ...]


class Propagation:
    """Placements of the atlas on unlabelled cases, by place; on ``most`` cases at most, and for ``share`` of the
    budget at most."""

    def __init__(self, items: Items, preprocess: Preprocess, most: int, share: float) -> None:
        self.items, self.spacing_mm, self.most, self.share = items, preprocess.spacing_mm, most, share
        self.placements: dict[int, Placement] = {}
        self._labels: dict[int, Tensor] = {}

    @property
    def places(self) -> list[int]:
        """Cases with propagated labels that nobody has annotated since."""
        unlabelled = set(self.items.places("unlabelled"))
        return [place for place in sorted(self.placements) if place in unlabelled]

    def run(self, messenger: Messenger) -> None:
        """Place the atlas on every case that has no placement yet; each is shown as soon as it is done."""
        waiting = self.items.places("unlabelled")[: self.most]
        for number, place in enumerate(waiting, start=1):
            if place in self.placements:
                continue
            if messenger.ended():
                return
            if messenger.gone() > self.share:
                messenger.say(
                    f"Labels were carried over to {number - 1} of {len(waiting)} unlabelled cases; the rest of the time"
                    " is the student's. Give it more seconds to reach the others."
                )
                return
            self.placements[place] = register(
                self.items.whole_image(0)[0], self.items.whole_image(place)[0], self.spacing_mm, self.spacing_mm
            )
            sentence = (
                f"Labels carried over from the labelled case ({number} of {len(waiting)}); the student will learn."
            )
            messenger.show(place, self.labels(place), sentence)

    def labels(self, place: int) -> Tensor:
        """(K+1, D, H, W) float32: the atlas's labels on the case at ``place``."""
        if place not in self._labels:
            size = self.items.whole_image(place).shape[1:]
            belief = self.items.belief_of(0)
            carried = self.placements[place].carry(belief, self.spacing_mm, size, self.spacing_mm)
            self._labels[place] = (carried / carried.sum(dim=0).clamp_min(1e-6)).half()
        return self._labels[place].float()

    def likeness(self, place: int) -> Tensor:
        """(1, D, H, W) in 0..1: how well atlas and case look alike there, up to brightness and contrast."""
        size = self.items.whole_image(place).shape[1:]
        return resized(self.placements[place].likeness[None, None].clamp(0.0, 1.0), size)[0]

    def shaped(self, place: int, other: int, a: float, b: float) -> tuple[Tensor, Tensor]:
        """The atlas in the shape a u_i + b u_j on the grid of case i: image (C, D, H, W), labels (K+1, D, H, W)."""
        size = self.items.whole_image(place).shape[1:]
        own = points_mm(size, self.spacing_mm, self.items.device)
        points = own
        for factor, one in ((a, place), (b, other)):
            if factor:
                points = points + factor * (self.placements[one].points_mm(size, self.spacing_mm) - own)
        image = look_up(self.items.whole_image(0)[None], points[None], self.spacing_mm)[0]
        return image, look_up(self.items.belief_of(0)[None], points[None], self.spacing_mm)[0]

    def agreement(self, place: int, probability: Tensor) -> Agreement:
        """``probability`` (K+1, D, H, W): what the student makes of the case at ``place``."""
        return agreement(probability, self.labels(place))

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold."""
        found = self.placements.items()
        return {f"placement.{place}.{part}": getattr(own, part) for place, own in found for part in PARTS}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take back what :meth:`tensors` gave."""
        for place in {int(name.split(".")[1]) for name in tensors if name.startswith("placement.")}:
            parts = [tensors[f"placement.{place}.{part}"].to(self.items.device) for part in PARTS]
            self.placements[place] = Placement(*parts)


def agreement(student: Tensor, propagated: Tensor) -> Agreement:
    """Both (K+1, D, H, W); a class that propagation shows on fewer than ``LEAST_VOXELS`` voxels has no say."""
    sure, there = propagated.max(dim=0)
    said = student.max(dim=0).indices
    confident = sure > CONFIDENT
    scores, lost = [], []
    for channel in range(1, len(propagated)):
        theirs, own = (there == channel) & confident, (said == channel) & confident
        if int(theirs.sum()) < LEAST_VOXELS:
            continue
        scores.append(float(2 * (own & theirs).sum() / (own.sum() + theirs.sum())))
        if not (said == channel).any():
            lost.append(channel)
    return Agreement(sum(scores) / len(scores) if scores else 1.0, tuple(lost))

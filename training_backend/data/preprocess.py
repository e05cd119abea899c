"""From a stored image to a network's input and back: one object, saved in the checkpoint.

Training, preview, prediction and export all read the same :class:`Preprocess`, so a model never meets
an image prepared in another way than the one it learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from slicer_kdseg.protocol.method_settings import TrainSettings
from slicer_kdseg.protocol.settings import View

ANISOTROPIC = 3.0


@dataclass(frozen=True)
class Preprocess:
    """How images become inputs.

    ``dims``: 2 = slices across ``slice_axis``, 3 = whole volumes. ``spacing_mm``: working spacing in the
    order of the turned array, through-plane first; in 2-D only the last two entries are used.
    ``context``: neighbouring slices on each side that come along as channels (2-D only).
    ``position``: add the place in the volume (-1..1 an axis) as channels. ``scales``: factors on the sides
    over which predictions are averaged; ``flips``: whether mirrored ones are too. ``keep_largest``: ids of
    the classes of which only the largest part is kept.
    """

    dims: int
    slice_axis: int
    spacing_mm: tuple[float, float, float]
    context: int = 0
    position: bool = False
    scales: tuple[float, ...] = (1.0,)
    flips: bool = False
    keep_largest: tuple[int, ...] = ()

    @property
    def channels(self) -> int:
        return 1 + 2 * self.context * (self.dims == 2) + 3 * self.position

    def image(self, voxels: np.ndarray, spacing_mm: Sequence[float]) -> Tensor:
        """(D, H, W) with its spacing in array order -> (C, D', H', W') float32 at working spacing, turned."""
        turned = torch.from_numpy(np.ascontiguousarray(np.moveaxis(voxels, self.slice_axis, 0), dtype=np.float32))
        normal = standardise(turned)[None, None]
        size = self.working_size(voxels.shape, spacing_mm)
        normal = _resampled(normal, size)
        return torch.cat([self.with_context(normal[0]), *self._places(size)])

    def labels(self, labels: np.ndarray, spacing_mm: Sequence[float], channel_of: np.ndarray) -> Tensor:
        """(D, H, W) uint8 ids -> (D', H', W') int8 channels; ``channel_of[id]`` is -1 for unlabelled.

        Where several voxels of sparse labels meet in one the highest channel wins, so that thin strokes survive:
        foreground beats background, and both beat unlabelled.
        """
        turned = np.ascontiguousarray(np.moveaxis(labels, self.slice_axis, 0))
        channels = torch.from_numpy(channel_of[turned].astype(np.int8))
        size = self.working_size(labels.shape, spacing_mm)
        if int((channels >= 0).sum()) < 0.5 * channels.numel():
            channels = _merged(channels, [min(new, old) for new, old in zip(size, channels.shape, strict=True)])
        return channels if tuple(size) == tuple(channels.shape) else _nearest(channels, size)

    def restore(self, probability: Tensor, shape: Sequence[int]) -> Tensor:
        """(K+1, D', H', W') at working spacing -> (K+1, D, H, W) on the stored array's grid."""
        turned = [shape[self.slice_axis], *(n for axis, n in enumerate(shape) if axis != self.slice_axis)]
        if list(probability.shape[1:]) != turned:
            probability = F.interpolate(probability[None], turned, mode="trilinear")[0]
        return probability.movedim(1, 1 + self.slice_axis)

    def restore_labels(self, probability: Tensor, shape: Sequence[int]) -> Tensor:
        """The most likely channel of every voxel, (D, H, W) uint8, one class at a time to spare memory."""
        best = self.restore(probability[:1], shape)[0]
        labels = torch.zeros(best.shape, dtype=torch.uint8, device=best.device)
        for channel in range(1, len(probability)):
            rival = self.restore(probability[channel : channel + 1], shape)[0]
            labels[rival > best] = channel
            best = torch.maximum(best, rival)
        return labels

    def working_size(self, shape: Sequence[int], spacing_mm: Sequence[float]) -> list[int]:
        """Size (D', H', W') of a stored array of ``shape`` at working spacing, turned."""
        order = [self.slice_axis, *(axis for axis in range(3) if axis != self.slice_axis)]
        size = []
        for place, axis in enumerate(order):
            keeps = self.dims == 2 and place == 0
            ratio = 1.0 if keeps else spacing_mm[axis] / self.spacing_mm[place]
            near_one = abs(ratio - 1.0) < 0.02
            size.append(max(1, shape[axis] if near_one else round(shape[axis] * ratio)))
        return size

    def with_context(self, image: Tensor) -> Tensor:
        """(1, D', H', W') with its neighbouring slices as channels, in 2-D."""
        if self.dims == 3 or not self.context:
            return image
        depth = image.shape[1]
        shifts = [0, *(s for k in range(1, self.context + 1) for s in (-k, k))]
        return torch.cat([image[:, (torch.arange(depth) + shift).clamp(0, depth - 1)] for shift in shifts])

    def _places(self, size: Sequence[int]) -> list[Tensor]:
        if not self.position:
            return []
        axes = [torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in size]
        return [grid[None] for grid in torch.meshgrid(*axes, indexing="ij")]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Preprocess:
        return cls(**(body | {name: tuple(body[name]) for name in ("spacing_mm", "scales", "keep_largest")}))


def standardise(image: Tensor) -> Tensor:
    """Clip at the 0.5th and 99.5th percentile, then zero mean and unit deviation."""
    step = max(1, image.numel() // 1_000_000)
    low, high = torch.quantile(image.flatten()[::step], torch.tensor([0.005, 0.995]))
    clipped = image.clamp(low, high) if high > low else image
    return (clipped - clipped.mean()) / clipped.std().clamp_min(1e-6)


def slice_axis(shapes: Sequence[Sequence[int]], spacings_mm: Sequence[Sequence[float]]) -> int | None:
    """The array axis across whose slices to work, or None where whole volumes are seen.

    Slices where the largest median spacing exceeds ``ANISOTROPIC`` times the smallest, or where there is one slice.
    """
    flat = [axis for axis in range(3) if all(shape[axis] == 1 for shape in shapes)]
    median = np.median(np.array(spacings_mm, float), axis=0)
    if flat:
        return flat[0]
    return int(np.argmax(median)) if median.max() > ANISOTROPIC * median.min() else None


def fit(
    shapes: Sequence[Sequence[int]],
    spacings_mm: Sequence[Sequence[float]],
    settings: TrainSettings,
    view: View,
) -> Preprocess:
    """Choose the working spacing from the annotated cases, and by :func:`slice_axis` 2-D or 3-D.

    The working spacing is the median case's, coarsened so that its longest side becomes ``slice_size``
    (2-D) or ``volume_size`` (3-D) voxels: whole items at a coarser grid learn several times faster on a
    CPU than windows of a fine one, and are predicted as they were learnt.
    """
    across = slice_axis(shapes, spacings_mm)
    axis = across or 0
    order = [axis, *(a for a in range(3) if a != axis)]
    spacing = np.median(np.array(spacings_mm, float), axis=0)[order]
    extents_mm = np.median(np.array(shapes, float) * np.array(spacings_mm, float), axis=0)[order]
    sides = slice(0, 3) if across is None else slice(1, 3)
    largest = settings.volume_size if across is None else settings.slice_size
    finest = spacing[sides].min()
    spacing[sides] = np.maximum(spacing[sides], max(finest, extents_mm[sides].max() / largest))
    one_slice = all(shape[axis] == 1 for shape in shapes)
    return Preprocess(
        dims=3 if across is None else 2,
        slice_axis=axis,
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
        context=0 if across is None or one_slice else view.context,
        position=view.position,
        scales=(0.9, 1.0, 1.1) if view.several_scales else (1.0,),
        flips=settings.flips,
    )


def _resampled(image: Tensor, size: Sequence[int]) -> Tensor:
    """(1, 1, D, H, W) to ``size``: averaged where voxels merge, so that thin things do not alias, else trilinear."""
    merged = [min(new, old) for new, old in zip(size, image.shape[2:], strict=True)]
    if merged != list(image.shape[2:]):
        image = F.interpolate(image, merged, mode="area")
    return image if merged == list(size) else F.interpolate(image, list(size), mode="trilinear")


def _merged(channels: Tensor, size: Sequence[int]) -> Tensor:
    """(D, H, W) int8 to a ``size`` that is nowhere larger: the highest channel of all voxels that meet in one."""
    if list(size) == list(channels.shape):
        return channels
    places = torch.nonzero(channels >= 0)
    there = ((places + 0.5) * (torch.tensor(size) / torch.tensor(channels.shape))).long()
    flat = (there[:, 0] * size[1] + there[:, 1]) * size[2] + there[:, 2]
    merged = torch.full([size[0] * size[1] * size[2]], -1, dtype=torch.int8)
    return merged.scatter_reduce(0, flat, channels[tuple(places.T)], "amax").view(*size)


def _nearest(channels: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(channels[None, None].float(), list(size), mode="nearest-exact")[0, 0].to(torch.int8)

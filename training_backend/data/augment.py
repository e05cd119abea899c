"""Random views of training items, on tensors: randomness drawn in one function, applied in another.

The same code runs on CPU and CUDA and in 2-D and 3-D: all spatial change is one batched affine grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from training_backend.networks.window import window_for

SCALE = 0.2
SHIFT = 0.1
GAIN = 0.2
GAMMA = 0.3
NOISE = 0.1
KNOTS = 4


@dataclass(frozen=True)
class Views:
    """Random numbers of one batch: what happens to each item, nothing applied yet.

    ``theta``: (B, n, n+1) in voxels, from window to item, centre included. ``gain``, ``offset``, ``gamma``,
    ``noise_level``: (B, 1, ...). ``noise``: (B, 1, *window). ``bend``: (B, n, 4, ...) knots of a smooth displacement
    in voxels, or None.
    """

    theta: Tensor
    gain: Tensor
    offset: Tensor
    gamma: Tensor
    noise_level: Tensor
    noise: Tensor
    bend: Tensor | None = None


def draw_views(
    sizes: Tensor,
    window: tuple[int, ...],
    strength: float,
    rng: torch.Generator,
    flips: bool = False,
    shading: float | None = None,
    turn_degrees: float = 20.0,
    elastic: float = 0.0,
) -> Views:
    """Draw one view an item.

    Args:
        sizes: (B, n), true size of each item in voxels.
        window: spatial size of what the network will see.
        strength: factor on all ranges: in-plane rotation, scale and shift as shares of the item, intensity.
        shading: factor on the intensity ranges instead of ``strength``.
        flips: mirror along the last two axes, each at even chance.
        turn_degrees: largest in-plane rotation at strength 1. Patients lie differently: with 60 instead of 20,
            students of ten ACDC patients gained 0.01 to 0.02 Dice on others (one seed).
        elastic: largest deviation of a smooth displacement, as a share of the item; above 0 a volume is also tilted
            out of its plane. One labelled patient has to stand for all shapes.
    """
    count, dims = len(sizes), len(window)

    def spread(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng) * 2.0 - 1.0

    angle = spread(count) * math.radians(turn_degrees * strength)
    zoom = torch.exp(spread(count, 1) * SCALE * strength + spread(count, dims) * SCALE * strength / 2)
    centre = (sizes - 1) / 2 + spread(count, dims) * SHIFT * strength * sizes
    turn = torch.eye(dims).repeat(count, 1, 1)
    turn[:, -2, -2], turn[:, -2, -1] = torch.cos(angle), torch.sin(angle)
    turn[:, -1, -2], turn[:, -1, -1] = -torch.sin(angle), torch.cos(angle)
    mirror = torch.ones(count, dims)
    if flips:
        mirror[:, -2:] = torch.randint(0, 2, (count, 2), generator=rng) * 2.0 - 1.0
    matrix = turn * (zoom * mirror)[:, None, :]
    ones = [1] * dims
    bend = None
    if elastic > 0:
        share = elastic * torch.rand(count, 1, generator=rng) * sizes
        bend = torch.randn(count, dims, *[KNOTS] * dims, generator=rng) * share.view(count, dims, *ones)
        matrix = _tilts(spread(count, 2) * math.radians(turn_degrees * strength), dims) @ matrix
    light = strength if shading is None else shading
    return Views(
        theta=torch.cat([matrix, centre[:, :, None]], dim=2),
        gain=1.0 + spread(count, 1, *ones) * min(GAIN * light, 0.9),
        offset=spread(count, 1, *ones) * GAIN * light,
        gamma=torch.exp(spread(count, 1, *ones) * GAMMA * light),
        noise_level=torch.rand(count, 1, *ones, generator=rng) * NOISE * light,
        noise=torch.randn(count, 1, *window, generator=rng),
        bend=bend,
    )


def _tilts(angles: Tensor, dims: int) -> Tensor:
    """(B, n, n): turns of a volume about its last two axes by ``angles`` (B, 2) radians; nothing in 2-D."""
    tilt = torch.eye(dims).repeat(len(angles), 1, 1)
    for place, axis in enumerate((1, 2) if dims == 3 else ()):
        once = torch.eye(dims).repeat(len(angles), 1, 1)
        cosine, sine = torch.cos(angles[:, place]), torch.sin(angles[:, place])
        once[:, 0, 0], once[:, axis, axis] = cosine, cosine
        once[:, 0, axis], once[:, axis, 0] = -sine, sine
        tilt = once @ tilt
    return tilt


def draw_crop(
    whole: tuple[int, ...], divisor: tuple[int, ...], rng: torch.Generator, widest: float = 1.0
) -> tuple[tuple[int, ...], Tensor | None]:
    """A window of 0.35 to ``widest`` of the ``whole`` one for a batch, and (n,) voxels that it may miss a centre by.

    None for a window of the whole size, which is not cut at all. ``whole``: a window that a network with ``divisor``
    takes.
    """
    share = 0.35 + (widest - 0.35) * float(torch.rand(1, generator=rng))
    window = window_for([full * share for full in whole], divisor, nearest=True)
    return window, None if window == whole else 0.2 * torch.tensor(window, dtype=torch.float32)


def from_afar(views: Views, window: tuple[int, ...]) -> Views:
    """The same parts of the items, that a ``window`` of more voxels would have shown."""
    ratio = torch.tensor(window) / torch.tensor(views.noise.shape[2:])
    return replace(views, theta=torch.cat([views.theta[:, :, :-1] * ratio, views.theta[:, :, -1:]], dim=2))


def around(views: Views, centres: Tensor, miss: Tensor, rng: torch.Generator) -> Views:
    """The same views with their middle near ``centres`` (B, n), up to ``miss`` (n,) voxels beside them."""
    beside = (torch.rand(centres.shape, generator=rng) * 2.0 - 1.0) * miss
    return replace(views, theta=torch.cat([views.theta[:, :, :-1], (centres + beside)[:, :, None]], dim=2))


def grid_of(views: Views, item: tuple[int, ...], device: torch.device) -> Tensor:
    """Sampling grid (B, *window, n) for ``grid_sample`` on padded items of spatial size ``item``."""
    window = views.noise.shape[2:]
    dims = len(item)
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in window]
    voxels = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).view(1, -1, dims)
    there = voxels @ views.theta[:, :, :dims].transpose(1, 2) + views.theta[:, None, :, dims]
    if views.bend is not None:
        mode = "trilinear" if dims == 3 else "bilinear"
        there = there + F.interpolate(views.bend, window, mode=mode, align_corners=True).flatten(2).transpose(1, 2)
    unit = (there + 0.5) / torch.tensor(item, dtype=torch.float32) * 2.0 - 1.0
    return unit.flip(-1).view(len(there), *window, dims).to(device)


def sample(items: Tensor, grid: Tensor, outside: str = "zeros", nearest: bool = False) -> Tensor:
    """Items (B, C, *item) seen through ``grid``: bilinear, or nearest for strokes."""
    mode = "nearest" if nearest else "bilinear"
    return F.grid_sample(items, grid, mode=mode, padding_mode=outside, align_corners=False)


def shade(image: Tensor, views: Views, intensity_channels: int) -> Tensor:
    """Gamma, gain, offset and noise on the first ``intensity_channels``; position channels stay as they are."""
    seen = image[:, :intensity_channels]
    space = list(range(1, seen.dim()))
    low, high = seen.amin(space, keepdim=True), seen.amax(space, keepdim=True)
    unit = ((seen - low) / (high - low + 1e-6)).clamp(1e-4, 1.0)
    device = image.device
    bent = unit ** views.gamma.to(device) * (high - low) + low
    lit = bent * views.gain.to(device) + views.offset.to(device)
    noisy = lit + views.noise.to(device) * views.noise_level.to(device)
    return torch.cat([noisy, image[:, intensity_channels:]], dim=1)

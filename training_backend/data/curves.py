"""How a hand draws: short curves through the middle of a part or along its inner contour, on one slice.

Every function takes a mask (H, W) bool and gives the pixels of one stroke as a mask (H, W) bool.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra

LONGEST_PIXELS = 24
WOBBLE_PIXELS = 4.0
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


def middle_stroke(part: np.ndarray, rng: np.random.Generator, longest: int) -> np.ndarray:
    """A wavering curve of at most ``longest`` pixels that keeps away from the border of ``part``."""
    depth = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    deepest = depth.max()
    width = 1 if deepest < 6 else 2 if deepest < 24 or rng.random() < 0.7 else 3
    waver = np.exp(8 * ndimage.gaussian_filter(rng.standard_normal(part.shape), WOBBLE_PIXELS))
    cost = np.where(part & (depth >= min(1.5, deepest)), waver / np.clip(depth, 1, 12), np.inf)
    return _drawn(part, _curve(cost, rng, longest), width)


def contour_stroke(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A piece, 7 to 15 %, of the contour of ``part``, 1.5 to 4 pixels inside."""
    depth = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    inside = rng.uniform(1.5, min(4.0, depth.max()))
    ring = largest_part((depth >= inside) & (depth < inside + 1.5))
    pixels = rng.uniform(0.07, 0.15) * ring.sum() / 1.5
    return along_stroke(part, ring, rng, int(np.clip(pixels, 6, LONGEST_PIXELS)))


def along_stroke(inside: np.ndarray, path: np.ndarray, rng: np.random.Generator, longest: int) -> np.ndarray:
    """A thin stroke that follows ``path`` (H, W) bool and stays in ``inside``."""
    return _drawn(inside, _curve(np.where(path, 1.0, np.inf), rng, longest), 1)


def largest_part(mask: np.ndarray) -> np.ndarray:
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = ndimage.sum_labels(mask, pieces, np.arange(1, count + 1))
    return pieces == 1 + int(sizes.argmax())


def _drawn(inside: np.ndarray, pixels: np.ndarray, width: int) -> np.ndarray:
    line = np.zeros_like(inside)
    line[tuple(pixels.T)] = True
    if width > 1:
        line = ndimage.binary_dilation(line, np.ones((width, width)))
    return line & inside


def _curve(cost: np.ndarray, rng: np.random.Generator, longest: int) -> np.ndarray:
    """Pixels (N, 2): a random piece of the cheapest curve between two far ends of where ``cost`` is finite."""
    graph, points = _graph(cost)
    far = _reached(dijkstra(graph, directed=False, indices=int(rng.integers(len(points)))))
    distance, before = dijkstra(graph, directed=False, indices=int(far.argmax()), return_predecessors=True)
    node, walk = int(_reached(distance).argmax()), []
    while node >= 0:
        walk.append(node)
        node = int(before[node])
    first = int(rng.integers(max(1, len(walk) - longest + 1)))
    return points[walk[first : first + longest]]


def _reached(distance: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(distance), distance, -1)


def _graph(cost: np.ndarray) -> tuple[csr_matrix, np.ndarray]:
    """Eight-neighbour graph of the pixels with finite cost, an edge costing mean cost times length; their places."""
    inside = np.isfinite(cost)
    numbers = np.full(cost.shape, -1)
    numbers[inside] = np.arange(inside.sum())
    rows, columns, lengths = [], [], []
    height, width = cost.shape
    for down, right in NEIGHBOURS:
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, height), slice(max(0, right), width - max(0, -right)))
        both = inside[here] & inside[there]
        rows.append(numbers[here][both])
        columns.append(numbers[there][both])
        lengths.append(0.5 * (cost[here][both] + cost[there][both]) * np.hypot(down, right))
    count = int(inside.sum())
    edges = (np.concatenate(lengths), (np.concatenate(rows), np.concatenate(columns)))
    return coo_matrix(edges, (count, count)).tocsr(), np.argwhere(inside)

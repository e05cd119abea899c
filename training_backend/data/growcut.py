"""Grow-cut outside Slicer: ITK's FastGrowCut, the same algorithm as Slicer's ``vtkImageGrowCutSegment``.

On the same input both give the same label in every voxel. Traps of the filter: seed 0 means "no seed",
so ids travel one higher; an axis needs three voxels, and a seed on the volume's border grows nowhere,
so the volume is padded by one voxel on every side.
"""

from __future__ import annotations

import numpy as np

from slicer_kdseg.protocol.labels import UNLABELLED

LEVELS = 1000


def growcut(image: np.ndarray, strokes: np.ndarray, robust: bool = False, distance_penalty: float = 0.0) -> np.ndarray:
    """Class ids (D, H, W) uint8 grown from ``strokes`` over ``image``, both (D, H, W).

    ``strokes`` holds ids and ``UNLABELLED``; a voxel that no stroke reaches stays ``UNLABELLED``.
    ``robust`` compares intensities between the 0.5th and 99.5th percentile only; ``distance_penalty`` makes
    every step of growing cost something, so that close strokes win over like ones.
    """
    import itk  # three seconds to load

    seeds = np.where(strokes == UNLABELLED, 0, strokes + 1).astype(np.uint8)
    grow = itk.FastGrowCut[itk.Image[itk.SS, 3], itk.Image[itk.UC, 3]].New()
    grow.SetInput(itk.image_from_array(np.pad(_levels(image, robust), 1, mode="edge")))
    grow.SetSeedImage(itk.image_from_array(np.pad(seeds, 1)))
    grow.SetDistancePenalty(distance_penalty)
    grow.Update()
    grown = itk.array_from_image(grow.GetOutput())[1:-1, 1:-1, 1:-1]
    return np.where(grown == 0, UNLABELLED, grown - 1).astype(np.uint8)


def _levels(image: np.ndarray, robust: bool) -> np.ndarray:
    """``image`` as int16 in 0..1000, what the filter compares."""
    low, high = np.percentile(image, [0.5, 99.5]) if robust else (image.min(), image.max())
    return (np.clip((image - low) / (high - low + 1e-6), 0, 1) * LEVELS).astype(np.int16)

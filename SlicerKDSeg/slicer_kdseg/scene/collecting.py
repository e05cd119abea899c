"""What was drawn at one moment, checked before a byte leaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelContract
from slicer_kdseg.protocol.messages import AnnotationKind
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.background import with_automatic_background
from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume

ImageVersion = tuple[Any, int]


@dataclass(frozen=True, eq=False)
class Collected:
    """Everything that a revision needs: ``image`` and ``labels`` (D, H, W), ``affine`` index to RAS mm.

    ``image`` is the volume node's own buffer, which stays alive as long as this does;
    ``version`` is equal for equal voxels.
    """

    name: str
    version: ImageVersion
    image: np.ndarray
    affine: np.ndarray
    spacing_mm: tuple[float, float, float]
    labels: np.ndarray
    contract: LabelContract
    kind: AnnotationKind


@dataclass(frozen=True, eq=False)
class OtherVolume:
    """A volume of the scene that takes part without labels: the node, and its ``image`` (D, H, W) to be sent."""

    volume: Any
    name: str
    image: np.ndarray
    affine: np.ndarray


def collect_others(volumes: Iterable[Any]) -> tuple[OtherVolume, ...]:
    """Raises :class:`BadImage`, naming the volume."""
    others = []
    for volume in volumes:
        image = array_of_volume(volume)
        checks.check_image_shape(image.shape)
        others.append(OtherVolume(volume, volume.GetName(), image, grid_of_volume(volume).affine))
    return tuple(others)


def collect(annotation: Annotation, kind: AnnotationKind, automatic_background: bool) -> Collected:
    """Raises :class:`BadAnnotation` or :class:`BadImage` with a sentence that says what to do.

    In a dense annotation everything that no segment claims is background; among strokes it is unlabelled.
    """
    volume = annotation.volume
    image, grid = array_of_volume(volume), grid_of_volume(volume)
    checks.check_image_shape(image.shape)
    contract = annotation.contract
    strokes = annotation.read()
    labels, spoken = strokes.labels, strokes.spoken
    if kind == "dense":
        labels[labels == UNLABELLED] = BACKGROUND
        spoken = np.append(spoken, np.uint8(BACKGROUND))
    elif automatic_background and not (spoken == BACKGROUND).any():
        labels = with_automatic_background(image, labels, grid.spacing_mm)
        spoken = labels[strokes.drawn]
        spoken = spoken[spoken != UNLABELLED]
    checks.check_annotation(spoken, contract, kind)
    version = (volume.GetImageData(), volume.GetImageData().GetMTime())
    return Collected(volume.GetName(), version, image, grid.affine, grid.spacing_mm, labels, contract, kind)

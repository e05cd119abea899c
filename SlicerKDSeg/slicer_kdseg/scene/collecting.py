"""What was drawn at one moment, checked before a byte leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelContract
from slicer_kdseg.protocol.messages import AnnotationKind
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.background import with_automatic_background
from slicer_kdseg.scene.geometry import Grid, array_of_volume, grid_of_volume
from slicer_kdseg.scene.layers import Strokes

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


@dataclass(frozen=True, eq=False)
class Snapshot:
    """An annotation at the moment of a click: the scene was asked, the voxels are gone through by :meth:`collect`."""

    name: str
    version: ImageVersion
    image: np.ndarray
    grid: Grid
    contract: LabelContract
    kind: AnnotationKind
    automatic_background: bool
    read: Callable[[], Strokes]

    def collect(self) -> Collected:
        """On any thread. Raises :class:`BadAnnotation` with a sentence that says what to do.

        In a dense annotation everything that no segment claims is background; among strokes it is unlabelled.
        """
        strokes = self.read()
        labels, spoken = strokes.labels, strokes.spoken
        if self.kind == "dense":
            spoken = np.append(spoken, np.uint8(BACKGROUND))
        elif self.automatic_background and not (spoken == BACKGROUND).any():
            labels = with_automatic_background(self.image, labels, self.grid.spacing_mm)
            spoken = labels[strokes.drawn]
            spoken = spoken[spoken != UNLABELLED]
        checks.check_annotation(spoken, self.contract, self.kind)
        return Collected(
            self.name,
            self.version,
            self.image,
            self.grid.affine,
            self.grid.spacing_mm,
            labels,
            self.contract,
            self.kind,
        )


def snapshot(annotation: Annotation, kind: AnnotationKind, automatic_background: bool) -> Snapshot:
    """What can be refused at a glance is refused here: 512 x 512 x 300 voxels take a few milliseconds.

    Raises :class:`BadAnnotation` or :class:`BadImage` with a sentence that says what to do.
    """
    volume, contract = annotation.volume, annotation.contract
    image, grid = array_of_volume(volume), grid_of_volume(volume)
    checks.check_image_shape(image.shape)
    read = annotation.read_later(kind)
    spoken = annotation.spoken_classes()
    if kind == "dense" or (spoken and automatic_background):
        spoken |= {BACKGROUND}
    checks.check_annotation(np.array(sorted(spoken), np.uint8), contract, kind)
    version = (volume.GetImageData(), volume.GetImageData().GetMTime())
    return Snapshot(volume.GetName(), version, image, grid, contract, kind, automatic_background, read)

"""Other cases that take part in a training: unlabelled volumes, and volumes with labels of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelContract
from slicer_kdseg.protocol.messages import AnnotationKind, CaseInUse, CaseRole
from slicer_kdseg.protocol.settings import SETTINGS
from slicer_kdseg.scene.annotation import Annotation, find_annotation
from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume


@dataclass(frozen=True, eq=False)
class OtherCase:
    """``labels`` (D, H, W) is None for an unlabelled case; ``image`` is the volume node's own buffer."""

    name: str
    image: np.ndarray
    affine: np.ndarray
    labels: np.ndarray | None
    contract: LabelContract | None
    kind: AnnotationKind
    role: CaseRole = "target"


def unlabelled_case(volume: Any) -> OtherCase:
    """Raises :class:`BadImage`."""
    image, grid = array_of_volume(volume), grid_of_volume(volume)
    checks.check_image_shape(image.shape)
    return OtherCase(volume.GetName(), image, grid.affine, None, None, "scribble")


def labelled_case(annotation: Annotation, kind: AnnotationKind, role: CaseRole = "target") -> OtherCase:
    """Raises :class:`BadAnnotation` or :class:`BadImage`; a further case need not hold every class."""
    volume = annotation.volume
    image, grid, contract = array_of_volume(volume), grid_of_volume(volume), annotation.contract
    checks.check_image_shape(image.shape)
    labels = annotation.read().labels
    if kind == "dense":
        labels[labels == UNLABELLED] = BACKGROUND
    checks.check_annotation(labels[labels != UNLABELLED], contract, kind, complete=False)
    return OtherCase(volume.GetName(), image, grid.affine, labels, contract, kind, role)


def chosen_cases(scene: Any, volume_ids: Iterable[str], method: str) -> tuple[OtherCase, ...]:
    """The scene's volumes with these node IDs as ``method`` takes them: with their labels where they have some.

    Raises :class:`BadAnnotation` for an unlabelled one that the method cannot use.
    """
    settings, found = SETTINGS[method], []
    for volume in (scene.GetNodeByID(id_) for id_ in volume_ids):
        if volume is None:
            continue
        node = find_annotation(scene, volume)
        if node is not None and any(count.any() for count in Annotation(volume, node).voxels_by_slice().values()):
            found.append(labelled_case(Annotation(volume, node), settings.learns_from))
        elif settings.takes_unlabelled:
            found.append(unlabelled_case(volume))
        else:
            raise BadAnnotation(
                f"'{volume.GetName()}' has no labels, and the method '{method}' does not use unlabelled images;"
                " label it, or take it out of the other volumes."
            )
    return tuple(found)


def send_cases(client: BackendClient, cases: Iterable[OtherCase]) -> tuple[CaseInUse, ...]:
    """Each image once, its labels if it has some; blocks, so only on a network lane. Raises :class:`KDSegError`."""
    sent = []
    for case in cases:
        id_ = client.upload_case(case.image, case.affine)
        revision = None
        if case.labels is not None and case.contract is not None:
            revision = client.upload_annotation(id_, case.labels, case.contract, case.kind, affine_ras=case.affine)
        sent.append(CaseInUse(id_, revision, case.kind, case.name, case.role))
    return tuple(sent)

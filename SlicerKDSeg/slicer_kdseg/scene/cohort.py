"""Other volumes that take part in a training: unlabelled ones, and ones with labels of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelContract
from slicer_kdseg.protocol.messages import AnnotationKind, CaseInUse, CaseRole
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.annotation import Annotation, find_annotation, find_finished
from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume
from slicer_kdseg.scene.layers import Strokes


@dataclass(frozen=True, eq=False)
class OtherCase:
    """``image`` (D, H, W) is the volume node's own buffer; :meth:`labels` go through the voxels, on any thread."""

    name: str
    image: np.ndarray
    affine: np.ndarray
    read: Callable[[], Strokes]
    contract: LabelContract
    kind: AnnotationKind
    role: CaseRole = "target"

    def labels(self) -> np.ndarray:
        """(D, H, W) uint8 on the image's grid. Raises :class:`BadAnnotation`."""
        labels = self.read().labels
        if self.kind == "dense":
            labels[labels == UNLABELLED] = BACKGROUND
        checks.check_annotation(labels[labels != UNLABELLED], self.contract, self.kind, complete=False)
        return labels


def labelled_case(annotation: Annotation, kind: AnnotationKind, role: CaseRole = "target") -> OtherCase:
    """Raises :class:`BadAnnotation` or :class:`BadImage`; a further case need not hold every class."""
    volume = annotation.volume
    image, grid, contract = array_of_volume(volume), grid_of_volume(volume), annotation.contract
    checks.check_image_shape(image.shape)
    spoken = np.array(sorted(annotation.spoken_classes()), np.uint8)
    checks.check_annotation(spoken, contract, kind, complete=False)
    return OtherCase(volume.GetName(), image, grid.affine, annotation.read_later(), contract, kind, role)


@dataclass(frozen=True, eq=False)
class Cohort:
    """Further volumes of the scene as a method takes them: ``unlabelled`` nodes, ``labelled`` cases."""

    unlabelled: tuple[Any, ...]
    labelled: tuple[OtherCase, ...]


def chosen_cases(scene: Any, volume_ids: Iterable[str], method: str) -> Cohort:
    """The scene's volumes with these node IDs, with their labels where they have some of the kind that it learns from.

    Labelled ones are assistants of a method that takes assistants. Raises :class:`BadAnnotation` for an unlabelled
    one that the method cannot use.
    """
    settings = SETTINGS[method]
    unlabelled, labelled = [], []
    for volume in (scene.GetNodeByID(id_) for id_ in volume_ids):
        if volume is None:
            continue
        find = find_finished if settings.learns_from == "dense" else find_annotation  # strokes are no complete labels
        node = find(scene, volume)
        if node is not None and Annotation(volume, node).spoken_classes():
            role: CaseRole = "assistant" if settings.takes_assistants else "target"
            labelled.append(labelled_case(Annotation(volume, node), settings.learns_from, role))
        elif settings.takes_unlabelled:
            unlabelled.append(volume)
        else:
            raise BadAnnotation(
                _(
                    "'{volume}' has no finished segmentation, and the method '{method}' does not use"
                    " unlabelled images; choose one for it in the tab Annotate, or take it out of the other"
                    " images."
                ).format(volume=volume.GetName(), method=method)
            )
    return Cohort(tuple(unlabelled), tuple(labelled))


def send_cases(client: BackendClient, cases: Iterable[OtherCase]) -> tuple[CaseInUse, ...]:
    """Each image once, its labels if it has some; blocks, so only on a network lane. Raises :class:`KDSegError`."""
    sent = []
    for case in cases:
        id_ = client.upload_case(case.image, case.affine)
        revision = client.upload_annotation(id_, case.labels(), case.contract, case.kind, affine_ras=case.affine)
        sent.append(CaseInUse(id_, revision, case.kind, case.name, case.role))
    return tuple(sent)

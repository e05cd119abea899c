"""Other volumes that take part in a training: unlabelled ones, and ones with labels of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import UNLABELLED, LabelContract
from slicer_kdseg.protocol.messages import AnnotationKind, CaseInUse, CaseRole
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.protocol.renaming import renamed, shared_names
from slicer_kdseg.protocol.words import tr as _
from slicer_kdseg.scene.annotation import Annotation, find_annotation, find_finished
from slicer_kdseg.scene.geometry import array_of_volume, grid_of_volume
from slicer_kdseg.scene.layers import Strokes


@dataclass(frozen=True, eq=False)
class OtherCase:
    """``image`` (D, H, W) is the volume node's own buffer; :meth:`labels` go through the voxels, on any thread.

    Its segments are numbered as ``own`` says, what is sent as ``contract``: the same names are the same classes.
    """

    name: str
    image: np.ndarray
    affine: np.ndarray
    read: Callable[[], Strokes]
    own: LabelContract
    contract: LabelContract
    kind: AnnotationKind
    role: CaseRole = "target"

    def labels(self) -> np.ndarray:
        """(D, H, W) uint8 on the image's grid. Raises :class:`BadAnnotation`."""
        labels = renamed(self.read().labels, self.own, self.contract)
        checks.check_annotation(labels[labels != UNLABELLED], self.contract, self.kind, complete=False)
        return labels


def labelled_case(
    annotation: Annotation, kind: AnnotationKind, contract: LabelContract, role: CaseRole = "target"
) -> OtherCase:
    """With the classes of ``contract``; a further case need not hold every class.

    Raises :class:`BadImage`, or :class:`BadAnnotation` where nothing is drawn or drawn classes have no namesake: an
    assistant may have such, as long as it has others.
    """
    volume = annotation.volume
    image, grid, own = array_of_volume(volume), grid_of_volume(volume), annotation.contract
    checks.check_image_shape(image.shape)
    spoken = annotation.spoken_classes()
    checks.check_annotation(np.array(sorted(spoken), np.uint8), own, kind, complete=False)
    shared = shared_names(contract, own)
    strangers = [label.name for label in own.foreground if label.id in spoken and label.name not in shared]
    if strangers and (role == "target" or not shared):
        raise BadAnnotation(
            _(
                "'{volume}' has classes that the open image does not have ({names}): give them the same names in the"
                " tab Annotate, or take it out of the other images."
            ).format(volume=volume.GetName(), names=", ".join(strangers))
        )
    return OtherCase(volume.GetName(), image, grid.affine, annotation.read_later(kind), own, contract, kind, role)


@dataclass(frozen=True, eq=False)
class Cohort:
    """Further volumes of the scene as a method takes them: ``unlabelled`` nodes, ``labelled`` cases."""

    unlabelled: tuple[Any, ...]
    labelled: tuple[OtherCase, ...]


def chosen_cases(scene: Any, volume_ids: Iterable[str], method: str, contract: LabelContract) -> Cohort:
    """The scene's volumes with these node IDs, with their labels where they have some of the kind that it learns from.

    Labelled ones have the classes of ``contract`` and are assistants of a method that takes assistants. Raises
    :class:`BadAnnotation` for an unlabelled one that the method cannot use, and what :func:`labelled_case` raises.
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
            labelled.append(labelled_case(Annotation(volume, node), settings.learns_from, contract, role))
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

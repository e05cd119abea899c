"""The label contract: what the numbers in an annotation mean, by id and never by order.

0 is background, a real class that the user also scribbles; 1..K are the classes; every voxel
nobody has spoken about carries ``UNLABELLED``, which is never 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.words import tr as _

BACKGROUND = 0
UNLABELLED = 255


@dataclass(frozen=True)
class LabelClass:
    """One class. ``color`` is RGB in 0..1; ``terminology`` is Slicer's serialised terminology entry."""

    id: int
    name: str
    color: tuple[float, float, float] = (0.5, 0.5, 0.5)
    terminology: str = ""


@dataclass(frozen=True)
class LabelContract:
    """All classes of a project, background included, in any order."""

    classes: tuple[LabelClass, ...]

    def __post_init__(self) -> None:
        ids = [label.id for label in self.classes]
        if len(set(ids)) != len(ids):
            raise BadAnnotation(
                _("Two classes share one id ({ids}); give every class an id of its own.").format(ids=sorted(ids))
            )
        if BACKGROUND not in ids:
            raise BadAnnotation(
                _("The label contract has no background (id 0); add it, it is a class like the others.")
            )
        if any(not 0 <= id_ < UNLABELLED for id_ in ids):
            raise BadAnnotation(
                _("Class ids must lie in 0..{highest}, found {ids}.").format(highest=UNLABELLED - 1, ids=sorted(ids))
            )
        if len(ids) < 2:
            raise BadAnnotation(_("There is only background; add at least one class to segment."))

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids in ascending order; index in this tuple = channel of a network's output."""
        return tuple(sorted(label.id for label in self.classes))

    @property
    def foreground(self) -> tuple[LabelClass, ...]:
        return tuple(sorted((c for c in self.classes if c.id != BACKGROUND), key=lambda c: c.id))

    def by_id(self, id_: int) -> LabelClass:
        for label in self.classes:
            if label.id == id_:
                return label
        raise BadAnnotation(_("No class has the id {id}; the contract holds {ids}.").format(id=id_, ids=list(self.ids)))

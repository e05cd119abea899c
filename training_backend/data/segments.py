"""Names, colours and terminology in the header of a ``.seg.nrrd``, read into a label contract."""

from __future__ import annotations

from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import BACKGROUND, LabelClass, LabelContract

TERMINOLOGY = "TerminologyEntry:"


def segment_classes(header: dict[str, str]) -> tuple[LabelClass, ...]:
    """The segments of a header by their label value; a segment named "background" keeps its value here too."""
    classes = []
    for number in range(len(header)):
        value = header.get(f"Segment{number}_LabelValue")
        if value is None:
            break
        red, green, blue = (float(part) for part in header.get(f"Segment{number}_Color", "0.5 0.5 0.5").split())
        tags = header.get(f"Segment{number}_Tags", "").split("|")
        terms = next((tag[len(TERMINOLOGY) :] for tag in tags if tag.startswith(TERMINOLOGY)), "")
        name = header.get(f"Segment{number}_Name", f"class {value}")
        classes.append(LabelClass(int(value), name, (red, green, blue), terms))
    return tuple(classes)


def is_background(label: LabelClass) -> bool:
    return label.name.strip().lower() == "background"


def contract_of(classes: tuple[LabelClass, ...]) -> LabelContract:
    """``classes`` with background as id 0. Raises :class:`BadAnnotation` when 0 is taken by another class."""
    if any(label.id == BACKGROUND and not is_background(label) for label in classes):
        raise BadAnnotation("A segment other than background has the label value 0; give it another value.")
    foreground = tuple(label for label in classes if label.id != BACKGROUND and not is_background(label))
    return LabelContract((LabelClass(BACKGROUND, "background", (0.35, 0.35, 0.35)), *foreground))

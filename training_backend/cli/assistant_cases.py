"""``--assistant DIR``: labelled cases of another kind of image, as a run needs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slicer_kdseg.protocol import checks
from slicer_kdseg.protocol.digests import case_id
from slicer_kdseg.protocol.errors import BadAnnotation
from slicer_kdseg.protocol.labels import LabelContract
from slicer_kdseg.protocol.renaming import renamed, shared_names
from training_backend.data.folder import CaseFolder, read_case_folder

if TYPE_CHECKING:
    from training_backend.jobs.training_case import TrainingCase


def read_assistants(path: Path, contract: LabelContract) -> list[TrainingCase]:
    """The labelled cases of a folder with the classes of ``contract``, matched by name and never by number.

    Raises :class:`BadAnnotation` when no case is labelled or no class has a namesake.
    """
    folder = read_case_folder(path)
    for note in folder.notes:
        print(note)
    shared = shared_names(folder.contract, contract)
    if not shared:
        theirs, ours = (", ".join(label.name for label in own.foreground) for own in (folder.contract, contract))
        raise BadAnnotation(
            f"The assistants in '{path}' and the cases share no class name ({theirs}; {ours});"
            " give the same names in both labels.json."
        )
    cases = assistants_of(folder, contract)
    if not cases:
        raise BadAnnotation(f"No case in '{path}' has a file in labels/; assistants must be labelled.")
    print(f"{len(cases)} assistant cases teach {', '.join(shared)}; they are never segmented.")
    missing = [label.name for label in contract.foreground if label.name not in shared]
    if missing:
        print(f"The assistants say nothing about {', '.join(missing)}: unlabelled there, not background.")
    return cases


def assistants_of(folder: CaseFolder, contract: LabelContract) -> list[TrainingCase]:
    """The labelled cases of ``folder`` as assistants, in the ids of ``contract``."""
    from training_backend.jobs.training_case import TrainingCase

    cases = []
    for case in folder.cases:
        if case.labels is None:
            continue
        checks.check_annotation(case.labels, folder.contract, "dense", complete=False)
        labels = renamed(case.labels, folder.contract, contract)
        identity = case_id(case.image, np.asarray(case.affine))
        cases.append(TrainingCase(identity, case.name, case.image, case.affine, "dense", 1, labels, role="assistant"))
    return cases

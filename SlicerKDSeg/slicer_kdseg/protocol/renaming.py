"""Classes of two contracts are the same where their names are: another image may number them otherwise."""

from __future__ import annotations

import numpy as np

from slicer_kdseg.protocol.labels import BACKGROUND, UNLABELLED, LabelContract


def renamed(labels: np.ndarray, own: LabelContract, theirs: LabelContract) -> np.ndarray:
    """Ids of ``own`` as the ids that ``theirs`` gives to the same names; a class without a namesake is unlabelled."""
    ids = np.full(256, UNLABELLED, np.uint8)
    ids[BACKGROUND] = BACKGROUND
    known = {_plain(label.name): label.id for label in theirs.foreground}
    for label in own.foreground:
        ids[label.id] = known.get(_plain(label.name), UNLABELLED)
    return ids[labels]


def shared_names(own: LabelContract, theirs: LabelContract) -> list[str]:
    """Names of the classes that both contracts know, as ``theirs`` writes them."""
    known = {_plain(label.name) for label in own.foreground}
    return [label.name for label in theirs.foreground if _plain(label.name) in known]


def _plain(name: str) -> str:
    return name.strip().casefold()

"""Where the connection to a backend stands: what every label and button about it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from slicer_kdseg.protocol.words import tr as _

Stage = Literal["none", "asking", "installing", "starting", "connected"]


@dataclass(frozen=True)
class LinkState:
    """``local`` is where the user wants to train, ``runs_locally`` whether a backend of ours runs.

    ``missing`` are pip's requirements that a local backend lacks, None while nobody has looked.
    """

    stage: Stage = "none"
    sentence: str = field(
        default_factory=lambda: _("No backend is running. Press Train, and one is started on this computer.")
    )
    local: bool = True
    runs_locally: bool = False
    address: str = ""
    missing: tuple[str, ...] | None = None

    @property
    def busy(self) -> bool:
        return self.stage in ("asking", "installing", "starting")

"""A model as a folder: ``weights.safetensors`` and ``card.json``, enough to predict without us knowing how it learnt.

The card holds the label contract, the network's shape, the preprocessing, the method with its resolved
settings, hashes of the training cases, held-out scores and the versions of everything that computed it.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from slicer_kdseg.protocol.errors import BadRequest, NotFound, OutOfSpace
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from training_backend.data.cases import spacing_mm
from training_backend.data.largest import largest_parts
from training_backend.data.preprocess import Preprocess
from training_backend.engine.device import choose_device, faster_dtype
from training_backend.engine.predict import predict
from training_backend.networks.multi_scale_unet import MultiScaleUNet, UNetShape

FORMAT = 2
WEIGHTS, CARD = "weights.safetensors", "card.json"


@dataclass
class Model:
    """A network ready to predict, with all that belongs to it."""

    network: MultiScaleUNet
    preprocess: Preprocess
    labels: LabelContract
    card: dict[str, Any]
    dtype: torch.dtype = torch.float32

    def probabilities(self, image: np.ndarray, affine: np.ndarray, cancelled: Callable[[], bool] = bool) -> Tensor:
        """(D, H, W) with its affine (index to RAS mm) -> (K+1, D', H', W') at working spacing."""
        device = next(self.network.parameters()).device
        ready = self.preprocess.image(image, spacing_mm(affine)).to(device)
        divisor, how = self.network.shape.divisor(), self.preprocess
        return predict(
            self.network, ready, divisor, self.dtype, scales=how.scales, flips=how.flips, cancelled=cancelled
        )

    def predict(self, image: np.ndarray, affine: np.ndarray, cancelled: Callable[[], bool] = bool) -> np.ndarray:
        """(D, H, W) with its affine (index to RAS mm) -> class ids (D, H, W) uint8 on the same grid."""
        channels = self.preprocess.restore_labels(self.probabilities(image, affine, cancelled), image.shape)
        labels = np.array(self.labels.ids, np.uint8)[channels.cpu().numpy()]
        return largest_parts(labels, self.preprocess.keep_largest)


def save_model(
    folder: Path, network: MultiScaleUNet, preprocess: Preprocess, labels: LabelContract, facts: dict[str, Any]
) -> None:
    """Write ``folder`` anew. ``facts``: method, settings, cases, scores. Raises :class:`OutOfSpace`."""
    card = {
        "format": FORMAT,
        "created": time.time(),
        "labels": [asdict(label) for label in labels.classes],
        "network": network.shape.to_json(),
        "preprocess": preprocess.to_json(),
        "versions": {"torch": torch.__version__, "monai": monai.__version__, "python": platform.python_version()},
        **facts,
    }
    draft = folder.with_name(f"{folder.name}.part")
    try:
        draft.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        save_file(weights, draft / WEIGHTS)
        (draft / CARD).write_text(json.dumps(card, indent=1), encoding="utf-8")
        _replace(draft, folder)
    except (OSError, SafetensorError) as error:
        _remove(draft)
        raise OutOfSpace(
            f"The model could not be written ({error}); free disk space, nothing older was lost."
        ) from error


def load_model(folder: Path, device: str = "auto") -> Model:
    """Read what :func:`save_model` wrote.

    Raises :class:`NotFound`, :class:`BadRequest`, :class:`DeviceUnavailable`.
    """
    card = read_card(folder)
    try:
        network = MultiScaleUNet(UNetShape.from_json(card["network"]))
        preprocess = Preprocess.from_json(card["preprocess"])
        labels = LabelContract(
            tuple(LabelClass(**(label | {"color": tuple(label["color"])})) for label in card["labels"])
        )
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise BadRequest(f"The card in '{folder}' is damaged ({error!r}); export the model again.") from error
    if len(labels.ids) != network.shape.out_channels:
        raise BadRequest(
            f"The card in '{folder}' names {len(labels.ids)} classes, its network has {network.shape.out_channels};"
            " export the model again."
        )
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise BadRequest(
            f"The weights in '{folder}' do not fit their card ({reason}); export the model again."
        ) from error
    target = choose_device(device)
    network = network.to(target).eval()
    return Model(network, preprocess, labels, card, faster_dtype(target))


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a model folder. Raises :class:`NotFound`, :class:`BadRequest`."""
    path = folder / CARD
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise NotFound(f"'{folder}' is not a model folder; it should hold {CARD} and {WEIGHTS}.")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadRequest(f"The card in '{folder}' is not readable ({error}); export the model again.") from error
    if not isinstance(card, dict):
        raise BadRequest(f"The card in '{folder}' is no JSON object; export the model again.")
    if card.get("format") != FORMAT:
        raise BadRequest(f"The model in '{folder}' has format {card.get('format')}, this version reads {FORMAT}.")
    return card


def _replace(draft: Path, folder: Path) -> None:
    """Swap ``draft`` in; the older folder disappears only when the new one is complete."""
    old = folder.with_name(f"{folder.name}.old")
    _remove(old)
    if folder.exists():
        os.replace(folder, old)
    os.replace(draft, folder)
    _remove(old)


def _remove(folder: Path) -> None:
    for path in folder.glob("*"):
        path.unlink(missing_ok=True)
    if folder.exists():
        folder.rmdir()

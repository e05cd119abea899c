"""The teachers: one file is one paper, written as stages over the parts below."""

from collections.abc import Callable
from typing import Any

from training_backend.methods.cross_modality import CrossModality
from training_backend.methods.method import Method
from training_backend.methods.one_shot import OneShot
from training_backend.methods.scribble import Scribble
from training_backend.methods.shape_intensity import ShapeIntensity
from training_backend.methods.supervised import Supervised

METHODS: dict[str, Callable[[Any, Any, Any, Any, Any], Method]] = {
    "scribble": Scribble,
    "one_shot": OneShot,
    "cross_modality": CrossModality,
    "shape_intensity": ShapeIntensity,
    "supervised": Supervised,
}

"""The teachers: one file is one paper, written as stages over the parts below."""

from training_backend.methods.scribble import Scribble
from training_backend.methods.supervised import Supervised

Method = Scribble | Supervised
METHODS: dict[str, type[Scribble] | type[Supervised]] = {"scribble": Scribble, "supervised": Supervised}

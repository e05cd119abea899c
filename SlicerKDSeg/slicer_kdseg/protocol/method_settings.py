"""What can be set, method by method: dataclasses with defaults, a range and a one-line explanation for each setting.

A weight of 0 turns a term off, so that an ablation is a list of settings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from slicer_kdseg.protocol.messages import AnnotationKind


def setting(default: Any, low: float | None = None, high: float | None = None, hint: str = "") -> Any:
    """A settings field with a range ``low..high`` (inclusive) and a one-line explanation."""
    return field(default=default, metadata={"low": low, "high": high, "hint": hint})


@dataclass
class TrainSettings:
    """What every method needs, and what it says of itself to those who collect its cases."""

    learns_from: ClassVar[AnnotationKind] = "dense"
    takes_unlabelled: ClassVar[bool] = False
    takes_assistants: ClassVar[bool] = False
    meets_strangers: ClassVar[bool] = False
    turns_for_several: ClassVar[float] = 20.0
    coarse_for_several: ClassVar[float] = 0.0

    seconds: float = setting(120.0, 1, 86400, "time budget of training in seconds, previews included")
    until_good: bool = setting(True, hint="stop before the budget when the held-out quality no longer rises")
    device: Literal["auto", "cpu", "cuda"] = setting("auto", hint="auto takes a GPU only if a convolution runs on it")
    threads: int = setting(0, 0, 256, "CPU threads, 0 = all cores")
    seed: int = setting(0, 0, 2**31 - 1)
    clock: Literal["wall", "cpu"] = setting("wall", hint="what `seconds` counts; cpu is for measurements")
    steps: int | None = setting(
        None, 1, hint="end after this many steps instead, so that a run can be repeated exactly"
    )

    channels: int = setting(16, 4, 128, "width of the network's first level, doubled at every level")
    levels: int = setting(5, 2, 6)
    residual_units: int = setting(0, 0, 4, "convolutions a level beside a shortcut; 0 = one plain convolution")
    fine_level: bool = setting(False, hint="in volumes, one level more at full resolution, half as wide")
    batch: int = setting(4, 1, 256)
    slice_size: int = setting(128, 32, 1024, "longest side of a slice at working resolution, pixels")
    volume_size: int = setting(80, 32, 512, "longest side of a volume at working resolution, voxels")
    learning_rate: float = setting(1e-2, 1e-6, 1.0)
    weight_decay: float = setting(1e-3, 0, 1)
    momentum: float = setting(0.98, 0, 0.9999, "of the averaged weights that are kept as the model")

    augmentation: float | None = setting(None, 0, 5, "strength of random changes; none = 0.4 for one case, else 1")
    shading: float | None = setting(None, 0, 10, "strength of random intensity changes; none = as augmentation")
    elastic: float = setting(0.0, 0, 0.5, "deviation of random smooth displacements, as a share of the image")
    crops: bool = setting(False, hint="show parts around the classes too; for images that are cut closer elsewhere")
    rotation: float | None = setting(
        None, 0, 180, "largest turn in degrees at augmentation 1; none = 20, 60 for several scribbled cases"
    )
    position: bool | None = setting(None, hint="tell the network where in the volume it looks; none = for one case")
    context: int | None = setting(None, 0, 3, "slices on each side that come along; none = 1 for one case, else 0")
    fine_width: int | None = setting(None, 0, 256, "channels of pointwise layers at full resolution; none = 24 or 0")
    several_scales: bool | None = setting(None, hint="average predictions over three sizes; none = for several cases")
    flips: bool = setting(False, hint="mirror while training and predicting; only where left and right look alike")
    keep_largest: bool | None = setting(
        None, hint="keep only the largest part of every class; none = of those that were annotated in one piece"
    )
    coarse: float | None = setting(
        None, 0, 1, "share of early batches of slices seen at half resolution; none = what fits the method"
    )
    rare_items: float | None = setting(None, 0, 1, "share of items drawn for their rare classes; none = 0.5 or 0")

    target_ce: float = setting(1.0, 0, 100)
    target_dice: float = setting(1.0, 0, 100)

    consult: float = setting(0.4, 0, 1, "the first teachers' share of what is shown on a case that carries strokes")
    held_out: float = setting(0.15, 0, 0.5, "share of strokes kept aside to measure quality while training")
    release: float = setting(0.7, 0, 1, "share of the budget after which the held-out strokes are learnt too")


@dataclass
class ScribbleSettings(TrainSettings):
    """ScribSD+-style self-distillation on grow-cut; see training_backend.methods.scribble. A weight of 0 is off."""

    learns_from: ClassVar[AnnotationKind] = "scribble"
    takes_unlabelled: ClassVar[bool] = True
    turns_for_several: ClassVar[float] = 60.0
    coarse_for_several: ClassVar[float] = 0.75

    first_teachers: Literal["all", "growcut", "none"] = setting("all", hint="who labels what the strokes leave open")
    partial_ce: float = setting(0.3, 0, 100)
    class_balance: float = setting(0.0, 0, 1, "exponent of the inverse class frequency as class weight")
    correct_from: float = setting(0.4, 0, 1, "share of the budget after which the teacher corrects the target")
    teacher_after: float = setting(60.0, 0, 86400, "and seconds before it speaks to students of several cases")
    correct_every: float = setting(0.1, 0.001, 1)
    correction: float = setting(0.5, 0, 1, "the teacher's final share of the target, class by class as it learns")
    unlabelled: float = setting(1.0, 0, 100, "agreement with the teacher on cases without any annotation")
    unlabelled_from: float = setting(0.4, 0, 1, "share of the budget after which unlabelled cases take part")
    sharpening: float = setting(1.5, 0.1, 10, "exponent of the teacher's word on them; above 1 it says it more clearly")
    confidence: float = setting(0.5, 0, 0.99, "probability up to which the teacher's word on them counts nothing")
    cut_mix: bool = setting(True, hint="paste parts of annotated items over the unlabelled ones")
    multi_scale: float = setting(0.0, 0, 100, "multi-scale prediction distillation at every step")
    contrast: float = setting(0.0, 0, 100, "class-wise contrast between student and teacher prototypes")
    temperature: float = setting(2.0, 0.1, 100)
    deep_supervision: float = setting(0.0, 0, 100, "the target, pooled, for heads on coarser levels too")
    shape: float = setting(0.0, 0, 100, "a teacher of shape pulls the student's maps, as in shape_intensity")
    shape_share: float = setting(0.2, 0.01, 0.9, "share of the budget that the teacher of shape learns for")
    second_decoder: float = setting(0.0, 0, 100, "two decoders label for each other what is open (DMPLS); replaces all")


@dataclass
class ShapeIntensitySettings(TrainSettings):
    """SIKD-style distillation of shape from dense labels; see training_backend.methods.shape_intensity. 0 is off."""

    meets_strangers: ClassVar[bool] = True

    feature: float = setting(4.0, 0, 100, "the teacher of shape pulls the student's maps; 0 = there is no such teacher")
    inherit: bool = setting(False, hint="the student begins with the weights of the teacher of shape")
    all_maps: bool = setting(True, hint="maps of every decoder level, else the last one only")
    standardised: bool = setting(True, hint="compare maps channel by channel at mean 0 and deviation 1, else raw")
    ramp: float = setting(0.3, 0, 1, "share of the student's stage over which the hints rise to their weight; 0 = none")
    fade: float = setting(0.5, 0, 1, "share of the student's stage from which on hints and contrasts fade; 1 = never")
    paint: Literal["means", "drawn"] = setting("drawn", hint="intensities in the teacher's pictures")
    teacher_skips: bool = setting(True, hint="skip connections in the teacher; without them it learns slowly")
    teacher_share: float = setting(0.42, 0.01, 0.9, "share of the budget that the teacher of shape learns for")
    gate: float = setting(0.9, 0, 1, "Dice on pictures of unseen cases that it must reach before it may teach")
    painted_views: float = setting(0.0, 0, 1, "share of the student's images with every class in a contrast of its own")


@dataclass
class OneShotSettings(TrainSettings):
    """One labelled case, carried over to unlabelled ones; see training_backend.methods.one_shot. 0 is off."""

    takes_unlabelled: ClassVar[bool] = True
    meets_strangers: ClassVar[bool] = True

    registered: int = setting(40, 0, 10000, "how many unlabelled cases labels are carried over to; 0 = atlas only")
    register_share: float = setting(0.5, 0, 1, "share of the budget after which no further case is carried over to")
    atlas_share: float = setting(0.25, 0, 1, "share of batches that show the labelled case itself")
    propagated: float = setting(1.0, 0, 100, "weight of batches with labels that were carried over")
    trust_likeness: float = setting(0.0, 0, 1, "how far a carried over label counts less where the images look unlike")
    believe_from: float = setting(0.0, 0, 1, "share of the student's time before which the labelled case alone teaches")
    disputed: float = setting(1.0, 0, 1, "weight of voxels where averaged student and carried over label differ")
    correction: float = setting(0.5, 0, 1, "the averaged student's share of what unlabelled cases are believed to show")
    correct_from: float = setting(0.5, 0, 1, "share of the student's time after which it corrects, and may be shown")
    correct_every: float = setting(0.15, 0.001, 1)
    agreement: float = setting(0.7, 0, 1, "Dice with the surely carried over labels from which the student is shown")
    synthetic: float = setting(0.0, 0, 1, "share of unlabelled batches that show the atlas in their shape instead")
    mixed_shapes: bool = setting(True, hint="mix two such shapes; never with a hint, which needs the exact one")
    shape: float = setting(0.0, 0, 100, "a teacher of shape pulls the student's maps, as in shape_intensity")
    shape_share: float = setting(0.2, 0.01, 0.9, "share of the budget that the teacher of shape learns for")
    hint: float = setting(0.0, 0, 100, "a frozen teacher of reconstruction pulls the student's features")
    hint_of: Literal["voxel", "volume"] = setting("voxel", hint="a cosine a voxel, or one of everything as published")
    hint_ramp: float = setting(0.4, 0, 1, "share of the student's stage over which the hint rises to its weight")
    teacher_share: float = setting(0.2, 0.01, 0.9, "share of the budget that the teacher of reconstruction learns for")


@dataclass
class SupervisedSettings(TrainSettings):
    """Dense labels: the reference and the upper bound."""

    coarse_for_several: ClassVar[float] = 0.75


@dataclass
class CrossModalitySettings(TrainSettings):
    """MKD-style mutual distillation with cases of another kind of image; see training_backend.methods.cross_modality.

    A weight of 0 is off.
    """

    takes_unlabelled: ClassVar[bool] = True
    takes_assistants: ClassVar[bool] = True
    meets_strangers: ClassVar[bool] = True

    students: Literal["two", "one"] = setting(
        "two", hint="one = joint training on both kinds of images, no distillation"
    )
    alignment: Literal["auto", "none", "hist", "classmap", "fourier", "gan"] = setting(
        "classmap", hint="how assistants are made to look like targets; auto = classmap if contrasts differ, else none"
    )
    match_size: bool = setting(
        True, hint="scale the assistants until the labelled classes are as large as the targets'"
    )
    synthetic_ce: float = setting(1.0, 0, 100, "the second student's loss on aligned assistant images")
    synthetic_dice: float = setting(1.0, 0, 100)
    share_labels: float = setting(0.0, 0, 100, "each student learns the other's labels too; 0 as published")
    synthetic_to_real: float = setting(0.5, 0, 100, "the student of the assistants teaches the student of the targets")
    real_to_synthetic: float = setting(0.5, 0, 100, "and the other way round")
    distil_on: Literal["target", "own", "both"] = setting("target", hint="images on which the students compare notes")
    unlabelled: bool = setting(True, hint="they compare notes on unlabelled target images too")
    temperature: float = setting(2.0, 0.1, 100)
    foreground: float = setting(0.0, 0, 100, "extra weight of voxels that the teacher calls foreground")
    warm_up: float = setting(0.3, 0.001, 1, "share of the mutual stage, half of it alone, until distillation weighs")
    least_agreement: float = setting(0.5, 0, 1, "Dice between the students below which the second one is not heard")
    merge_from: float = setting(0.75, 0.01, 1, "share of the budget after which both are merged into one; 1 = never")
    merge_rate: float = setting(0.4, 0.001, 1, "learning rate of merging, as a share of the usual one")
    merge_soft: float = setting(1.0, 0, 100, "what both believe together, taught to the one that is kept")
    merge_both: bool = setting(True, hint="and to the other one too, for the sake of the ensemble")
    merge_synthetic: float = setting(1.0, 0, 100, "aligned assistant images with their labels, while merging")
    gan_share: float = setting(0.3, 0.01, 0.9, "share of the budget that alignment 'gan' learns for")
    gan_cycle: float = setting(10.0, 0, 100, "weight of cycle consistency in alignment 'gan'")
    gan_rate: float = setting(2e-4, 1e-6, 1, "learning rate of alignment 'gan'")


SETTINGS: dict[str, type[TrainSettings]] = {
    "shape_intensity": ShapeIntensitySettings,
    "one_shot": OneShotSettings,
    "scribble": ScribbleSettings,
    "cross_modality": CrossModalitySettings,
    "supervised": SupervisedSettings,
}

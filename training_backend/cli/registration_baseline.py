"""What a user without this project would do: SimpleITK's affine registration and demons, case by case."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import torch

from training_backend.data.cases import Case
from training_backend.data.preprocess import standardise

BINS, AFFINE_STEPS, DEMONS_STEPS, DEMONS_BLUR_VOXELS = 32, 100, 60, 1.5


def carried_by_demons(atlas: Case, case: Case) -> np.ndarray:
    """Labels (D, H, W) of ``atlas`` on the grid of ``case``; both lie middle on middle to begin with."""
    assert atlas.labels is not None
    fixed, moving = _image(_standard(case.image), case), _image(_standard(atlas.image), atlas)
    affine = _affine(fixed, moving)
    near = sitk.Resample(moving, fixed, affine, sitk.sitkLinear, float(sitk.GetArrayViewFromImage(moving).min()))
    demons = sitk.DiffeomorphicDemonsRegistrationFilter()
    demons.SetNumberOfIterations(DEMONS_STEPS)
    demons.SetStandardDeviations(DEMONS_BLUR_VOXELS)
    field = demons.Execute(fixed, sitk.HistogramMatching(near, fixed))
    bent = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    whole = sitk.CompositeTransform([affine, bent])
    labels = sitk.Resample(_image(atlas.labels, atlas), fixed, whole, sitk.sitkNearestNeighbor, 0)
    return sitk.GetArrayFromImage(labels)


def _affine(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, AFFINE_STEPS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([1, 0])
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method.SetInitialTransform(start)
    return method.Execute(fixed, moving)


def _standard(image: np.ndarray) -> np.ndarray:
    return standardise(torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))).numpy()


def _image(array: np.ndarray, case: Case) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(case.spacing_mm[::-1])
    return image

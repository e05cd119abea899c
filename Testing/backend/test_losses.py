"""Every loss against a hand value, an independent NumPy reference, and gradients only where they should flow."""

import numpy as np
import pytest
import torch

from training_backend.losses.adversarial import adversarial
from training_backend.losses.class_contrast import class_contrast
from training_backend.losses.mixed_pseudo_labels import SMALL, mixed_pseudo_labels
from training_backend.losses.multi_scale_distillation import multi_scale_distillation
from training_backend.losses.partial_cross_entropy import UNSPOKEN, partial_cross_entropy
from training_backend.losses.prediction_distillation import prediction_distillation
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice


def log_softmax(logits: np.ndarray, axis: int = 1) -> np.ndarray:
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def random_logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def random_target(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).softmax(dim=1)


def test_partial_cross_entropy_by_hand():
    logits = torch.tensor([[[[0.0, 0.0]], [[0.0, 5.0]]]])
    strokes = torch.tensor([[[0, UNSPOKEN]]])
    assert partial_cross_entropy(logits, strokes).item() == pytest.approx(np.log(2))


def test_partial_cross_entropy_like_numpy():
    logits = random_logits(2, 4, 5, 6)
    strokes = torch.randint(UNSPOKEN, 4, (2, 5, 6), generator=torch.Generator().manual_seed(2))
    log_p = log_softmax(logits.detach().numpy())
    values = [-log_p[b, strokes[b, y, x], y, x] for b, y, x in np.argwhere(strokes.numpy() != UNSPOKEN)]
    assert partial_cross_entropy(logits, strokes).item() == pytest.approx(np.mean(values), rel=1e-5)


def test_unspoken_voxels_change_neither_loss_nor_gradient():
    logits = random_logits(1, 3, 4, 4)
    strokes = torch.full((1, 4, 4), UNSPOKEN)
    strokes[0, 0, 0] = 1
    loss = partial_cross_entropy(logits, strokes)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, :, 0, 0].abs().sum() > 0
    assert gradient.abs().sum() == pytest.approx(gradient[0, :, 0, 0].abs().sum().item())


def test_no_stroke_gives_zero_with_zero_gradient():
    logits = random_logits(1, 3, 4, 4)
    loss = partial_cross_entropy(logits, torch.full((1, 4, 4), UNSPOKEN))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad.abs().sum() == 0.0


def test_soft_cross_entropy_like_numpy_and_with_weights():
    logits, target = random_logits(2, 3, 4, 5), random_target(2, 3, 4, 5)
    weight = torch.tensor([0.5, 1.0, 1.5])
    weighted = target.numpy() * weight.numpy()[None, :, None, None]
    expected = -(weighted * log_softmax(logits.detach().numpy())).sum() / weighted.sum()
    assert soft_cross_entropy(logits, target, weight).item() == pytest.approx(expected, rel=1e-5)


def test_a_voxel_without_a_target_is_silent():
    logits, target = random_logits(1, 3, 4, 4), random_target(1, 3, 4, 4)
    target[..., 2:] = 0.0
    for loss in (soft_cross_entropy(logits, target), soft_dice(logits, target)):
        (gradient,) = torch.autograd.grad(loss, logits)
        assert gradient[..., 2:].abs().sum() == 0.0
        assert gradient[..., :2].abs().sum() > 0.0


def test_soft_dice_by_hand():
    target = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0, 0.0]]]])
    certain = (target * 2 - 1) * 50
    assert soft_dice(certain, target).item() == pytest.approx(0.0, abs=1e-6)
    assert soft_dice(-certain, target).item() == pytest.approx(1 - 1 / 5)


def test_soft_dice_like_numpy():
    logits, target = random_logits(2, 3, 4, 5), random_target(2, 3, 4, 5)
    p, t = np.exp(log_softmax(logits.detach().numpy())), target.numpy()
    dice = [(2 * (p[:, c] * t[:, c]).sum() + 1) / (p[:, c].sum() + t[:, c].sum() + 1) for c in (1, 2)]
    assert soft_dice(logits, target).item() == pytest.approx(1 - np.mean(dice), rel=1e-5)


def test_distillation_is_zero_where_student_and_teacher_agree():
    logits = random_logits(1, 3, 8, 8)
    assert multi_scale_distillation([logits], logits.detach().clone()).item() == pytest.approx(0.0, abs=1e-6)


def test_distillation_like_numpy():
    scales = [random_logits(2, 3, 8, 8), random_logits(2, 3, 4, 4, seed=3)]
    teacher = random_logits(2, 3, 8, 8, seed=4)
    soft = np.exp(log_softmax(teacher.detach().numpy() / 2.0))
    pooled = soft.reshape(2, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    expected = 0.0
    for weight, target, logits in zip((0.4, 0.2), (soft, pooled), scales, strict=True):
        log_q = log_softmax(logits.detach().numpy() / 2.0)
        expected += weight * 4.0 * (target * (np.log(target) - log_q)).sum(axis=1).mean()
    assert multi_scale_distillation(scales, teacher, temperature=2.0).item() == pytest.approx(expected, rel=1e-4)


def test_distillation_reaches_every_scale_and_never_the_teacher():
    scales = [random_logits(1, 3, 8, 8), random_logits(1, 3, 4, 4, seed=3), random_logits(1, 3, 2, 2, seed=5)]
    teacher = random_logits(1, 3, 8, 8, seed=4)
    multi_scale_distillation(scales, teacher).backward()
    assert all(logits.grad.abs().sum() > 0 for logits in scales)
    assert teacher.grad is None


def test_contrast_of_orthogonal_prototypes_by_hand():
    features = torch.zeros(1, 2, 4, 16)
    features[:, 0, :2], features[:, 1, 2:] = 1.0, 1.0
    members = torch.zeros(1, 2, 4, 16)
    members[:, 0, :2], members[:, 1, 2:] = 1.0, 1.0
    loss = class_contrast(features, features, members, temperature=0.5)
    assert loss.item() == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 1)), rel=1e-5)


def test_contrast_like_numpy():
    student, teacher = random_logits(2, 5, 6, 6), random_logits(2, 5, 6, 6, seed=7)
    members = random_target(2, 3, 6, 6)
    w = members.numpy().transpose(1, 0, 2, 3).reshape(3, -1)
    sides = [f.detach().numpy().transpose(1, 0, 2, 3).reshape(5, -1) for f in (student, teacher)]
    v = [w @ side.T for side in sides]
    v = [p / np.linalg.norm(p, axis=1, keepdims=True) for p in v]
    expected = -np.diag(log_softmax(v[0] @ v[1].T / 0.1, axis=1)).mean()
    assert class_contrast(student, teacher, members).item() == pytest.approx(expected, rel=1e-4)


def test_contrast_teaches_the_student_only():
    student, teacher = random_logits(2, 5, 6, 6), random_logits(2, 5, 6, 6, seed=7)
    class_contrast(student, teacher, random_target(2, 3, 6, 6)).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_contrast_of_a_single_class_is_zero():
    student = random_logits(1, 5, 6, 6)
    members = torch.zeros(1, 3, 6, 6)
    members[:, 1] = 1.0
    loss = class_contrast(student, student.detach(), members)
    loss.backward()
    assert loss.item() == 0.0
    assert student.grad.abs().sum() == 0.0


def test_mixed_pseudo_labels_by_hand():
    sure = torch.tensor([[[50.0, -50.0], [-50.0, 50.0]]])
    assert mixed_pseudo_labels(sure, sure, 0.5).item() == pytest.approx(0.0, abs=1e-6)
    unsure = torch.zeros(1, 2, 2)
    half = 1 - (2 * 0.5 + SMALL) / (0.5 + 1.0 + SMALL)
    assert mixed_pseudo_labels(sure, unsure, 1.0).item() == pytest.approx(half / 2, rel=1e-5)


def test_mixed_pseudo_labels_like_numpy():
    first, second = random_logits(2, 3, 4, 5), random_logits(2, 3, 4, 5, seed=9)
    p, q = (np.exp(log_softmax(z.detach().numpy())) for z in (first, second))
    y = np.eye(3)[(0.3 * p + 0.7 * q).argmax(axis=1)].transpose(0, 3, 1, 2)
    losses = []
    for said in (p, q):
        dice = [
            (2 * (said[:, c] * y[:, c]).sum() + SMALL) / ((said[:, c] ** 2).sum() + y[:, c].sum() + SMALL)
            for c in range(3)
        ]
        losses.append(1 - np.mean(dice))
    assert mixed_pseudo_labels(first, second, 0.3).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_mixed_pseudo_labels_teach_both_decoders():
    first, second = random_logits(2, 3, 4, 5), random_logits(2, 3, 4, 5, seed=9)
    mixed_pseudo_labels(first, second, 0.3).backward()
    assert first.grad.abs().sum() > 0
    assert second.grad.abs().sum() > 0


def test_prediction_distillation_by_hand_and_like_numpy():
    student, teacher = random_logits(2, 3, 4, 5), random_logits(2, 3, 4, 5, seed=1)
    for tau in (1.0, 2.0, 4.0):
        log_p, log_q = (log_softmax(z.detach().numpy() / tau) for z in (teacher, student))
        wanted = tau**2 * (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
        assert prediction_distillation(student, teacher, tau).item() == pytest.approx(wanted, rel=1e-5)
    assert prediction_distillation(student, student.detach().clone()).item() == pytest.approx(0.0, abs=1e-6)
    one, other = torch.tensor([[[[0.0]], [[0.0]]]]), torch.tensor([[[[np.log(3.0)]], [[0.0]]]])
    wanted = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    assert prediction_distillation(other, one, 1.0).item() == pytest.approx(wanted, rel=1e-5)


def test_prediction_distillation_teaches_the_student_only_and_tau_keeps_its_pull():
    student, teacher = random_logits(1, 3, 4, 4), random_logits(1, 3, 4, 4, seed=1)
    sizes = []
    for tau in (8.0, 16.0):
        (gradient,) = torch.autograd.grad(prediction_distillation(student, teacher, tau), student)
        sizes.append(gradient.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)
    prediction_distillation(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_prediction_distillation_can_weigh_the_teacher_s_foreground():
    teacher = torch.tensor([[[[9.0, 0.0]], [[0.0, 9.0]]]])
    student = torch.zeros(1, 2, 1, 2)
    student[0, :, 0, 1] = torch.tensor([1.0, 0.0])
    log_p, log_q = (log_softmax(z.numpy()) for z in (teacher, student))
    per_voxel = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).ravel()
    wanted = (per_voxel[0] + 5 * per_voxel[1]) / 6
    assert prediction_distillation(student, teacher, 1.0, foreground=4.0).item() == pytest.approx(wanted, rel=1e-5)


def test_adversarial_is_the_squared_distance_from_what_is_wanted():
    scores = torch.tensor([1.0, 0.0, 3.0])
    assert adversarial(scores, 1.0).item() == pytest.approx(5 / 3)
    assert adversarial(scores, 0.0).item() == pytest.approx(10 / 3)

"""The loop and its verbs: schedules, averages, budgets, checkpoints, prediction."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from slicer_kdseg.protocol.errors import DeviceUnavailable, OutOfSpace
from slicer_kdseg.protocol.labels import UNLABELLED
from training_backend.data.largest import largest_parts, shares_in_largest
from training_backend.engine import checkpoint, device
from training_backend.engine.budget import Budget
from training_backend.engine.checkpoint import Memory
from training_backend.engine.device import choose_device, faster_dtype
from training_backend.engine.ema import follow, teacher_of
from training_backend.engine.loop import DivergedError, Stage, generator_for, train
from training_backend.engine.predict import predict
from training_backend.engine.schedules import sigmoid_ramp, warm_then_linear
from training_backend.networks.multi_scale_unet import MultiScaleUNet, UNetShape
from training_backend.networks.window import window_for


def a_stage(learner: nn.Module, until: float = 1.0, terms=None, name: str = "only") -> Stage:
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.1)
    for group in optimizer.param_groups:
        group["initial_lr"] = 0.1

    def squares(moment):
        x = torch.randn(4, 2, generator=generator_for(0, moment.step))
        return {"square": learner(x).square().mean()}

    return Stage(name, until, learner, optimizer, lambda fraction: 1.0, terms or squares, lambda moment: None)


def test_ramp_values_at_start_middle_and_end():
    assert sigmoid_ramp(0.0, 0.0, 0.4) == pytest.approx(math.exp(-5))
    assert sigmoid_ramp(0.2, 0.0, 0.4) == pytest.approx(math.exp(-1.25))
    assert sigmoid_ramp(0.9, 0.0, 0.4) == 1.0


def test_rate_rises_then_falls_to_its_floor():
    assert warm_then_linear(0.02, warm=0.04) == pytest.approx(0.5)
    assert warm_then_linear(0.04, warm=0.04) == pytest.approx(1.0)
    assert warm_then_linear(1.0, floor=0.03) == pytest.approx(0.03)


def test_teacher_equals_the_student_after_the_first_step_and_then_lags():
    student = nn.Linear(2, 2)
    teacher = teacher_of(student)
    with torch.no_grad():
        student.weight += 1.0
    follow(teacher, student, followed=0)
    assert torch.equal(teacher.weight, student.weight)
    before = student.weight.clone()
    with torch.no_grad():
        student.weight += 1.0
    follow(teacher, student, followed=1_000, momentum=0.9)
    assert torch.allclose(teacher.weight, before + 0.1, atol=1e-6)


def test_teacher_is_frozen_and_in_eval_mode():
    teacher = teacher_of(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_stages_follow_one_another_and_count_steps():
    network = nn.Linear(2, 1)
    stages = [a_stage(network, 0.5, name="first"), a_stage(network, 1.0, name="second")]
    reports = list(train(stages, Budget(seconds=60, steps=10)))
    assert [report.stage for report in reports] == ["first"] * 5 + ["second"] * 5
    assert [report.step for report in reports] == list(range(1, 11))
    assert reports[-1].fraction == 1.0


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    def life(first: int, last: int, restore: bool) -> nn.Module:
        torch.manual_seed(1)
        network = nn.Linear(2, 1)
        stage = a_stage(network)
        if restore:
            recalled = checkpoint.load(tmp_path, Memory({"net": network}, {"sgd": stage.optimizer}))
            assert recalled is not None
            assert recalled.facts == {"step": first}
        for report in train([stage], Budget(seconds=60, steps=20), first):
            if report.step == last:
                checkpoint.save(tmp_path, Memory({"net": network}, {"sgd": stage.optimizer}, facts={"step": last}))
                break
        return network

    whole = life(0, 20, restore=False)
    life(0, 7, restore=False)
    resumed = life(7, 20, restore=True)
    assert torch.equal(whole.weight, resumed.weight)


def test_a_loss_that_is_no_number_is_skipped_once_and_fatal_when_it_stays():
    network = nn.Linear(2, 1)

    def broken(moment):
        return {"broken": network(torch.ones(1, 2)).sum() * float("nan")}

    before = network.weight.detach().clone()
    with pytest.raises(DivergedError, match="learning_rate"):
        list(train([a_stage(network, terms=broken)], Budget(seconds=60, steps=100)))
    assert torch.equal(network.weight, before)


def test_a_budget_continues_where_an_earlier_life_stopped():
    budget = Budget(seconds=100.0, seconds_spent_before=40.0)
    assert budget.fraction(step=0) == pytest.approx(0.4, abs=0.01)
    assert budget.seconds_left(step=0) == pytest.approx(60, abs=1)
    budget.end_within(10.0)
    assert budget.fraction(step=0) == pytest.approx(0.8, abs=0.01)


def test_a_budget_goes_on_as_an_earlier_life_left_it(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(Budget, "_now", lambda _budget: now[0])
    first = Budget(seconds=60.0)
    now[0] = 33.0
    first.leave_at_least(0.6)
    now[0] = 40.0
    second = Budget(seconds=60.0)
    now[0] = 73.0
    second.go_on(first.seconds, 40.0)
    assert (second.seconds, second.spent()) == (69.0, 40.0)
    now[0] = 83.0
    assert second.spent() == 50.0


def test_a_checkpoint_of_another_version_is_as_none(tmp_path, monkeypatch):
    network = nn.Linear(2, 2)
    with monkeypatch.context() as older:
        older.setattr(checkpoint, "LAYOUT", "1")
        checkpoint.save(tmp_path, Memory({"net": network}, facts={"step": 1}))
    before = network.weight.detach().clone()
    nn.init.zeros_(network.weight)
    assert checkpoint.load(tmp_path, Memory({"net": network})) is None
    assert not torch.equal(network.weight, before)


def test_a_full_disk_keeps_the_older_checkpoint(tmp_path, monkeypatch):
    network = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    checkpoint.save(tmp_path, Memory({"net": network}, {"sgd": optimizer}, facts={"step": 1}))

    def no_space(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", no_space)
    with pytest.raises(OutOfSpace, match="disk"):
        checkpoint.save(tmp_path, Memory({"net": network}, {"sgd": optimizer}, facts={"step": 2}))
    recalled = checkpoint.load(tmp_path, Memory({"net": network}, {"sgd": optimizer}))
    assert recalled is not None
    assert recalled.facts == {"step": 1}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_asking_for_a_gpu_that_is_not_there_is_said():
    assert choose_device("auto").type == "cpu"
    with pytest.raises(DeviceUnavailable, match="choose device 'cpu' or 'auto'"):
        choose_device("cuda")


def test_a_gpu_that_only_emulates_bfloat16_computes_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert faster_dtype(torch.device("cuda")) == torch.float32


def test_a_device_is_tried_in_the_type_that_it_will_train_in(monkeypatch):
    monkeypatch.setattr(device, "faster_dtype", lambda _: torch.bfloat16)
    found = []
    hook = register_module_forward_hook(lambda _layer, _image, seen: found.append(seen.dtype))
    assert device.reason_unusable(torch.device("cpu")) == ""
    hook.remove()
    assert found == [torch.bfloat16]


class Brightness(nn.Module):
    """Class 1 where the image is positive: a network whose right answer is known."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([-image, image], dim=1) * 10


@pytest.mark.parametrize("divisor", [(16, 16), (8, 8, 8)])
def test_prediction_keeps_size_and_place(divisor):
    image = torch.randn(1, 5, 23, 37, generator=torch.Generator().manual_seed(0))
    probability = predict(Brightness(), image, divisor, batch=2)
    assert probability.shape == (2, 5, 23, 37)
    assert np.array_equal(probability.argmax(0).numpy(), (image[0] > 0).numpy())


@pytest.mark.parametrize(("size", "dims"), [((3, 16, 16), 2), ((3, 16, 17), 2), ((16, 16, 16), 3)])
def test_an_image_as_small_as_the_network_s_divisor_is_predicted_at_every_scale(size, dims):
    torch.manual_seed(0)
    network = MultiScaleUNet(UNetShape(dims, 1, 2, channels=(4, 4, 4, 4, 4)))
    probability = predict(network, torch.randn(1, *size), network.shape.divisor(), scales=(0.9, 1.0, 1.1))
    assert probability.shape == (2, *size)


def test_a_window_is_a_multiple_of_the_divisor_and_never_a_single_one():
    assert window_for((17, 41), (16, 16)) == (32, 48)
    assert window_for((17, 41), (16, 16), nearest=True) == (16, 48)
    assert window_for((15, 16), (16, 16)) == (16, 32)
    assert window_for((5.0, 20.0, 10.0), (16, 16, 16), nearest=True) == (16, 32, 16)


def test_flips_average_over_mirror_images():
    """A network that answers by place sees the mean of its four answers."""

    class Place(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            ramp = torch.arange(image.shape[-1], dtype=torch.float32).expand_as(image[:, :1])
            return torch.cat([ramp, torch.zeros_like(ramp)], dim=1)

    image = torch.zeros(1, 2, 4, 6)
    plain, mirrored = (predict(Place(), image, (1, 1), flips=flips) for flips in (False, True))
    expected = (plain + plain.flip(2) + plain.flip(3) + plain.flip(2, 3)) / 4
    assert torch.allclose(mirrored, expected)
    assert not torch.allclose(mirrored, plain)
    assert torch.allclose(mirrored, mirrored.flip(3))


def test_only_the_largest_part_of_a_class_is_kept():
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[1, 1:4, 1:4], labels[1, 6, 6], labels[2, 6:8, 6:8] = 1, 1, 2
    kept = largest_parts(labels, (1, 2))
    assert kept[1, 6, 6] == 0
    assert (kept == 1).sum() == 9
    assert (kept == 2).sum() == 4
    assert np.array_equal(largest_parts(labels, (2,)), labels)


def test_a_part_in_which_somebody_has_drawn_is_kept():
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[0, 1:4, 1:4], labels[1, 6, 5:7], labels[2, 6, 2] = 1, 1, 1
    drawn = np.full(labels.shape, UNLABELLED, np.uint8)
    drawn[1, 6, 6], drawn[2, 6, 2] = 1, 0
    kept = largest_parts(labels, (1,), drawn)
    assert (kept[1] == labels[1]).all()
    assert not kept[2].any()


def test_shares_tell_an_organ_from_a_pair_of_them():
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[:, 1:3, 1:3], labels[0, 5, 5] = 1, 1
    labels[:, 5:7, :2], labels[:, 5:7, 6:] = 2, 2
    drawn = np.full(labels.shape, UNLABELLED, np.uint8)
    drawn[:, 1, 1], drawn[1, 5, 0], drawn[1, 5, 7] = 1, 2, 2
    assert shares_in_largest(labels, drawn, (1, 2, 3)) == {1: 1.0, 2: 0.5}

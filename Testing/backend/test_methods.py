"""Who learns and who stays frozen, and that the terms of the scribble method reach what they should."""

from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from slicer_kdseg.protocol.settings import preset_names, resolve, view_for
from training_backend import methods
from training_backend.data import preprocess
from training_backend.data.augment import draw_crop, draw_views, from_afar, grid_of, sample
from training_backend.data.items import Items, PreparedCase, hot
from training_backend.data.phantom import CONTRACT, phantom
from training_backend.engine.budget import Budget
from training_backend.engine.loop import Moment, train
from training_backend.losses.partial_cross_entropy import UNSPOKEN
from training_backend.methods import METHODS
from training_backend.methods.correction import corrected, learnt
from training_backend.methods.method import Messenger

SPACING = (6.0, 1.0, 1.0)
SMALL = {"steps": 4, "channels": 4, "levels": 3, "batch": 2, "slice_size": 48}


def a_method(name: str = "scribble", spacing_mm=SPACING, shape=(6, 48, 48), **differences):
    image, labels = phantom(shape)
    settings = resolve(name, "fast", SMALL | differences)
    view = view_for(settings, 1)
    how = preprocess.fit([image.shape], [spacing_mm], settings, view)
    channel_of = np.arange(256)
    channels = how.labels(labels, spacing_mm, channel_of)
    strokes = torch.where(torch.rand(channels.shape, generator=torch.Generator().manual_seed(0)) < 0.1, channels, -1)
    case = PreparedCase("a", how.image(image, spacing_mm), strokes, hot(channels, len(CONTRACT.ids)))
    return METHODS[name](settings, Items([case], how.dims, torch.device("cpu")), how, view, Messenger())


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


@pytest.mark.parametrize(("name", "differences"), [("scribble", {}), ("supervised", {})])
def test_the_student_learns_and_the_teacher_only_follows(name, differences):
    method = a_method(name, momentum=0.5, **differences)
    student, teacher = weights(method.learner.student), weights(method.learner.teacher)
    next(train(method.stages(), Budget(60, steps=4)))
    assert not torch.equal(weights(method.learner.student), student)
    assert torch.equal(weights(method.learner.teacher), weights(method.learner.student))
    list(train(method.stages(), Budget(60, steps=4), step=1))
    assert not torch.equal(weights(method.learner.teacher), teacher)
    assert not torch.equal(weights(method.learner.teacher), weights(method.learner.student))
    assert all(parameter.grad is None for parameter in method.learner.teacher.parameters())
    assert any(parameter.grad is not None for parameter in method.learner.student.parameters())


def test_stages_hand_over_from_grow_cut_to_self_distillation():
    method = a_method(steps=8, correct_from=0.5)
    assert [r.stage for r in train(method.stages(), Budget(60, steps=8))] == ["grow_cut"] * 4 + [
        "self_distillation"
    ] * 4


def test_the_teacher_corrects_the_target_only_when_its_stage_begins():
    method = a_method(steps=8, correct_from=0.5)
    for report in train(method.stages(), Budget(60, steps=8)):
        assert (method.next_round > 0.5) == (report.stage == "self_distillation")


def test_strokes_are_never_in_doubt():
    method = a_method(steps=8, correct_from=0.25, correction=1.0)
    list(train(method.stages(), Budget(60, steps=8)))
    strokes, target = method.items.strokes, method.items.target
    drawn = strokes != UNSPOKEN
    assert torch.equal(target.argmax(dim=1)[drawn], strokes[drawn].long())
    assert target.amax(dim=1)[drawn].min() == 1.0


class Largest(TorchDispatchMode):
    """Remembers the bytes of the largest tensor that is made."""

    found = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.found = max(self.found, made.numel() * made.element_size())
        return made


def test_strokes_speak_without_a_second_target_in_memory():
    items = a_method().items
    items.target.fill_(0.25)
    with Largest() as largest:
        items.speak()
    drawn = items.strokes != UNSPOKEN
    assert torch.equal(items.target.movedim(1, -1)[drawn].argmax(dim=1), items.strokes[drawn].long())
    assert (items.target.movedim(1, -1)[~drawn] == 0.25).all()
    assert largest.found <= items.target.numel() * items.target.element_size()


def test_every_head_gets_a_gradient_from_multi_scale_distillation():
    method = a_method(multi_scale=1.0, contrast=0.1, levels=4, target_ce=0.0, target_dice=0.0, partial_ce=0.0)
    terms = method.distil(Moment(step=1, fraction=0.9))
    assert {"multi_scale", "contrast"} <= set(terms)
    terms["multi_scale"].backward()
    assert all(head.weight.grad.abs().sum() > 0 for head in method.learner.student.heads)
    assert all(parameter.grad is None for parameter in method.learner.teacher.parameters())


def test_early_batches_are_seen_at_half_resolution_and_late_ones_never():
    learner = a_method(coarse=1.0).learner
    assert learner.draw(Moment(step=0, fraction=0.0)).image.shape[2:] == (24, 24)
    assert learner.draw(Moment(step=1, fraction=0.9)).image.shape[2:] == (48, 48)
    learner = a_method(coarse=0.5).learner
    sides = {learner.draw(Moment(step, 0.2)).image.shape[2] for step in range(20)}
    assert sides == {24, 48}


def test_a_view_from_afar_shows_the_same_part():
    sizes, whole = torch.tensor([[32.0, 32.0]]), (32, 32)
    image = torch.rand(1, 1, *whole)
    far = from_afar(draw_views(sizes, (16, 16), 0.0, torch.Generator()), whole)
    seen = sample(image, grid_of(far, whole, image.device))
    assert torch.allclose(seen, torch.nn.functional.avg_pool2d(image, 2), atol=1e-5)


@pytest.mark.parametrize("differences", [{"slice_size": 32, "levels": 5}, {"spacing_mm": (1.0, 1.0, 1.0)}])
def test_what_the_network_cannot_halve_and_volumes_are_seen_whole(differences):
    learner = a_method(coarse=1.0, **differences).learner
    assert learner.draw(Moment(step=0, fraction=0.0)).image.shape[2:] == learner.window


@pytest.mark.parametrize(
    ("spacing_mm", "shape", "crops"),
    [(SPACING, (6, 16, 17), False), (SPACING, (6, 16, 16), True), ((1.0, 1.0, 1.0), (48, 64, 48), True)],
    ids=["small slices", "crops of small slices", "crops of volumes"],
)
def test_views_are_never_too_small_for_the_network(spacing_mm, shape, crops):
    learner = a_method("supervised", spacing_mm, shape, levels=5, slice_size=64, crops=crops).learner
    for step in range(12):
        image = learner.draw(Moment(step, 0.9)).image
        assert max(image.shape[2:]) >= 32
        learner.student(image)


def test_crops_never_exceed_the_whole():
    for seed in range(50):
        window, _ = draw_crop((48, 64, 16), (16, 16, 16), torch.Generator().manual_seed(seed))
        assert all(side <= full for side, full in zip(window, (48, 64, 16), strict=True))
        assert window != (16, 16, 16)


def test_a_switched_off_term_is_absent():
    terms = a_method(partial_ce=0.0).imitate(Moment(0, 0.0))
    assert set(terms) == {"target_ce", "target_dice"}


def test_trust_grows_with_what_the_teacher_knows_of_a_class():
    strokes = torch.tensor([[[0, 0, 1, 1, 2, 2, UNSPOKEN, UNSPOKEN]]])
    said = torch.tensor([[[0, 0, 1, 1, 0, 0, 1, 1]]])
    advice = torch.nn.functional.one_hot(said, 3).movedim(-1, 0).float()
    trust = learnt([advice], [strokes])
    assert trust[1] == 1.0
    assert trust[2] == 0.0
    assert 0.0 < trust[0] < 1.0


def test_a_class_that_is_not_learnt_is_not_erased():
    rare = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1, 1)
    wrong = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1, 1)
    kept = corrected(rare, wrong, torch.tensor([1.0, 1.0, 0.0]), 1.0)
    taken = corrected(rare, wrong, torch.tensor([1.0, 1.0, 1.0]), 1.0)
    assert kept[2].item() == pytest.approx(1.0, abs=1e-4)
    assert taken[0].item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in METHODS if "paper" in preset_names(name)])
def test_a_published_method_has_an_hour_and_is_not_cut_short(name):
    paper = resolve(name, "paper")
    assert (paper.seconds, paper.until_good) == (3600.0, False)


def test_no_two_draws_of_a_run_have_the_same_randomness():
    parts = [import_module(f"training_backend.methods.{part.name}") for part in iter_modules(methods.__path__)]
    salts = [value for part in parts for name, value in vars(part).items() if name.endswith("SALT")]
    numbers = [number for salt in salts for number in (salt.values() if isinstance(salt, dict) else [salt])]
    assert len(numbers) > 9
    assert len(set(numbers)) == len(numbers)


def test_an_epoch_shows_every_item_once():
    method = a_method(batch=2, rare_items=0.0)
    seen = torch.cat([method.learner._chosen(step) for step in range(3)])
    assert sorted(seen.tolist()) == list(range(6))

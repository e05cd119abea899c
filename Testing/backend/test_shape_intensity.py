"""Shape-intensity distillation: who learns from what, when the teacher may speak, and a smoke on phantoms."""

import numpy as np
import pytest
import torch

from slicer_kdseg.protocol.settings import resolve, view_for
from training_backend.data import preprocess
from training_backend.data.items import Items, PreparedCase, hot
from training_backend.data.phantom import CONTRACT, phantom
from training_backend.engine.budget import Budget
from training_backend.engine.loop import Moment, train
from training_backend.engine.predict import predict
from training_backend.losses.feature_distillation import feature_distillation
from training_backend.methods import METHODS
from training_backend.methods.method import Messenger
from training_backend.methods.shape_intensity import ShapeIntensity
from training_backend.methods.shape_teacher import ShapeTeacher, ShapeTeaching
from training_backend.networks.multi_scale_unet import MultiScaleUNet, UNetShape
from training_backend.networks.skipless import without_skips

SPACING = (6.0, 1.0, 1.0)
SMALL = {"steps": 6, "channels": 4, "levels": 3, "batch": 2, "slice_size": 48, "gate": 0.0}
TAUGHT = {"feature": 4.0, "painted_views": 0.0}


def a_method(cases: int = 1, said: list[str] | None = None, **differences) -> ShapeIntensity:
    settings = resolve("shape_intensity", "fast", SMALL | TAUGHT | differences)
    view = view_for(settings, cases)
    pairs = [phantom((6, 48, 48), seed=seed) for seed in range(cases)]
    how = preprocess.fit([image.shape for image, _ in pairs], [SPACING] * cases, settings, view)
    prepared = []
    for number, (image, labels) in enumerate(pairs):
        channels = how.labels(labels, SPACING, np.arange(256))
        prepared.append(
            PreparedCase(str(number), how.image(image, SPACING), channels, hot(channels, len(CONTRACT.ids)))
        )
    messenger = Messenger(said.append) if said is not None else Messenger()
    return ShapeIntensity(settings, Items(prepared, how.dims, torch.device("cpu")), how, view, messenger)


def state(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten().float() for value in module.state_dict().values()])


def test_raw_maps_by_hand():
    student, teacher = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0, 5.0]]]])
    assert feature_distillation(student, teacher, standardised=False).item() == pytest.approx((4 + 9) / 2)
    known = torch.tensor([[[[1.0, 0.0]]]])
    assert feature_distillation(student, teacher, known, standardised=False).item() == pytest.approx(4)


def test_standardised_maps_like_numpy_and_blind_to_scale():
    student, teacher = (torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    a, b = (
        (x - x.mean(axis=(0, 2, 3), keepdims=True)) / x.std(axis=(0, 2, 3), keepdims=True)
        for x in (student.numpy(), teacher.numpy())
    )
    assert feature_distillation(student, teacher).item() == pytest.approx(float(((a - b) ** 2).mean()), rel=1e-3)
    assert feature_distillation(student * 7 - 2, student).item() == pytest.approx(0.0, abs=1e-3)


def test_the_student_alone_gets_a_gradient_and_only_where_something_is_known():
    student, teacher = (torch.randn(1, 2, 3, 3).requires_grad_() for _ in range(2))
    known = torch.zeros(1, 1, 3, 3)
    known[..., 0, :] = 1
    feature_distillation(student, teacher, known).backward()
    assert teacher.grad is None
    assert student.grad[:, :, 0].abs().sum() > 0
    assert student.grad[:, :, 1:].abs().sum() == 0
    assert feature_distillation(student, teacher, torch.zeros(1, 1, 3, 3)).item() == 0.0


def test_without_skips_the_encoder_speaks_through_the_deepest_map_alone():
    torch.manual_seed(0)
    network = MultiScaleUNet(UNetShape(2, 1, 3, (4, 8, 16)))
    image = torch.randn(1, 1, 16, 16)
    with_skips = network(image)
    without_skips(network)
    assert not torch.equal(network(image), with_skips)
    deepest = network.skips()[-1].get_submodule("submodule")
    deepest.register_forward_hook(lambda _module, _input, out: torch.zeros_like(out))
    assert torch.equal(network(image), network(torch.randn(1, 1, 16, 16)))


def test_decoder_maps_run_from_half_resolution_to_the_deepest():
    network = MultiScaleUNet(UNetShape(2, 1, 3, (4, 8, 16)))
    found = network.scales(torch.randn(2, 1, 16, 16))
    assert [tuple(own.shape[1:]) for own in found.maps] == [(4, 8, 8), (16, 4, 4)]
    assert not any(module._forward_hooks for module in network.modules())


def test_the_teacher_is_bit_identical_before_and_after_the_student_stage():
    method = a_method(teacher_share=0.5)
    seen = {}
    for report in train(method.stages(), Budget(60, steps=6)):
        if report.step == 3:
            seen = {name: state(module) for name, module in method.shape.memory().modules.items()}
            assert report.stage == "teacher"
    assert report.stage == "student"
    for name, module in method.shape.memory().modules.items():
        assert torch.equal(state(module), seen[name])


def test_the_student_waits_for_the_teacher_and_may_begin_with_its_weights():
    method = a_method(teacher_share=0.5, inherit=True)
    before = state(method.learner.student)
    stages = method.stages()
    list(zip(range(3), train([next(stages)], Budget(60, steps=6)), strict=False))
    assert torch.equal(state(method.learner.student), before)
    assert not method.ready
    next(stages)
    assert method.ready
    assert torch.equal(state(method.learner.student), state(method.shape.kept))


def test_what_is_kept_is_the_student_after_its_first_step_however_long_the_teacher_learnt():
    method = a_method(teacher_share=0.5)
    for report in train(method.stages(), Budget(60, steps=6)):
        if report.step == 4:
            assert report.stage == "student"
            assert torch.equal(state(method.learner.teacher), state(method.learner.student))


def test_the_hint_reaches_the_encoder_of_the_student_and_no_weight_of_the_teacher():
    method = a_method(target_ce=0.0, target_dice=0.0, ramp=0.0)
    method.shape.found = 1.0
    terms = method.teach(Moment(3, 0.6))
    terms["shape"].backward()
    first = next(iter(method.learner.student.parameters()))
    assert first.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in method.shape.network.parameters())
    assert all(parameter.grad is None for parameter in method.shape.kept.parameters())


def test_the_gate_refuses_a_teacher_of_random_weights_and_says_so():
    said: list[str] = []
    method = a_method(said=said, gate=0.9, teacher_share=0.01, steps=100)
    stages = method.stages()
    next(stages)
    next(stages)
    before = state(method.shape.kept)
    assert not torch.equal(state(method.learner.student), before)
    assert not method.shape.trusted
    assert "shape" not in method.teach(Moment(1, 0.5))
    assert "labels alone" in said[0]
    assert method.notes["shape_teacher"] == "refused"


def test_the_student_is_shown_images_and_never_the_picture():
    method = a_method()
    method.shape.found = 1.0
    shown = []
    method.learner.student.register_forward_pre_hook(lambda _module, inputs: shown.append(inputs[0]))
    method.teach(Moment(3, 0.6))
    batch = method.learner.draw(Moment(3, 0.6))
    assert torch.equal(shown[0], batch.image)
    assert not torch.allclose(shown[0], method.shape.picture(batch, batch.target, 3))


def test_the_teacher_sees_the_class_means_of_the_augmented_batch():
    method = a_method(paint="means", crops=False, augmentation=1.0)
    batch = method.learner.draw(Moment(3, 0.6))
    picture = method.shape.picture(batch, batch.target, 3)
    inside = batch.target[:, 0] == 1
    for item, own in enumerate(inside):
        assert picture[item, 0][own].std().item() == pytest.approx(0.0, abs=1e-5)
        assert picture[item, 0][own].mean().item() == pytest.approx(batch.image[item, 0][own].mean().item(), abs=0.1)


def test_pictures_are_painted_in_float32_where_networks_compute_in_bfloat16():
    method = a_method(paint="means")
    method.learner.dtype = torch.bfloat16
    shape, moment = method.shape, Moment(0, 0.0)
    shown = []
    for network in (shape.network, shape.kept):
        network.register_forward_pre_hook(lambda _module, inputs: shown.append(inputs[0]))
    shape.terms(moment)
    shape.dice()
    batch = method.learner.draw(moment)
    shape.hint(method.learner.student.scales(batch.image).maps, batch, batch.target, 0)
    assert {picture.dtype for picture in shown} == {torch.float32}
    assert torch.equal(shown[-1], shape.picture(batch, batch.target, 0))


def test_whole_cases_are_kept_aside_where_there_are_enough_and_slices_where_not():
    one, five = a_method(cases=1).shape, a_method(cases=5).shape
    assert one.aside.tolist() == [2]
    assert five.aside.tolist() == list(range(12, 18))
    assert not set(five.own.tolist()) & set(five.aside.tolist())
    assert five.notes["shape_examined_by"] == "items it has not learnt from"


def test_a_single_volume_examines_its_own_teacher_and_the_card_says_so(monkeypatch):
    monkeypatch.setattr(f"{__name__}.SPACING", (1.0, 1.0, 1.0))
    shape = a_method(cases=1, volume_size=32, levels=3, slice_size=32).shape
    assert shape.own.tolist() == shape.aside.tolist() == [0]
    assert "there are no others" in shape.notes["shape_examined_by"]


def test_unsure_voxels_are_not_painted():
    method = a_method()
    shape = ShapeTeacher(method.learner, ShapeTeaching(confident=0.8), Messenger())
    batch = method.learner.draw(Moment(0, 0.0))
    unsure = torch.full_like(batch.target, 0.25)
    maps = method.learner.student.scales(batch.image).maps
    assert shape.hint(maps, batch, unsure, 0).item() == 0.0
    assert shape.hint(maps, batch, batch.target, 0).item() > 0.0


def test_what_is_kept_as_the_model_is_the_student_and_nothing_beside_it():
    method = a_method()
    alone = MultiScaleUNet(method.learner.shape).state_dict()
    assert method.learner.teacher.state_dict().keys() == alone.keys()
    assert {id(own) for group in method.learner.optimizer.param_groups for own in group["params"]} == {
        id(own) for own in method.learner.student.parameters()
    }


def test_every_term_has_a_switch():
    alone = a_method(feature=0.0)
    assert alone.shape is None
    assert alone.ready
    assert [r.stage for r in train(alone.stages(), Budget(60, steps=2))] == ["student"] * 2
    method = a_method(feature=0.0, inherit=True, target_dice=0.0)
    method.shape.found = 1.0
    assert set(method.teach(Moment(3, 0.6))) == {"target_ce"}


def test_the_fast_preset_shows_contrasts_and_has_no_teacher_the_paper_preset_has_one():
    fast, paper = resolve("shape_intensity", "fast"), resolve("shape_intensity", "paper")
    assert (fast.feature, fast.inherit, fast.painted_views) == (0.0, False, 0.5)
    assert paper.feature > 0
    assert paper.painted_views == 0


def test_the_published_terms_are_the_paper_preset():
    settings = resolve("shape_intensity", "paper")
    published = ("feature", "paint", "teacher_skips", "standardised", "all_maps", "ramp", "fade", "target_dice")
    terms = {name: getattr(settings, name) for name in published}
    assert terms["feature"] == 2.0
    method = a_method(**terms)
    last = list(train(method.stages(), Budget(60, steps=6)))[-1]
    assert set(last.losses) == {"target_ce", "shape"}


def test_published_views_are_turned_and_shifted_and_keep_their_intensities():
    settings = resolve("shape_intensity", "paper")
    view = view_for(settings, 5)
    assert (view.augmentation, view.rotation, view.several_scales) == (1.0, 180.0, False)
    batch = a_method(augmentation=1.0, rotation=180.0, shading=settings.shading, crops=False).learner.draw(
        Moment(0, 0.0)
    )
    torch.testing.assert_close(batch.image, batch.clean, atol=2e-3, rtol=0)


def test_hints_rise_and_fade():
    method = a_method(teacher_share=0.5, ramp=0.2, fade=0.6)
    assert method._loudness(0.0) < 0.01
    assert method._loudness(0.4) == 1.0
    assert method._loudness(0.8) == pytest.approx(0.5)
    assert method._loudness(1.0) == 0.0
    assert a_method(ramp=0.0, fade=1.0)._loudness(1.0) == 1.0


def test_contrasts_of_the_classes_fade_until_images_are_seen_as_they_are():
    method = a_method(feature=0.0, painted_views=1.0, fade=0.5)
    for fraction, changed in ((0.0, True), (1.0, False)):
        moment = Moment(3, fraction)
        batch = method.learner.draw(moment)
        assert torch.equal(method._seen(batch, moment).image, batch.image) != changed
    lasting, end = a_method(feature=0.0, painted_views=1.0, fade=1.0), Moment(3, 1.0)
    batch = lasting.learner.draw(end)
    assert not torch.equal(lasting._seen(batch, end).image, batch.image)


def test_shape_is_learnt_on_phantoms_by_teacher_and_student():
    """A budget in steps, about ten CPU-seconds: the teacher passes its gate, the student knows an unseen phantom."""
    easy = {"augmentation": 1.0, "shading": 1.0, "crops": False, "gate": 0.7}
    method = a_method(cases=5, steps=800, channels=8, levels=4, batch=4, teacher_share=0.5, **easy)
    list(train(method.stages(), Budget(60, steps=800)))
    assert method.shape.trusted
    image, labels = phantom((6, 48, 48), seed=9)
    probability = predict(
        method.learner.teacher, method.preprocess.image(image, SPACING), method.learner.shape.divisor()
    )
    said = method.preprocess.restore_labels(probability, image.shape).numpy()
    scores = [2 * ((said == k) & (labels == k)).sum() / ((said == k).sum() + (labels == k).sum()) for k in (1, 2, 3)]
    assert np.mean(scores) > 0.8


@pytest.mark.parametrize("name", ["scribble", "one_shot"])
def test_it_is_an_added_teacher_of_other_methods(name):
    """Off by default; with a weight it learns first, is examined, and its hint is one more term."""
    image, labels = phantom((6, 48, 48))
    settings = resolve(name, "fast", {key: SMALL[key] for key in SMALL if key != "gate"} | {"shape": 0.5})
    view = view_for(settings, 1)
    how = preprocess.fit([image.shape], [SPACING], settings, view)
    channels = how.labels(labels, SPACING, np.arange(256))
    case = PreparedCase("a", how.image(image, SPACING), channels, hot(channels, len(CONTRACT.ids)))
    method = METHODS[name](settings, Items([case], how.dims, torch.device("cpu")), how, view, Messenger())
    assert METHODS[name](resolve(name), method.learner.items, how, view, Messenger()).shape is None
    reports = list(train(method.stages(), Budget(60, steps=6)))
    assert [report.stage for report in reports][:2] == ["teacher", "teacher"]
    assert all("shape" not in report.losses for report in reports)
    assert method.notes["shape_teacher"] == "refused"
    method.shape.found = 1.0
    assert "shape" in next(train(method.stages(), Budget(60, steps=6), step=3)).losses
    assert "shape.network" in method.memory().modules

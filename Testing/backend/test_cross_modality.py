"""Who teaches whom across kinds of images, what leaves as a model, and what happens without assistants."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slicer_kdseg.protocol.labels import UNLABELLED
from slicer_kdseg.protocol.messages import JobRequest, Warned
from slicer_kdseg.protocol.settings import resolve, view_for
from training_backend.cli.main import main
from training_backend.cli.terminal_desk import TerminalDesk
from training_backend.data import preprocess
from training_backend.data.cases import write_volume
from training_backend.data.items import Items, PreparedCase, hot
from training_backend.data.known_classes import folded, known_classes
from training_backend.data.phantom import CONTRACT, phantom
from training_backend.engine.budget import Budget
from training_backend.engine.desk import Orders
from training_backend.engine.loop import Moment, train
from training_backend.export.model import load_model
from training_backend.jobs.training import Training
from training_backend.jobs.training_case import TrainingCase
from training_backend.losses.soft_target import soft_cross_entropy, soft_dice
from training_backend.methods.cross_modality import CrossModality
from training_backend.methods.hearing import mean_dice
from training_backend.methods.method import Messenger
from training_backend.report.metrics import dice_by_class

SPACING = (6.0, 1.0, 1.0)
AFFINE = np.diag([1.0, 1.0, 6.0, 1.0])
SMALL = {
    "steps": 8,
    "channels": 4,
    "levels": 3,
    "batch": 2,
    "slice_size": 48,
    "alignment": "hist",
    "least_agreement": 0.0,
    "share_labels": 0.0,
}
ONLY_DISTILLED = {"target_ce": 0.0, "target_dice": 0.0, "synthetic_ce": 0.0, "synthetic_dice": 0.0}
LATER = Moment(step=3, fraction=0.5)


def a_method(
    said: list[str] | None = None,
    assistants: int = 2,
    unlabelled: int = 1,
    shape: tuple[int, int, int] = (6, 48, 48),
    spacing: tuple[float, float, float] = SPACING,
    preset: str = "fast",
    **differences,
) -> CrossModality:
    settings = resolve("cross_modality", preset, SMALL | differences)
    view = view_for(settings, 1)
    how = preprocess.fit([shape], [spacing], settings, view)
    cases = []
    for seed, part in enumerate(["annotated", *["unlabelled"] * unlabelled, *["assistant"] * assistants]):
        image, labels = phantom(shape, seed=seed)
        channels = how.labels(labels, spacing, np.arange(256))
        if part == "unlabelled":
            channels = torch.full_like(channels, -1)
        kind = 500.0 - image if part == "assistant" else image
        cases.append(PreparedCase(str(seed), how.image(kind, spacing), channels, hot(channels, 4), part))
    messenger = Messenger(say=(said if said is not None else []).append)
    return CrossModality(settings, Items(cases, how.dims, torch.device("cpu")), how, view, messenger)


def learns(module: torch.nn.Module) -> bool:
    return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def inputs_of(module: torch.nn.Module) -> list[torch.Tensor]:
    """Everything that ``module`` is shown from now on."""
    seen: list[torch.Tensor] = []
    module.register_forward_hook(lambda _m, args, _out: seen.append(args[0].detach()))
    return seen


@pytest.mark.parametrize(
    ("term", "on", "learner", "teacher"),
    [
        ("synthetic_to_real", "target", "real", "synthetic"),
        ("synthetic_to_real", "own", "real", "synthetic"),
        ("synthetic_to_real", "both", "real", "synthetic"),
        ("real_to_synthetic", "target", "synthetic", "real"),
        ("real_to_synthetic", "own", "synthetic", "real"),
        ("real_to_synthetic", "both", "synthetic", "real"),
    ],
)
def test_each_distillation_teaches_one_student_and_leaves_its_teacher_alone(term, on, learner, teacher):
    other = {"synthetic_to_real", "real_to_synthetic"} - {term}
    method = a_method(distil_on=on, **ONLY_DISTILLED, **{other.pop(): 0.0})
    terms = method.mutual(LATER)
    assert set(terms) == {term}
    terms[term].backward()
    assert learns(getattr(method, learner).student)
    assert not learns(getattr(method, teacher).student)
    assert not any(learns(net) for net in (method.real.teacher, method.synthetic.teacher, method.elders))


@pytest.mark.parametrize(
    ("weights", "on", "real_sees", "synthetic_sees"),
    [
        ((0.5, 0.5), "target", "tu", "tua"),
        ((0.5, 0.5), "own", "tua", "tua"),
        ((0.5, 0.5), "both", "tua", "tua"),
        ((0.0, 0.5), "own", "tua", "tua"),
        ((0.5, 0.0), "own", "tu", "tua"),
        ((0.0, 0.0), "both", "t", "a"),
    ],
)
def test_each_student_sees_the_images_that_its_terms_need(weights, on, real_sees, synthetic_sees):
    method = a_method(distil_on=on, synthetic_to_real=weights[0], real_to_synthetic=weights[1])
    shown = {
        "t": method.real.draw(LATER).image,
        "u": method.real.draw(LATER, "unlabelled").image,
        "a": method.synthetic.draw(LATER, "assistant").image,
    }
    seen = [inputs_of(side.student) for side in (method.real, method.synthetic)]
    method.likenesses.how = "none"
    method.mutual(LATER)
    for inputs, wanted in zip(seen, (real_sees, synthetic_sees), strict=True):
        assert torch.equal(torch.cat(inputs), torch.cat([shown[letter] for letter in wanted]))


@pytest.mark.parametrize("differences", [{"coarse": 0.5}, {"crops": True}], ids=["half resolution", "crops"])
def test_both_students_see_views_of_one_size(differences):
    method = a_method(**differences)
    sizes = set()
    for step in range(20):
        moment = Moment(step, 0.3)
        method.mutual(moment)
        batches = method.real.draw(moment), method.real.draw(moment, "unlabelled"), method.synthetic.draw(moment)
        (size,) = {batch.image.shape[2:] for batch in batches}
        sizes.add(size)
    assert len(sizes) > 1


def test_labels_teach_the_student_of_their_own_kind_only():
    method = a_method(synthetic_to_real=0.0, real_to_synthetic=0.0)
    terms = method.mutual(LATER)
    assert set(terms) == {"target_ce", "target_dice", "synthetic_ce", "synthetic_dice"}
    (terms["target_ce"] + terms["target_dice"]).backward()
    assert learns(method.real.student)
    assert not learns(method.synthetic.student)
    (terms["synthetic_ce"] + terms["synthetic_dice"]).backward()
    assert learns(method.synthetic.student)


def test_shared_labels_teach_the_other_student_too():
    method = a_method(synthetic_to_real=0.0, real_to_synthetic=0.0, share_labels=0.5)
    terms = method.mutual(LATER)
    (terms["shared_target_ce"] + terms["shared_target_dice"]).backward()
    assert learns(method.synthetic.student)
    assert not learns(method.real.student)
    (terms["shared_synthetic_ce"] + terms["shared_synthetic_dice"]).backward()
    assert learns(method.real.student)


@pytest.mark.parametrize("both", [False, True])
def test_merging_teaches_the_real_student_and_the_other_one_if_asked(both):
    method = a_method(merge_both=both)
    terms = method.merge(Moment(step=7, fraction=0.9))
    own = {f"{side}_{term}" for side in ("target", "merge", "synthetic") for term in ("ce", "dice")}
    assert set(terms) == own | ({f"other_{name}" for name in own} if both else set())
    torch.stack([terms[name] for name in own]).sum().backward()
    assert learns(method.real.student)
    assert not learns(method.synthetic.student)
    if both:
        torch.stack([terms[f"other_{name}"] for name in own]).sum().backward()
        assert learns(method.synthetic.student)
    assert not any(learns(net) for net in (method.real.teacher, method.synthetic.teacher, method.elders))


def test_what_both_believe_is_taught_on_labelled_and_unlabelled_targets():
    method = a_method(merge_soft=1.0)
    method.items.strokes[0] = -1
    method.merge(Moment(step=7, fraction=0.9))
    nets = list(method.elders)
    for place in (0, 1):
        image = method.items.whole_image(place)
        belief = sum(method._predicted(net, image, method.real.preprocess.scales) for net in nets) / 2
        wanted = (hot(method.items.strokes_of(place), 4) + belief) / 2
        found = method.items.target[method.items.spans[place]].movedim(0, 1).float()
        assert torch.allclose(found, wanted, atol=2e-3)
    without = a_method(merge_soft=0.0)
    without.merge(Moment(step=7, fraction=0.9))
    assert not without.items.target[without.items.spans[1]].any()


def test_distillation_rises_during_warm_up():
    method = a_method(warm_up=0.5, merge_from=0.8)
    weights = [method._weights(Moment(0, fraction))[1] for fraction in (0.0, 0.2, 0.3, 0.4, 0.7)]
    full = method.settings.real_to_synthetic
    assert weights == pytest.approx([0.0, 0.0, full / 2, full, full])


def test_stages_follow_each_other():
    names = [r.stage for r in train(a_method(merge_from=0.5).stages(), Budget(60, steps=8))]
    assert names == ["mutual"] * 4 + ["merge"] * 4
    assert {r.stage for r in train(a_method(students="one").stages(), Budget(60, steps=4))} == {"joint"}


def test_the_ensemble_is_the_mean_of_probabilities():
    method = a_method()
    image = method.items.whole_image(0)
    both = [method._predicted(s.teacher, image, method.real.preprocess.scales) for s in (method.real, method.synthetic)]
    assert torch.allclose(method.ensemble(image), (both[0] + both[1]) / 2)


def test_a_student_that_disagrees_is_not_heard_and_a_sentence_says_so():
    said: list[str] = []
    method = a_method(said, least_agreement=1.0)
    assert method._weights(LATER)[0] == 0.0
    assert method._weights(LATER)[1] > 0.0
    assert "does not teach until they agree" in said[0]
    method.hearing.least = 0.0
    assert method._weights(Moment(step=9, fraction=0.7))[0] > 0.0
    assert len(said) == 1


def test_agreement_is_dice_over_what_either_sees():
    one, other = torch.tensor([[[1, 1, 0, 2]]]), torch.tensor([[[1, 0, 0, 2]]])
    assert mean_dice([(one, other)], 4) == pytest.approx((2 / 3 + 1) / 2)
    assert mean_dice([(one * 0, one * 0)], 4) == 0.0


def test_without_assistants_two_students_learn_from_the_targets_and_it_is_said():
    said: list[str] = []
    method = a_method(said, assistants=0)
    reports = list(train(method.stages(), Budget(60, steps=8)))
    assert "no assistant cases" in said[0]
    assert {"target_ce", "synthetic_ce", "real_to_synthetic"} <= set(reports[3].losses)
    assert not torch.equal(method.real.draw(LATER).image, method.synthetic.draw(LATER).image)


def test_a_class_that_a_case_does_not_know_is_unlabelled_there():
    method = a_method()
    items = method.items
    span = items.spans[items.places("assistant")[0]]
    items.strokes[span] = torch.where(items.strokes[span] == 3, 0, items.strokes[span])
    known = known_classes(items)
    assert known[span].tolist() == [[False, True, True, False]] * len(known[span])
    assert known[items.spans[-1]].tolist() == [[False, True, True, True]] * len(known[span])
    logits = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    target = hot(torch.tensor([[[0, 1], [2, 0]]], dtype=torch.int8), 4).movedim(1, 0)
    seen, wanted = folded(logits, target, known[span][:1])
    p = logits.softmax(1)
    assert torch.allclose(seen.softmax(1), torch.cat([p[:, [0]] + p[:, [3]], p[:, 1:3]], 1))
    assert wanted.shape == seen.shape
    whole = folded(logits, target, known[items.spans[-1]][:1])
    assert all(torch.equal(a, b) for a, b in zip(whole, (logits, target), strict=True))


def test_a_class_known_to_another_assistant_is_not_taught_as_background():
    """One knows class 1, the other class 2; voxels are 0, 1 and 2, and each says 0 of what it does not know."""
    known = torch.tensor([[False, True, False], [False, False, True]])
    target = hot(torch.tensor([[[0, 1, 0]], [[0, 0, 2]]], dtype=torch.int8), 3).movedim(1, 0)
    logits = torch.zeros(2, 3, 1, 3, requires_grad=True)
    for loss in (soft_cross_entropy, soft_dice):
        (gradient,) = torch.autograd.grad(loss(*folded(logits, target, known)), logits)
        assert torch.isfinite(gradient).all()
        for item, unknown in ((0, 2), (1, 1)):
            assert torch.allclose(gradient[item, 0], gradient[item, unknown])
            assert gradient[item, known[item], 0, 3 - unknown] < 0


def test_assistants_do_not_teach_that_an_unknown_class_is_background():
    method = a_method()
    method.known[:, 3] = False
    batch = method.synthetic.draw(LATER, "assistant")
    logits = method._logits(method.synthetic.student, batch.image)
    swapped = logits[:, [3, 1, 2, 0]]
    for term, value in method._taught("synthetic", logits, batch).items():
        assert method._taught("synthetic", swapped, batch)[term].item() == pytest.approx(value.item(), rel=1e-5)
    assert method._taught("target", swapped, batch)["target_ce"] != method._taught("target", logits, batch)["target_ce"]


def test_assistants_take_turns_at_the_targets_likeness_and_only_in_training_images():
    method = a_method(alignment="classmap")
    place = method.items.places("assistant")[0]
    natural, labels = method.items.whole_image(place).clone(), method.items.strokes.clone()
    others = method.items.image[: method.items.spans[place].start].clone()
    method.mutual(LATER)
    assert not torch.allclose(method.items.whole_image(place), natural, atol=0.1)
    assert torch.equal(method.items.strokes, labels)
    assert torch.equal(method.items.image[: len(others)], others)


def test_auto_aligns_only_where_contrasts_differ():
    inverted = a_method(alignment="auto")
    assert inverted.notes["alignment"] == inverted.likenesses.how == "classmap"
    items = inverted.items
    items.image = (
        torch.where(torch.arange(len(items))[:, None, None, None] >= items.spans[2].start, -1, 1) * items.image
    )
    again = CrossModality(inverted.settings, items, inverted.real.preprocess, inverted.real.view, Messenger())
    assert again.notes["alignment"] == "none"


def test_gan_alignment_translates_before_the_students_learn():
    method = a_method(alignment="gan", gan_share=0.5, gan_rate=1e-2, merge_from=0.75)
    natural = {place: image.clone() for place, image in method.likenesses.natural.items()}
    students = [p.clone() for p in method.pair.parameters()]
    names = []
    for report in train(method.stages(), Budget(60, steps=8)):
        names.append(report.stage)
        if report.stage == "align":
            assert not method.ready
            assert all(torch.equal(a, b) for a, b in zip(students, method.pair.parameters(), strict=True))
    assert names == ["align"] * 4 + ["mutual"] * 2 + ["merge"] * 2
    assert method.ready
    assert all(not torch.equal(method.items.whole_image(place), natural[place]) for place in natural)


def test_the_paper_preset_translates_then_distils_and_never_merges():
    method = a_method(preset="paper", alignment="gan", unlabelled=0, gan_share=0.5)
    reports = list(train(method.stages(), Budget(60, steps=8)))
    assert [report.stage for report in reports] == ["align"] * 4 + ["mutual"] * 4
    assert set(reports[0].losses) == {"adversarial", "cycle"}
    assert {"synthetic_to_real", "real_to_synthetic"} <= set(reports[-1].losses)
    assert not any(name.startswith("shared") for name in reports[-1].losses)


@pytest.mark.parametrize("alignment", ["classmap", "gan"])
def test_volumes_are_learnt_whole_too(alignment):
    method = a_method(shape=(20, 24, 24), spacing=(1.0, 1.0, 1.0), alignment=alignment, steps=4, gan_share=0.5)
    natural = method.items.whole_image(2).clone()
    assert method.items.dims == 3
    names = [report.stage for report in train(method.stages(), Budget(60, steps=4))]
    assert names[-2:] == ["merge", "merge"]
    assert not torch.allclose(method.items.whole_image(2), natural)


@pytest.fixture(scope="module")
def two_kinds_of_cases() -> list[TrainingCase]:
    """One labelled target, one unlabelled, three assistants with inverted contrast and nominal spacing."""
    cases = []
    for seed in range(5):
        image, labels = phantom((8, 48, 48), seed=seed)
        role = "assistant" if seed > 1 else "target"
        if role == "assistant":
            image = 500.0 - image
        annotation = np.full_like(labels, UNLABELLED) if seed == 1 else labels
        affine = np.diag([1.6, 1.6, 6.0, 1.0]) if role == "assistant" else AFFINE
        cases.append(TrainingCase(str(seed) * 64, f"case{seed}", image, affine, "dense", 1, annotation, role=role))
    return cases


QUICK = {"channels": 8, "levels": 4, "batch": 2, "slice_size": 48, "threads": 1}


@dataclass
class CuttingDesk(TerminalDesk):
    """Keeps what a run says, and cancels it when it has asked ``patience`` times what the user wants."""

    patience: int = 10**9
    said: list[str] = field(default_factory=list)

    def orders(self) -> Orders:
        self.patience -= 1
        return Orders("cancel") if self.patience < 0 else Orders()

    def emit(self, payload) -> None:
        if isinstance(payload, Warned):
            self.said.append(payload.sentence)


def a_training(folder: Path, cases: list[TrainingCase], desk: TerminalDesk, **settings) -> Training:
    resolved = resolve("cross_modality", "fast", QUICK | settings)
    request = JobRequest("cross_modality", CONTRACT, ())
    return Training(folder, request, resolved, [replace(case) for case in cases], desk)


def dice_of(labels: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean(list(dice_by_class(labels, truth, (1, 2, 3)).values())))


def test_a_run_ends_with_one_net_that_segments_and_never_shows_an_assistant(tmp_path, two_kinds_of_cases):
    desk = CuttingDesk(tmp_path / "model")
    training = a_training(tmp_path / "job", two_kinds_of_cases, desk, seconds=12.0, clock="cpu", least_agreement=0.2)
    training.run()
    assert set(desk.previews) == {"0" * 64}
    model = load_model(desk.model, "cpu")
    kept, real = model.network.state_dict(), training.method.real.teacher.state_dict()
    assert list(kept) == list(real)
    assert all(torch.equal(kept[name], real[name]) for name in real)
    image, truth = phantom((8, 48, 48), seed=9)
    assert dice_of(model.predict(image, AFFINE), truth) > 0.75
    how = training.material.preprocess
    together = how.restore_labels(training.method.ensemble(how.image(image, SPACING)), image.shape)
    assert dice_of(together.numpy(), truth) > 0.75


def test_assistants_are_brought_to_the_targets_size(tmp_path, two_kinds_of_cases):
    training = a_training(tmp_path, two_kinds_of_cases, CuttingDesk(tmp_path / "model"), steps=2)
    training.run()
    sizes = training.material.items.sizes
    assert (sizes - sizes[0]).abs().max() <= 6


@pytest.mark.parametrize("cut", [2, 6, 10], ids=["while the students meet", "before merging", "while merging"])
@pytest.mark.parametrize("alignment", ["classmap", "gan"])
def test_a_run_cut_in_any_stage_ends_as_an_uninterrupted_one(tmp_path, two_kinds_of_cases, monkeypatch, cut, alignment):
    monkeypatch.setattr("training_backend.jobs.training.CHECKPOINT_SECONDS", 0.0)

    def a_life(folder: str, patience: int = 10**9) -> Training:
        desk = CuttingDesk(tmp_path / "model", patience=patience)
        how = {"steps": 14, "alignment": alignment, "warm_up": 0.5, "release": 0.4, "least_agreement": 0.99}
        training = a_training(tmp_path / folder, two_kinds_of_cases, desk, **how)
        training.run()
        return training

    whole, first, second = a_life("whole"), a_life("cut", cut + 1), a_life("cut")
    assert first.step == cut + 1
    assert second.step == 14
    pairs = zip(whole.method.pair.parameters(), second.method.pair.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert whole.method.hearing.facts() == second.method.hearing.facts()


def two_folders(root: Path, names: dict[str, str]) -> tuple[Path, Path]:
    """Targets (anna labelled, cleo not) and assistants whose classes carry other numbers, and ``names``."""
    for kind, numbers in (("targets", (1, 2, 3)), ("assistants", (3, 1, 2))):
        for seed, name in enumerate(("anna", "cleo")):
            image, labels = phantom((8, 32, 32), seed=seed)
            write_volume(root / kind / "images" / f"{name}.nii.gz", image, AFFINE)
            if kind == "assistants" or name == "anna":
                own = np.array([0, *numbers], np.uint8)[labels]
                write_volume(root / kind / "labels" / f"{name}.nii.gz", own, AFFINE)
        called = dict(zip(numbers, ("ball", "shell", "rod"), strict=True))
        if kind == "assistants":
            called = {id_: names.get(name, name) for id_, name in called.items()}
        book = {"classes": {str(id_): {"name": name} for id_, name in called.items()}}
        (root / kind / "labels.json").write_text(json.dumps(book))
    return root / "targets", root / "assistants"


def the_command(targets: Path, assistants: Path, out: Path) -> list[str]:
    tiny = [f"--set={text}" for text in ("channels=4", "levels=2", "slice_size=32", "device=cpu", "steps=3")]
    return [
        "train",
        "cross_modality",
        "--cases",
        str(targets),
        "--assistant",
        str(assistants),
        "--out",
        str(out),
        *tiny,
    ]


def test_the_command_line_matches_classes_by_name_and_segments_the_targets_only(tmp_path, capsys, monkeypatch):
    taught: list[TrainingCase] = []
    monkeypatch.setattr(
        "training_backend.jobs.training.Training.__init__",
        lambda self, *parts, begun=Training.__init__: (taught.extend(parts[3]), begun(self, *parts))[1],
    )
    targets, assistants = two_folders(tmp_path, {"rod": "stick"})
    assert main(the_command(targets, assistants, tmp_path / "out")) == 0
    told = capsys.readouterr().out
    assert "2 assistant cases teach ball, shell; they are never segmented." in told
    assert "say nothing about rod: unlabelled there" in told
    assert [path.name for path in sorted((tmp_path / "out" / "segmentations").iterdir())] == [
        "anna.nii.gz",
        "cleo.nii.gz",
    ]
    for seed, case in enumerate(case for case in taught if case.role == "assistant"):
        _, labels = phantom((8, 32, 32), seed=seed)
        assert np.array_equal(case.annotation, np.where(labels == 3, UNLABELLED, labels))


def test_assistants_without_a_shared_name_are_refused(tmp_path, capsys):
    strange = {"ball": "a", "shell": "b", "rod": "c"}
    assert main(the_command(*two_folders(tmp_path, strange), tmp_path / "out")) == 2
    assert "share no class name" in capsys.readouterr().err

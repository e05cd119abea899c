"""The report's plain sentences: what was done, how good it is, where to look next."""

from __future__ import annotations

from training_backend.report.pictures import most_unsure_slices
from training_backend.report.story import Story

CLEARLY = 0.02


def what_was_done(story: Story) -> list[str]:
    drawn = (story.looks.strokes_before != 255).mean()
    slices = int((story.looks.strokes_before != 255).any((1, 2)).sum())
    names = ", ".join(label.name for label in story.contract.foreground)
    sentences = [
        f"On {story.subject}, a few strokes were drawn on {slices} of {len(story.looks.image)} slices"
        f" ({drawn:.1%} of all voxels): background and {len(story.contract.foreground)} classes ({names}).",
        f"Grow-cut made a first segmentation from the strokes, shown after {story.first_preview_seconds:.1f} s; a small"
        f" network, the student, then learnt in the background, {story.total_seconds:.0f} s in all.",
    ]
    if story.correction is not None:
        where = ", ".join(str(z + 1) for z in story.correction.slices)
        noun = "slices" if len(story.correction.slices) > 1 else "slice"
        sentences.append(
            f"After {story.correction.seconds:.0f} s the worst class, {story.correction.class_name}, was corrected"
            f" with {story.correction.strokes} short strokes on {noun} {where};"
            " the running job took them in without a restart."
        )
    return sentences


def how_good(story: Story) -> list[str]:
    student, growcut = story.student.scores.mean_dice, story.growcut.scores.mean_dice
    gain = student - growcut
    verdict = (
        f"{gain:.2f} better than grow-cut from the same strokes ({growcut:.2f})"
        if gain >= CLEARLY
        else f"no better than grow-cut from the same strokes ({growcut:.2f})"
        if gain < 0.005
        else f"slightly better than grow-cut from the same strokes ({growcut:.2f})"
    )
    first = story.first_preview.scores.mean_dice
    sentences = [
        f"At the end the segmentation overlaps the reference with a mean Dice of {student:.2f} (1 is perfect):"
        f" {verdict}; the first preview had {first:.2f}."
    ]
    ranked = sorted(story.student.scores.by_class.items(), key=lambda item: item[1].dice)
    if ranked:
        (worst, low), (best, high) = ranked[0], ranked[-1]
        sentences.append(
            f"Best is {story.contract.by_id(best).name} ({high.dice:.2f}); weakest is"
            f" {story.contract.by_id(worst).name} ({low.dice:.2f}, 95 % of its surface within {low.hd95_mm:.0f} mm)."
        )
    if story.model is not None:
        alone = story.model.scores.mean_dice
        sentences.append(f"The saved model by itself, without the strokes, has {alone:.2f} on this image.")
    if story.correction is not None:
        moved = story.correction.after - story.correction.before
        change = f"rose from {story.correction.before:.2f} to {story.correction.after:.2f}"
        if moved <= 0:
            change = f"did not rise ({story.correction.before:.2f} to {story.correction.after:.2f})"
        sentences.append(f"The corrected class, {story.correction.class_name}, {change}.")
    if story.student.scores.absent:
        missing = ", ".join(story.contract.by_id(id_).name for id_ in story.student.scores.absent)
        sentences.append(f"No value for {missing}: neither the reference nor the result holds it.")
    return sentences + list(story.remarks)


def where_to_look(story: Story) -> list[str]:
    sentences = []
    if story.looks.uncertainty is not None and story.looks.uncertainty.any():
        slices = ", ".join(str(z + 1) for z in most_unsure_slices(story.looks.uncertainty))
        sentences.append(f"Look first at slices {slices}: there it is least sure.")
    if story.next_step:
        sentences.append(story.next_step)
    sentences.append(
        "This is a draft for a reader to check, not a diagnosis; correct it where it is wrong and train again."
    )
    return sentences

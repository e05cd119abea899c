"""``report.html``: sentences first, then pictures, then tables; one file that needs nothing beside it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from html import escape
from pathlib import Path

from training_backend.report.curves import held_out_curve, loss_curve
from training_backend.report.metrics import ClassScore
from training_backend.report.numbers import numbers
from training_backend.report.pictures import before_and_after, from_the_front, unsure
from training_backend.report.story import Story
from training_backend.report.words import how_good, what_was_done, where_to_look

STYLE = """
:root { color-scheme: light dark; --ink: #1b2733; --soft: #5b6b7a; --paper: #ffffff; --line: #d7dee5; --tint: #f2f6f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dde5ec; --soft: #93a4b3; --paper: #151b21; --line: #323d47; --tint: #1d252d; }
}
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
section.words { background: var(--tint); border-radius: .6rem; padding: .2rem 1.4rem 1rem; }
section.words h2 { margin-top: 1rem; } section.words p { margin: .35rem 0; max-width: 52rem; }
figure { margin: 1rem 0; } figure img { width: 100%; min-width: 40rem; height: auto; border-radius: .5rem; display: block; }
figcaption, .note { color: var(--soft); font-size: .92rem; margin-top: .4rem; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1.2rem; }
.curves svg { width: 100%; height: auto; color: var(--ink); }
dl { margin: .4rem 0; } dt { font-weight: 650; margin-top: .45rem; } dd { margin: 0; color: var(--soft); max-width: 52rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; width: 100%; }
th, td { padding: .38rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; }
tr.last td { font-weight: 650; background: var(--tint); }
"""  # noqa: E501


def write_report(folder: Path, story: Story) -> Path:
    """Write report.html, report.json and pictures/ into ``folder``; returns the path of the page."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(numbers(story), indent=2) + "\n", encoding="utf-8")
    slices = _slices_to_show(story)
    shown = [
        ("before_and_after.png", before_and_after(story.looks, slices, story.contract), _before_caption(story)),
        ("from_the_front.png", from_the_front(story.looks, story.contract), "The whole volume seen from the front."),
    ]
    glow = unsure(story.looks, story.contract)
    if glow is not None:
        caption = (
            "Where it is unsure: bright where the student and its averaged copy disagree; below, the result there."
        )
        shown.append(("unsure.png", glow, caption))
    for name, png, _ in shown:
        (pictures / name).write_bytes(png)
    page = folder / "report.html"
    page.write_text(_page(story, shown, _curves(story, pictures)), encoding="utf-8")
    return page


def _slices_to_show(story: Story) -> tuple[int, ...]:
    if story.correction is not None and story.correction.slices:
        return story.correction.slices[:3]
    drawn = (story.looks.strokes_after != 255).sum((1, 2))
    return tuple(sorted(int(z) for z in drawn.argsort()[::-1][:3]))


def _before_caption(story: Story) -> str:
    if story.correction is None:
        return "Strokes, the first preview and the result on the slices with most strokes."
    return (
        f"Slices on which the class {story.correction.class_name} was corrected: all strokes, the preview before the"
        " correction, the result at the end and the reference."
    )


def _curves(story: Story, pictures: Path) -> list[tuple[str, str]]:
    drawn = []
    if story.held_out:
        caption = (
            "Dice on strokes kept aside to measure it; towards the end these are learnt too, so the lines stop before."
        )
        drawn.append(("held_out.svg", held_out_curve(story.held_out, story.correction), caption))
    if story.losses:
        drawn.append(
            (
                "losses.svg",
                loss_curve(story.losses, story.correction),
                "What training minimised; it should fall and level out.",
            )
        )
    for name, svg, _ in drawn:
        (pictures / name).write_text(svg.replace("currentColor", "#445566"), encoding="utf-8")
    return [(svg, caption) for _, svg, caption in drawn]


def _page(story: Story, shown: list[tuple[str, bytes, str]], curves: list[tuple[str, str]]) -> str:
    words = "".join(
        f"<h2>{heading}</h2>" + "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
        for heading, sentences in (
            ("What was done", what_was_done(story)),
            ("How good it is", how_good(story)),
            ("Where to look next", where_to_look(story)),
        )
    )
    images = "".join(
        f'<figure><div class="scroll"><img alt="{escape(caption)}"'
        f' src="data:image/png;base64,{base64.b64encode(png).decode()}"></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for _, png, caption in shown
    )
    lines = "".join(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for svg, caption in curves)
    tolerance = f"{story.student.scores.tolerance_mm:.2g} mm"
    tables = _meanings(story) + (
        _table(story, "Dice", "Overlap with the reference, 0 to 1.", lambda s: s.dice, "{:.3f}")
        + _table(
            story,
            "Surface Dice",
            f"Share of the surface within {tolerance} of the reference's, 0 to 1.",
            lambda s: s.surface_dice,
            "{:.3f}",
        )
        + _table(story, "HD95 in mm", "95 % of the surface lies nearer than this.", lambda s: s.hd95_mm, "{:.1f}")
    )
    versions = ", ".join(f"{name} {version}" for name, version in sorted(story.versions.items()))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport"'
        f' content="width=device-width, initial-scale=1"><title>{escape(story.title)}</title>'
        f'<style>{STYLE}</style></head><body><h1>{escape(story.title)}</h1><section class="words">{words}</section>'
        f"<h2>Pictures</h2>{images}<h2>While it trained</h2>"
        f'<div class="curves">{lines}</div>{tables}<p class="note">{escape(versions)}</p></body></html>\n'
    )


def _meanings(story: Story) -> str:
    """One plain sentence for every kind of row, before the tables that hold them."""
    names: dict[str, list[str]] = {}
    for row in story.rows:
        names.setdefault(row.meaning, []).append(row.name)
    names.pop("", None)
    told = "".join(
        f"<dt>{escape(rows[0] if len(rows) == 1 else f'{rows[0]} … {rows[-1]}')}</dt><dd>{escape(meaning)}</dd>"
        for meaning, rows in names.items()
    )
    return f"<h2>What is compared below</h2><dl>{told}</dl>" if told else ""


def _table(story: Story, heading: str, note: str, pick: Callable[[ClassScore], float], form: str) -> str:
    head = "".join(f"<th>{escape(label.name)}</th>" for label in story.contract.foreground)
    body = ""
    for row in story.rows:
        values = [pick(score) for score in row.scores.by_class.values()]
        cells = [row.scores.by_class.get(label.id) for label in story.contract.foreground]
        text = "".join(f"<td>{form.format(pick(cell)) if cell else 'no value'}</td>" for cell in cells)
        mean = form.format(sum(values) / len(values)) if values else "no value"
        when = (
            "" if row.seconds is None else f" ({row.seconds:.1f} s)" if row.seconds < 10 else f" ({row.seconds:.0f} s)"
        )
        kind = ' class="last"' if row is story.student else ""
        body += f"<tr{kind}><td>{escape(row.name + when)}</td><td>{mean}</td>{text}</tr>"
    return (
        f'<h2>{heading}</h2><p class="note">{escape(note)}</p><div class="scroll"><table>'
        f"<thead><tr><th>segmentation</th><th>mean</th>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )

"""Sections of record: example images, costs, settings, runs, environment, notes, and how to make it all again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from regrow.report import tables
from regrow.report.blocks import (
    Block,
    Command,
    Listing,
    Pairs,
    Prose,
    Section,
    Strip,
    StripRow,
    TableBlock,
    human,
    nothing,
)
from regrow.report.pictures import IMAGE_SIDE, image_picture
from regrow.report.sequences import SPECTROGRAM, sound_pictures, text_tables
from regrow.report.tables import flat
from regrow.study import recipe as recipes
from regrow.study.view import CLEAN, Cell, StudyView
from regrow.verdict.arms import Arm, by_family

GROUP = "Record"
MAX_EXAMPLES = 3
#: Data sets that need no folder.
GENERATED = ("cues", "phrases", "tones")


def strip(
    examples: Mapping[Cell, npt.NDArray[np.uint8]],
    corruptions: Sequence[str],
    severities: Sequence[int],
    families: Mapping[str, str],
    example: str = "image",
) -> Strip | None:
    """Pictures of what was evaluated, or None without any.

    A panel per original, a row per corruption, a column per severity; ``example`` is what an original is called.
    """
    there = {cell: images for cell, images in examples.items() if len(images)}
    if not there:
        return None
    n = min(MAX_EXAMPLES, max(len(images) for images in there.values()))
    order = [(f, c) for f, group in by_family(corruptions, families).items() for c in group]
    panels, called = [], example.capitalize()
    for i in range(n):
        clean = there.get(CLEAN)
        first = image_picture(clean[i], f"{called} {i + 1}, clean.") if clean is not None and i < len(clean) else None
        rows = []
        for family, name in order:
            cells = [there.get((name, s)) for s in severities]
            pictures = tuple(
                (
                    f"severity {s}",
                    image_picture(x[i], f"{called} {i + 1}, {human(name)}, severity {s}.")
                    if x is not None and i < len(x)
                    else None,
                )
                for s, x in zip(severities, cells, strict=True)
            )
            if any(p for _, p in pictures):
                rows.append(StripRow(human(name), family, pictures, name))
        panels.append((first, tuple(rows)))
    height, width = next(iter(there.values())).shape[1:3]
    caption = f"{n} of the evaluated {example}s, {width} × {height} pixels, "  # noqa: RUF001
    caption += (
        "enlarged without smoothing."
        if max(height, width) <= IMAGE_SIDE
        else f"reduced to {IMAGE_SIDE} pixels for this page."
    )
    return Strip(tuple(panels), tuple(f"severity {s}" for s in severities), caption, example=example)


def examples(view: StudyView, arms: Sequence[Arm]) -> Section:
    """What the networks were shown."""
    del arms
    one = view.example
    intro = f"What the networks saw: the same {one}, clean and under every corruption that was evaluated."
    of = (view.corruptions, view.severities, view.families)
    title = f"Example {view.noun}"
    if view.modality == "text":
        return Section("examples", title, "Results", intro, text_tables(view.examples, *of))
    if view.modality == "audio":
        made = strip(sound_pictures(view.examples), *of, one)
        if made is not None:
            made = replace(made, caption=f"{len(made.panels)} of the evaluated sounds: {SPECTROGRAM}")
    else:
        made = strip(view.examples, *of)
    if made is None:
        return Section("examples", title, "Results", intro, nothing(f"No {one} of the evaluated cells was stored."))
    return Section("examples", title, "Results", intro, (made,))


def costs(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Weights, FLOPs and time."""
    intro = (
        "What each arm costs. FLOPs are counted as if masked weights were skipped; on ordinary hardware a "
        "mask saves no time."
    )
    if not any(a.done for a in arms):
        return Section("costs", "Costs", "Results", intro, nothing("No run has finished, so nothing was measured."))
    return Section("costs", "Costs", "Results", intro, (TableBlock(tables.costs(view, arms)),))


def settings(view: StudyView, arms: Sequence[Arm]) -> Section:
    """The resolved recipe."""
    del arms
    intro = "The recipe with every default filled in, as it was stored before the first run."
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in [*flat(view.recipe), *flat(view.precision, "precision")]:
        group, _, rest = key.partition(".")
        groups.setdefault(group if rest else "study", []).append((rest or key, value))
    if not groups:
        return Section("settings", "Settings", GROUP, intro, nothing("The recipe is empty."))
    return Section(
        "settings", "Settings", GROUP, intro, (Pairs(tuple((g, tuple(rows)) for g, rows in groups.items())),)
    )


def runs(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Every run that was ever started."""
    states = [r.state for r in view.runs]
    counts = [
        f"{len(states)} planned",
        *(f"{states.count(s)} {s}" for s in ("done", "running", "failed") if states.count(s)),
    ]
    intro = (
        f"Every run counts, finished or not: {', '.join(counts)}; runs were started {view.started} times in "
        "all, repeats included."
    )
    blocks: list[Block] = []
    failed = [r for r in view.runs if r.state == "failed"]
    if failed:
        blocks.append(Listing(tuple(f"{r.name} failed: {r.reason or 'no reason recorded'}" for r in failed)))
    if not view.runs:
        return Section("runs", "Runs", GROUP, intro, nothing("No run is planned."))
    return Section("runs", "Runs", GROUP, intro, (*blocks, TableBlock(tables.runs(view, arms))))


def environment(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Machine and versions."""
    del arms
    intro = "What it ran on. Times hold for this machine; accuracies should not depend on it beyond rounding."
    rows = tuple(flat(view.environment))
    if not rows:
        return Section("environment", "Environment", GROUP, intro, nothing("No environment was recorded."))
    return Section("environment", "Environment", GROUP, intro, (Pairs((("", rows),)),))


def notes(view: StudyView, arms: Sequence[Arm]) -> Section:
    """What a reader must know."""
    del arms
    items = [str(n) for n in view.notes]
    if view.data.get("note"):
        items.append(str(view.data["note"]))
    intro = "What one must know before comparing these numbers with others."
    block: tuple[Block, ...] = (Listing(tuple(items)),) if items else nothing("There are no notes.")
    return Section("notes", "Notes", GROUP, intro, block)


def study_command(view: StudyView) -> str:
    """The command that makes a study."""
    out = shlex.quote(f"runs/{view.name}")
    root = "" if view.data.get("name") in GENERATED else " --data-root DATA"
    shipped = [n for n in recipes.names() if recipes.load(n).name == view.name]
    recipe = shipped[0] if shipped else f"{view.name}.yaml"
    return "regrow demo" if view.name == "demo" else f"regrow study {shlex.quote(recipe)} --out {out}{root}"


def reproduce(view: StudyView, arms: Sequence[Arm]) -> Section:
    """The commands that make this page."""
    del arms
    out, first = shlex.quote(f"runs/{view.name}"), study_command(view)
    intro = (
        f"The same recipe and seeds give the same masks, batches and corrupted {view.noun}. A stopped study goes "
        "on by the same call."
    )
    blocks = (
        Command(f"{first}\nregrow report {out}"),
        Prose("The resolved recipe is study.yaml in the study's folder; the settings above are its content.", ""),
    )
    return Section("reproduce", "How to reproduce", GROUP, intro, blocks)

"""What must be known before any number of a study: results that are missing, damaged, or not comparable."""

from __future__ import annotations

from collections.abc import Sequence

from regrow.study.claims import Registration
from regrow.study.view import RunView, StudyView
from regrow.verdict.words import listed, plural

#: Names that are listed before a count stands for the rest.
SHOWN = 4


def problems(view: StudyView, registered: Registration) -> list[str]:
    """Sentences, the most serious first; empty where there is nothing to say."""
    found = list(view.problems)
    if view.registration is None:
        found.append("The claims were not registered before the first run: nothing counts as supported.")
    elif not registered.whole:
        found.append("The registration was edited after it was made: nothing counts as supported.")
    found += _unfinished(view.runs)
    found += [f"{run.name}: {line}" for run in view.runs for line in run.damaged]
    found += _seeds(view.runs)
    found += _incomplete(view)
    found += _images(view)
    return found


def _some(names: Sequence[str]) -> str:
    return listed([*names[:SHOWN], *([f"{len(names) - SHOWN} more"] if len(names) > SHOWN else [])], "and")


def _unfinished(runs: Sequence[RunView]) -> list[str]:
    found = []
    for state, verb in (("failed", "failed"), ("running", "not finished"), ("planned", "not started")):
        names = [run.name for run in runs if run.state == state]
        if names:
            found.append(f"{plural(len(names), 'run')} of {len(runs)} {verb}: {_some(names)}. They count as missing.")
    return found


def _seeds(runs: Sequence[RunView]) -> list[str]:
    """Arms of one study with other seeds than the rest."""
    seeds: dict[str, set[int]] = {}
    for run in runs:
        if run.state == "done":
            seeds.setdefault(run.arm, set()).add(run.seed)
    if not seeds:
        return []
    every = set().union(*seeds.values())
    if len(every) == 1:
        return ["There is one seed: nothing can be said of ways of training."]
    short = [f"{arm} ({len(found)} of {len(every)})" for arm, found in seeds.items() if found != every]
    return [f"Arms without all seeds: {_some(short)}. Differences use the seeds that both arms have."] if short else []


def _incomplete(view: StudyView) -> list[str]:
    planned = 1 + len(view.corruptions) * len(view.severities)
    short = [
        f"{r.name} ({len(r.scores)} of {planned})" for r in view.runs if r.state == "done" and len(r.scores) < planned
    ]
    if not short:
        return []
    return [f"Finished runs without all cells: {_some(short)}. A mean that needs a missing cell is left out."]


def _images(view: StudyView) -> list[str]:
    """Cells that were tested on unequal numbers of images."""
    sizes: dict[tuple[str, int], set[int]] = {}
    for run in view.runs:
        for cell, score in run.scores.items():
            sizes.setdefault(cell, set()).add(score.n)
    uneven = [f"{name} {severity}" for (name, severity), found in sizes.items() if len(found) > 1]
    return [f"Cells that runs were tested on with unequal numbers of images: {_some(uneven)}."] if uneven else []

"""Runs that a study takes from the summaries of an earlier stretch of it, so that it grows over several machines.

Their summaries lie in ``STUDY/taken/NAME.json`` as they were published. A run is taken as it is or not at all: the
recipe, the registration, the settings of the run and the test images must be the same. Trained weights are not part of
a summary, so a run that others still start from is trained here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from regrow import files
from regrow.errors import DataError, InputError
from regrow.study.cells import CellSet
from regrow.study.plan import PlannedRun
from regrow.study.recipe import Recipe
from regrow.study.store import Store
from regrow.study.summaries import is_published, read_summary
from regrow.study.view import RunView
from regrow.training.settings import RunSettings

#: What was known of the study as a whole when it was published.
WHOLE = "study.json"


def published(folder: Path, recipe: Recipe) -> Store:
    """The summaries of an earlier stretch of a recipe.

    Raises:
        InputError: none in the folder, or of another recipe.
    """
    if not is_published(folder):
        raise InputError(f"{folder} holds no published study.", "give what `regrow report STUDY --publish DIR` wrote.")
    found = Store(folder)
    found.require_recipe(recipe)
    return found


def take(earlier: Store, store: Store, say: Callable[[str], None]) -> None:
    """Copy the summaries of finished runs into a study.

    Args:
        earlier: the summaries.
        store: of the study.
        say: told how many were taken, and of each that was not, why.

    Raises:
        InputError: the study was registered otherwise.
    """
    mine, theirs = (s.registration() or {} for s in (store, earlier))
    if mine.get("digest") != theirs.get("digest"):
        raise InputError(
            f"the runs of {earlier.folder} were registered under {theirs.get('digest', 'nothing')!s:.12}, this study "
            f"under {mine.get('digest', 'nothing')!s:.12}.",
            "begin in a new --out: it takes the registration over.",
        )
    n = 0
    for run in store.planned():
        path = earlier.folder / "runs" / f"{run.name}.json"
        why = _why_not(path, run, str(mine.get("digest", ""))) if path.exists() else ""
        if why is None:
            n += 1
            files.write_bytes(store.taken(run.name), path.read_bytes())
        elif why:
            say(f"{run.name} is not taken: {why}")
    files.write_bytes(store.folder / "taken" / WHOLE, (earlier.folder / WHOLE).read_bytes())
    say(f"{n} runs are taken from {earlier.folder}.")


def _why_not(path: Path, run: PlannedRun, registration: str) -> str | None:
    """None where a run is taken, why it is not, or empty where it was not finished."""
    try:
        found = read_summary(path, run.name)
    except DataError as error:
        return error.message
    if found.state != "done":
        return ""
    try:
        settings = RunSettings.model_validate(found.settings)  # what was added since has its default
    except ValidationError:
        settings = None
    if settings != run.settings:
        return "it was made by other settings."
    if found.registration != registration:
        return "it was begun under another registration."
    return "; ".join(found.damaged) or None


def taken_runs(store: Store) -> dict[str, RunView]:
    """The runs that were taken, by name, whether or not one of the same name was trained here since.

    Raises:
        DataError: a summary is damaged.
    """
    folder = store.folder / "taken"
    paths = [path for path in sorted(folder.glob("*.json")) if path.name != WHOLE]
    return {path.stem: read_summary(path, path.stem) for path in paths}


def require_same_images(taken: dict[str, RunView], cells: CellSet) -> None:
    """Refuse runs that were tested on other images than this study has.

    Raises:
        DataError: names the run and the cell.
    """
    for run in taken.values():
        for cell, digest in cells.digests.items():
            if run.images.get(cell) != digest:
                raise DataError(
                    f"{run.name} was tested on other images of {cell[0]} at severity {cell[1]} than are here.",
                    "give the same data and settings of evaluation, or begin without --summaries.",
                )


def still_needed(taken: Collection[str], planned: Sequence[PlannedRun], left: Collection[str]) -> set[str]:
    """Taken runs whose weights others need that are still to be trained: these are trained here as well.

    Args:
        taken: names of the taken runs.
        planned: all runs.
        left: names of those that are neither taken nor done.
    """
    sources = {run.name: run.source for run in planned if run.source is not None}
    needed, front = set[str](), set(left)
    while front:
        front = {sources[name] for name in front if sources.get(name, "") in taken} - needed
        needed |= front
    return needed


def merged(analyses: dict[str, Any], store: Store) -> dict[str, Any]:
    """Analyses of a study as a whole, with the overlap of masks of arms whose weights are not here."""
    path = store.folder / "taken" / WHOLE
    if not path.exists():
        return analyses
    before = files.read_json(path).get("analyses", {}).get("mask_overlap", {}).get("arms", {})
    mine = analyses.get("mask_overlap", {})
    arms = {**before, **{name: one for name, one in mine.get("arms", {}).items() if name not in before}}
    return {**analyses, "mask_overlap": {**mine, "arms": arms}} if arms else analyses

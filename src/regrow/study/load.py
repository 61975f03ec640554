"""From the store to a StudyView: reads files, computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow import data, files
from regrow.errors import DataError
from regrow.study.cells import CellSet, open_cells
from regrow.study.execute import run_answers
from regrow.study.kinds import kind_of
from regrow.study.making import wanted_corruptions
from regrow.study.plan import PlannedRun
from regrow.study.recipe import Recipe
from regrow.study.store import Store, get_state
from regrow.study.summaries import is_published, load_summaries
from regrow.study.view import CellScore, RunView, StudyView

EXAMPLES = 2
#: Family of types that stand in for others; they are part of no mean.
STAND_IN = "stand-in"


def load_study(folder: Path) -> StudyView:
    """Read everything a report shows of a study, finished or not, from its store or its published summaries.

    Raises:
        InputError: no study in the folder.
        DataError: a file of it is damaged.
    """
    if is_published(folder):
        return load_summaries(folder)
    store = Store(folder)
    content, recipe = store.load(), store.recipe()
    try:
        cells: CellSet | None = open_cells(store.cells, recipe.data.name)
    except DataError:
        cells = None
    spec = cells.spec if cells else data.spec(recipe.data.name, recipe.data.options)
    runs = [_run(store.run(planned.name), planned, cells) for planned in store.planned()]
    runs.sort(key=lambda run: run.method != "dense")
    registration = store.registration()
    problems = _registered_otherwise(store, runs, registration["digest"]) if registration else []
    names = wanted_corruptions(recipe, spec)
    if cells:  # a recipe may take all of a published set without their names
        stand_ins = recipe.evaluation.stand_ins
        others = [name for name in [*names, *cells.published] if name not in stand_ins]
        names = list(dict.fromkeys([*others, *stand_ins]))
    families = kind_of(spec).families(recipe.evaluation) | dict.fromkeys(recipe.evaluation.stand_ins, STAND_IN)
    common, words = kind_of(spec).mean_over(recipe.evaluation, names)
    return StudyView(
        folder=folder,
        name=recipe.name,
        title=recipe.title or f"{recipe.model.name} on {recipe.data.name}",
        tier=recipe.tier,
        recipe=content["recipe"],
        precision={**content["precision"], "probe": content["probe"]},
        environment=content.get("environment") or _json(folder / "environment.json") or {},
        data={
            "name": recipe.data.name,
            "image_size": spec.image_size,
            "n_train": recipe.data.train_images or spec.splits["train"],
            "n_test": recipe.data.test_images or spec.splits["test"],
            "classes": list(spec.classes),
            "note": f"{spec.citation} {spec.licence}",
        },
        runs=runs,
        corruptions=list(names),
        severities=list(recipe.evaluation.severities),
        families=families,
        common=common,
        common_words=words,
        examples=_examples(cells, recipe) if cells else {},
        notes=[*(cells.notes if cells else []), *recipe.notes, *_origin(recipe), *_notes(runs)],
        started=sum(run.attempts for run in runs),
        registration=registration,
        registered_at=str(content.get("planned_at", "")) if registration else "",
        analyses=_analyses(folder),
        problems=problems,
    )


def _registered_otherwise(store: Store, runs: list[RunView], digest: str) -> list[str]:
    """Runs whose folder was made under another registration than the study has now."""
    other = [run.name for run in runs if _json(store.run(run.name) / "run.json").get("registration") != digest]
    return [f"Runs begun under another registration than study.yaml holds: {', '.join(other)}."] if other else []


#: Below this many steps between updates a new link has little time to outgrow the drop threshold.
USUAL_INTERVAL = 100


def _origin(recipe: Recipe) -> list[str]:
    if recipe.runs_of is None:
        return []
    return [f"The networks were trained by the study of {recipe.runs_of}; nothing was trained here."]


def _notes(runs: list[RunView]) -> list[str]:
    """What a reader of sparse runs must know."""
    notes = []
    close = {run.plan["interval"] for run in runs if run.plan.get("updates") and run.plan["interval"] < USUAL_INTERVAL}
    if close:
        steps = " or ".join(str(n) for n in sorted(close))
        notes.append(
            f"Topology updates are {steps} steps apart, fewer than the {USUAL_INTERVAL} that a new link should have to "
            "outgrow the drop threshold: this run length shows how the methods work, not what they can do."
        )
    if any(run.plan.get("updates") for run in runs):
        notes.append(
            "Gradients of inactive weights are masked, and the optimiser's state of dropped and grown weights starts "
            "anew. The public codes of the paper's methods let momentum build up under the mask; results may differ."
        )
    return notes


def _run(folder: Path, planned: PlannedRun, cells: CellSet | None) -> RunView:
    state = get_state(folder)
    analyses = folder / "analysis" if (folder / "analysis" / "made_from.json").exists() else folder / "none"
    kernels, sizes, found = *_kernels(analyses), _analyses(analyses.parent)
    answers, damaged = run_answers(folder, cells) if cells else ({}, [])
    return RunView(
        name=planned.name,
        method=planned.label,
        sparsity=planned.settings.sparsity,
        seed=planned.settings.seeds.init if "init" in planned.axes else _seed(planned),
        axes=dict(planned.axes),
        state=state["state"],
        reason=state["reason"],
        attempts=state["attempts"],
        settings=planned.settings.model_dump(mode="json"),
        plan=_json(folder / "plan.json") or {},
        result=_json(folder / "result.json"),
        metrics=files.read_lines(folder / "metrics.jsonl"),
        history=files.read_lines(folder / "history.jsonl"),
        scores={cell: CellScore(float(right.mean()), len(right)) for cell, right in answers.items()},
        attenuation=_followed(found) or _json(analyses / "attenuation.json"),
        kernels=kernels,
        kernel_sizes=sizes,
        reliance=found.get("reliance"),
        analyses=found,
        correct={cell: np.packbits(right) for cell, right in answers.items()},
        damaged=damaged if state["state"] == "done" else [],
    )


#: Files of ``analysis`` that have a field of their own, or say what the others were made from.
_OWN = ("attenuation", "kernel_sizes", "made_from")


def _analyses(folder: Path) -> dict[str, Any]:
    """What every analysis found: ``analysis/NAME.json``."""
    paths = sorted((folder / "analysis").glob("*.json"))
    return {path.stem: files.read_json(path) for path in paths if path.stem not in _OWN}


def _followed(found: dict[str, Any]) -> dict[str, Any] | None:
    """The radius-accuracy curve under the paper's convention, in which the mean follows its side."""
    curves = found.get("radius_curves", {})
    for curve in curves.get("curves", ()):
        if (curve["convention"], curve["edge"], curve["clip"]) == ("follow", "hard", False):
            return {"n": curves["n"], **curve}
    return None


def _seed(planned: PlannedRun) -> int:
    return int(planned.name.rsplit("-seed", 1)[1])


def _json(path: Path) -> Any:
    return files.read_json(path) if path.exists() else None


def _kernels(folder: Path) -> tuple[dict[str, npt.NDArray[np.integer[Any]]], dict[str, int]]:
    path = folder / "kernels.npz"
    if not path.exists():
        return {}, {}
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}, files.read_json(folder / "kernel_sizes.json")


def _examples(cells: CellSet, recipe: Recipe) -> dict[tuple[str, int], npt.NDArray[np.uint8]]:
    wanted = [("clean", 0)] + [c for c in cells.digests if c[1] in recipe.evaluation.severities]
    found = {cell: np.array(cells.images(*cell, EXAMPLES)) for cell in wanted if cells.is_there(*cell)}
    return {cell: _one_frame(images) for cell, images in found.items()}


def _one_frame(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Images as they are; of clips (n, views, T, H, W, 3) the frame in the middle of the first view."""
    return images if images.ndim == 4 else images[:, 0, images.shape[2] // 2]

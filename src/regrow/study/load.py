"""From the store to a StudyView: reads files, computes nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from regrow import data, files
from regrow.errors import DataError, InputError
from regrow.models.user import named
from regrow.study.cells import CellSet, open_cells
from regrow.study.execute import run_answers
from regrow.study.kinds import kind_of
from regrow.study.making import wanted_corruptions
from regrow.study.plan import PlannedRun
from regrow.study.recipe import Recipe
from regrow.study.store import Store, get_state
from regrow.study.summaries import is_published, load_summaries
from regrow.study.taken import merged, taken_runs
from regrow.study.view import CLEAN, STAND_IN, CellScore, RunView, StudyView
from regrow.training.film import FILM, MaskFilm, load_film

EXAMPLES = 2
_CLIPS = 6  # dimensions of clips with several views each
Kernels = dict[str, npt.NDArray[np.integer[Any]]]


def load_study(folder: Path, *, only: str | None = None, network: str | None = None) -> StudyView:
    """Read everything a report shows of a study, finished or not, from its store or its published summaries.

    Of a run whose files cannot be read, or do not belong together, only that is known: it is ``damaged`` and says why.

    Args:
        folder: of the study.
        only: name of the one run that is read, of a study that is no summary; None = all.
        network: ``module:function`` of your own that the recipe names, where its runs cannot be told without it: what
            a folder says is never imported.

    Raises:
        InputError: no study in the folder, or summaries of an earlier regrow, or a network that is not named.
        DataError: a file of the study as a whole is damaged.
    """
    with named(network):
        return _load(folder, only)


def _load(folder: Path, only: str | None) -> StudyView:
    if is_published(folder):
        return load_summaries(folder)
    store = Store(folder)
    content, recipe = store.load(), store.recipe()
    if any((folder / "runs").glob("*.json")):  # a store has folders there
        raise InputError(
            f"{folder} holds summaries of an earlier regrow, without study.json.",
            "publish the study again: `regrow report STUDY --publish DIR`.",
        )
    try:
        cells: CellSet | None = open_cells(store.cells, recipe.data.name)
    except DataError:
        cells = None
    spec = cells.spec if cells else data.spec(recipe.data.name, recipe.data.options)
    taken = taken_runs(store)
    runs = [
        taken[planned.name] if store.uses_taken(planned.name) else load_run(store.run(planned.name), planned, cells)
        for planned in store.planned()
        if only in (None, planned.name)
    ]
    runs.sort(key=lambda run: run.method != "dense")
    registration, (analyses, problems) = store.registration(), _analyses(folder)
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
            "frames": spec.frames,
            "n_train": recipe.data.train_images or spec.splits["train"],
            "n_test": recipe.data.test_images or spec.splits["test"],
            "classes": list(spec.classes),
            "note": f"{spec.name}: {spec.citation}. Terms: {spec.licence or 'not known'}.",
            **({} if spec.modality == "image" else {"modality": spec.modality}),
        },
        runs=runs,
        corruptions=list(names),
        severities=list(recipe.evaluation.severities),
        families=families,
        common=common,
        common_words=words,
        examples=_examples(cells, recipe) if cells else {},
        notes=[*(cells.notes if cells else []), *recipe.notes, *_origin(recipe), *_earlier(store, runs), *_notes(runs)],
        started=sum(run.attempts for run in runs),
        registration=registration,
        registered_at=str(content.get("planned_at", "")) if registration else "",
        analyses=merged(analyses, store),
        films=_films(store, runs),
        problems=problems,
    )


def _films(store: Store, runs: list[RunView]) -> dict[str, MaskFilm]:
    """The masks over training of the first finished run of each arm that rewires; one that cannot be read is none."""
    found: dict[str, MaskFilm] = {}
    for run in {run.arm: run for run in reversed(runs) if run.state == "done"}.values():
        film = None
        with contextlib.suppress(DataError):
            film = load_film(store.run(run.name) / FILM)
        if film is not None and len(film.updates) > 1:
            found[run.name] = film
    return found


#: Below this many steps between updates a new link has little time to outgrow the drop threshold.
USUAL_INTERVAL = 100


def _origin(recipe: Recipe) -> list[str]:
    if recipe.runs_of is None:
        return []
    return [f"The networks were trained by the study of {recipe.runs_of}; nothing was trained here."]


def _earlier(store: Store, runs: list[RunView]) -> list[str]:
    n = sum(store.uses_taken(run.name) for run in runs)
    note = f"{n} of {len(runs)} runs were trained in an earlier stretch of this study and taken as published."
    return [note] * bool(n)


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


def load_run(folder: Path, planned: PlannedRun, cells: CellSet | None) -> RunView:
    """Read one run of a study, finished or not.

    Args:
        folder: of the run.
        planned: the run as its recipe plans it.
        cells: the study's test images; None where they cannot be read, and then the run has no scores.
    """
    known: dict[str, Any] = {
        "name": planned.name,
        "method": planned.label,
        "sparsity": planned.settings.sparsity,
        "seed": planned.settings.seeds.init if "init" in planned.axes else _seed(planned),
        "axes": dict(planned.axes),
    }
    try:
        state = get_state(folder)
        plan, result, begun = (_json(folder / f"{name}.json") for name in ("plan", "result", "run"))
    except DataError as error:
        return RunView(**known, state="damaged", damaged=[error.message])
    weights = folder / "model.safetensors"
    digest = files.file_digest(weights) if weights.exists() else None
    answers, damaged = run_answers(folder, cells, digest) if cells and digest else ({}, [])
    kernels, sizes, found, lost = _analysed(folder, cells, digest)
    return RunView(
        **known,
        state=state["state"],
        reason=state["reason"],
        attempts=state["attempts"],
        settings=planned.settings.model_dump(mode="json"),
        plan=plan or {},
        result=result,
        metrics=files.read_lines(folder / "metrics.jsonl"),
        history=files.read_lines(folder / "history.jsonl"),
        scores={cell: CellScore(float(right.mean()), len(right)) for cell, right in answers.items()},
        attenuation=_followed(found),
        kernels=kernels,
        kernel_sizes=sizes,
        reliance=found.get("reliance"),
        analyses=found,
        correct={cell: np.packbits(right) for cell, right in answers.items()},
        damaged=[*damaged, *lost] if state["state"] == "done" else [],
        registration=str((begun or {}).get("registration", "")),
        images={cell: cells.digests[cell] for cell in answers} if cells else {},
    )


def _analysed(
    folder: Path, cells: CellSet | None, digest: str | None
) -> tuple[Kernels, dict[str, int], dict[str, Any], list[str]]:
    """Kernel maps, sizes and analyses of a run, and a line for each that cannot be used."""
    if not (folder / "analysis" / "made_from.json").exists():
        return {}, {}, {}, []
    try:
        _require_current(folder, cells, digest)
        kernels, sizes = _kernels(folder / "analysis")
    except DataError as error:
        return {}, {}, {}, [error.message]
    return kernels, sizes, *_analyses(folder)


def _require_current(folder: Path, cells: CellSet | None, digest: str | None) -> None:
    """Refuse analyses that were made from other weights (of that digest) or images than are there now."""
    made_from = _json(folder / "analysis" / "made_from.json") or {}
    if digest is None:
        raise DataError("model.safetensors is not there: nothing says what its records and analyses were made from.")
    if made_from.get("weights") != digest:
        raise DataError("its analyses were made from another checkpoint.")
    if cells is not None and made_from.get("cells") != cells.digests[CLEAN]:
        raise DataError("its analyses were made from other test images.")


#: Files of ``analysis`` that have a field of their own, or say what the others were made from.
_OWN = ("kernel_sizes", "made_from")


def _analyses(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What every analysis found, ``analysis/NAME.json``, and a line for each that cannot be read."""
    found, damaged = {}, []
    for path in sorted((folder / "analysis").glob("*.json")):
        if path.stem not in _OWN:
            try:
                found[path.stem] = _json(path)
            except DataError as error:
                damaged.append(error.message)
    return found, damaged


def _followed(found: dict[str, Any]) -> dict[str, Any] | None:
    """The radius-accuracy curve under the paper's convention, in which the mean follows its side."""
    curves = found.get("radius_curves", {})
    for curve in curves.get("curves", ()):
        if (curve["convention"], curve["edge"], curve["clip"]) == ("follow", "hard", False):
            return {"n": curves["n"], **curve}
    old: dict[str, Any] | None = found.get("attenuation")  # of studies of before there were two conventions
    return old


def _seed(planned: PlannedRun) -> int:
    return int(planned.name.rsplit("-seed", 1)[1])


def _json(path: Path) -> dict[str, Any] | None:
    """The values of a JSON file; None where it is not there."""
    if not path.exists():
        return None
    values = files.read_json(path)
    if not isinstance(values, dict):
        raise DataError(f"{path} is damaged.", "remove it and run the study's command again.")
    return values


def _kernels(folder: Path) -> tuple[Kernels, dict[str, int]]:
    path = folder / "kernels.npz"
    if not path.exists():
        return {}, {}
    try:
        kernels = files.read_arrays(path)
    except DataError as error:
        raise DataError(error.message, "remove it and run the study's command again.") from None
    return kernels, _json(folder / "kernel_sizes.json") or {}


def _examples(cells: CellSet, recipe: Recipe) -> dict[tuple[str, int], npt.NDArray[np.uint8]]:
    wanted = [("clean", 0)] + [c for c in cells.digests if c[1] in recipe.evaluation.severities]
    found = {cell: np.array(cells.images(*cell, EXAMPLES)) for cell in wanted if cells.is_there(*cell)}
    return {cell: _one_frame(images) for cell, images in found.items()}


def _one_frame(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Images, texts and sounds as they are; of clips (n, views, T, H, W, 3) the middle frame of the first view."""
    return images[:, 0, images.shape[2] // 2] if images.ndim == _CLIPS else images

"""A study from recipe to records: plan, make the cells, execute the runs, say what is left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from regrow import files, models
from regrow.data.spec import DataSpec
from regrow.errors import InputError, RunFailedError
from regrow.study.local import Event, default_jobs, execute_all
from regrow.study.plan import PlannedRun, describe, expand
from regrow.study.recipe import Recipe
from regrow.study.store import Store, get_state
from regrow.training.settings import Precision, RunSettings


class Console(Protocol):
    """How a study tells what it does."""

    def say(self, text: str) -> None:
        """One line of news."""

    def stage(self, text: str, done: int, total: int) -> None:
        """Progress of a stage before the runs."""

    def event(self, event: Event) -> None:
        """News of a run."""


@dataclass(frozen=True)
class Plan:
    """What a study will do.

    Attributes:
        recipe: the recipe.
        precision: its arithmetic.
        probe: how the arithmetic was chosen.
        runs: all runs.
        details: run name -> layers, updates, FLOPs ... (:func:`regrow.study.plan.describe`).
        step_s: seconds of a training step by the probe.
        estimate_s: estimated seconds of all training with ``jobs`` side by side; evaluation and start-up not counted.
        jobs: runs side by side.
    """

    recipe: Recipe
    precision: Precision
    probe: dict[str, Any]
    runs: list[PlannedRun]
    details: dict[str, dict[str, Any]]
    step_s: float
    estimate_s: float
    jobs: int


#: Passes over the training images from which a recipe may call itself of a tier.
TIER_EPOCHS = {"T1": 30.0, "T2": 60.0, "T3": 160.0}


def plan_study(
    recipe: Recipe,
    *,
    jobs: int | None = None,
    data_root: Path | None = None,
    download: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Plan a study: check that its data are there, time its arithmetic, describe every run. Makes no study folder.

    Args:
        recipe: what to do.
        jobs: runs side by side; None = one an accelerator or processor core.
        data_root: where data sets lie; None = the usual places.
        download: fetch a data set that is nowhere.
        progress: called with (bytes so far, bytes in all) of a download.

    Raises:
        InputError: names, values or data that cannot be used.
    """
    from regrow import data
    from regrow.study.making import wanted_corruptions
    from regrow.training.probe import choose_precision

    name, options = recipe.data.name, recipe.data.options
    if download:
        data.require(name, root=data_root, progress=progress)
    spec = data.spec(name, options, data_root)
    wanted_corruptions(recipe, spec)
    runs = expand(recipe, Precision())
    amounts = {
        (split, n): len(data.load(name, split, root=data_root, options=options, n=n, download=False))
        for split, n in [("test", recipe.data.test_images)] + [("train", r.settings.data.train_images) for r in runs]
    }
    details: dict[str, dict[str, Any]] = {}
    for run in runs:  # before the probe: impossible settings must be refused at once
        n_images = amounts["train", run.settings.data.train_images]
        _require_possible(run.settings, n_images, spec)
        details[run.name] = describe(run.settings, spec, n_images=n_images)
    epochs = min(detail["epochs"] for detail in details.values())
    if epochs < TIER_EPOCHS.get(recipe.tier, 0):
        raise InputError(
            f"tier {recipe.tier} needs {TIER_EPOCHS[recipe.tier]:g} epochs, this recipe trains for {epochs:.3g}.",
            "set tier: T0 or T0c, or train longer.",
        )
    with _one_thread_on_cpu():
        precision, probe = choose_precision(
            recipe.model, recipe.training, n_classes=spec.n_classes, image_size=spec.image_size, frames=spec.frames
        )
    runs = expand(recipe, precision)
    chosen = precision.dtype + (" channels_last" if precision.channels_last else "")
    step_s, jobs = probe["step_s"][chosen], jobs or default_jobs()
    total = sum(detail["steps"] for detail in details.values()) * step_s
    return Plan(recipe, precision, probe, runs, details, step_s, total / min(jobs, len(runs)), jobs)


def _require_possible(settings: RunSettings, n_images: int, spec: DataSpec) -> None:
    training, side = settings.training, spec.image_size
    if models.takes_clips(settings.model.name) not in (None, spec.frames is not None):
        has, takes = ("clips", "images") if spec.frames else ("images", "clips")
        raise InputError(
            f"{spec.name} holds {has}, {settings.model.name} takes {takes}.",
            "choose another network: `regrow list models`.",
        )
    if training.batch > n_images:
        raise InputError(
            f"training.batch is {training.batch}, but there are {n_images} training images.",
            "lower training.batch, or raise data.train_images.",
        )
    if training.augment.crop >= side:
        raise InputError(
            f"training.augment.crop is {training.augment.crop}, but images have {side} pixels.", "give a smaller crop."
        )


@contextlib.contextmanager
def _one_thread_on_cpu() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # as every run has it
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_study(
    recipe: Recipe,
    folder: Path,
    console: Console,
    *,
    jobs: int | None = None,
    data_root: Path | None = None,
    after: Callable[[Store], None] = lambda store: None,
) -> Store:
    """Run what is left of a study; the same call goes on after any interruption.

    Args:
        recipe: what to do; must be the one that made ``folder``, if it holds a study.
        folder: STUDY.
        console: where news go.
        jobs: runs side by side; None = one an accelerator or processor core.
        data_root: where data sets lie; None = the usual places.
        after: called when no run is left (also when some failed), e.g. to write the report.

    Raises:
        BusyError: another process works on the folder.
        RunFailedError: some runs failed; says which and how to go on.
    """
    from regrow.study.environment import describe_environment
    from regrow.study.execute import is_complete
    from regrow.study.intact import require_readable
    from regrow.study.making import make_cells

    store, plan = Store(folder), None
    if store.exists():
        store.require_recipe(recipe)
    else:  # before the folder is touched: what cannot be run leaves no trace
        store.require_free()
        console.say("Planning: checking data, timing fp32 and bf16 ...")
        plan = plan_study(
            recipe,
            jobs=jobs,
            data_root=data_root,
            download=True,
            progress=lambda done, total: console.stage("Download, bytes", done, total),
        )
        jobs = plan.jobs
        for line in require_readable(recipe, data_root, lambda done, n: console.stage("Files checked", done, n)):
            console.say(line)
    with files.owned(folder, "study"):
        if store.exists():
            store.require_recipe(recipe)
        elif plan is not None:
            store.create(recipe, plan.precision, plan.probe, describe_environment())
            console.say(f"Precision: {plan.probe['reason'] or plan.precision.dtype}.")
            for line in plan_lines(plan):
                console.say(line)
        files.sweep(folder)
        planned = store.prepare()
        cells = make_cells(
            recipe, store.cells, data_root, lambda done, total: console.stage("Test images", done, total)
        )
        left = [folder for run in planned if not is_complete(folder := store.run(run.name), cells)]
        if len(left) < len(planned):
            console.say(f"{len(planned) - len(left)} of {len(planned)} runs are done already.")
        failed = execute_all(left, jobs=jobs or default_jobs(), data_root=data_root, on_event=console.event)
        after(store)
    if failed:
        reasons = "; ".join(f"{name}: {get_state(store.run(name))['reason']}" for name in failed)
        raise RunFailedError(
            f"{len(failed)} of {len(planned)} runs failed ({reasons}).",
            "the same command tries them again and leaves the others as they are.",
        )
    return store


def plan_lines(plan: Plan) -> list[str]:
    """A plan as lines of text: runs, lengths, topology updates, layers that stay dense, time."""
    first = next(iter(plan.details.values()))
    lines = [
        f"{len(plan.runs)} runs of {first['steps']} steps ({first['epochs']:.3g} epochs), {plan.jobs} side by side; "
        f"training takes about {plan.estimate_s / 60:.1f} min here ({plan.step_s * 1000:.0f} ms a step)."
    ]
    seen: set[tuple[str, float]] = set()
    for run in plan.runs:
        key = (run.label, run.settings.sparsity)
        if key in seen:
            continue
        seen.add(key)
        detail = plan.details[run.name]
        dense = [row["name"] for row in detail["layers"] if row["kept_dense"]]
        text = f"  {run.label} at sparsity {run.settings.sparsity:g}: density {detail['density']:.4f}"
        if detail["updates"]:
            text += f", {detail['updates']} topology updates, {detail['interval']} steps apart, "
            rate = detail["expected_itop_rate"]
            text += "ITOP rate decided by gradients" if rate is None else f"expected ITOP rate {rate:.3f}"
        if dense and detail["density"] < 1:
            sparse = [row["name"] for row in detail["layers"] if not row["kept_dense"]]
            which = ", ".join(dense) if len(dense) <= len(sparse) else f"all but {', '.join(sparse)}"
            text += f"; {len(dense)} of {len(detail['layers'])} layers stay dense: {which}"
        text += f"; FLOPs forward {detail['flops']['forward_sparse'] / detail['flops']['forward_dense']:.2f} x,"
        lines.append(f"{text} training {detail['flops']['training_ratio']:.2f} x dense")
    return lines

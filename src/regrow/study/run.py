"""A study from recipe to records: plan, make the cells, execute the runs, say what is left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from regrow import data, files, models
from regrow.data.spec import NOUNS, DataSpec
from regrow.errors import DataError, InputError, RunFailedError
from regrow.models.user import named, named_in
from regrow.study import recipe as recipes
from regrow.study.arms import require_fitting
from regrow.study.budget import H100_FLOPS, budget
from regrow.study.cells import CellSet
from regrow.study.claims import check_claims, register
from regrow.study.engines.engine import Engine, Event, execute_all
from regrow.study.engines.local import LocalEngine, default_jobs
from regrow.study.flops import DataSize
from regrow.study.kinds import kind_of
from regrow.study.plan import PlannedRun, describe, expand
from regrow.study.recipe import Recipe
from regrow.study.store import Store, get_state
from regrow.study.whole import analyse_study
from regrow.training import inputs
from regrow.training.film import FILM
from regrow.training.length import EARLY
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
        size: of the whole training set.
        cost: operations and hours of an accelerator, see :func:`regrow.study.budget.budget`.
        missing: which data are not here, where the plan is made by their published facts.
    """

    recipe: Recipe
    precision: Precision
    probe: dict[str, Any]
    runs: list[PlannedRun]
    details: dict[str, dict[str, Any]]
    step_s: float
    estimate_s: float
    jobs: int
    size: DataSize
    cost: dict[str, float]
    missing: str = ""


#: Passes over the training images from which a recipe may call itself of a tier.
TIER_EPOCHS = {"T1": 30.0, "T2": 60.0, "T3": 160.0}


def plan_study(
    recipe: Recipe,
    *,
    jobs: int | None = None,
    data_root: Path | None = None,
    download: bool = False,
    nominal: bool = False,
    arithmetic: tuple[Precision, dict[str, Any]] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Plan a study: check that its data are there, time its arithmetic, describe every run. Makes no study folder.

    Args:
        recipe: what to do.
        jobs: runs side by side; None = one an accelerator or processor core.
        data_root: where data sets lie; None = the usual places.
        download: fetch a data set that is nowhere.
        nominal: where the data are not here, plan by their published facts.
        arithmetic: precision and probe of an earlier choice; None = timed now.
        progress: called with (bytes so far, bytes in all) of a download.

    Raises:
        InputError: names, values or data that cannot be used.
    """
    from regrow import data
    from regrow.study.making import wanted_corruptions
    from regrow.training.probe import choose_precision

    check_claims(recipe)
    name, options = recipe.data.name, recipe.data.options
    if download and data.is_downloaded(name):
        data.require(name, root=data_root, progress=progress)
    try:
        spec, missing = data.spec(name, options, data_root), ""
        n_test = len(
            data.load(name, "test", root=data_root, options=options, n=recipe.data.test_images, download=False)
        )
    except DataError as error:
        if not nominal:
            raise
        spec, missing = data.nominal_spec(name, options), error.message
        n_test = recipe.data.test_images or spec.splits["test"]
    n_cells = 1 + len(wanted_corruptions(recipe, spec)) * len(recipe.evaluation.severities)
    size = DataSize.of(spec)
    runs = expand(recipe, Precision(), size)
    subsets = {run.settings.data.train_images for run in runs}
    amounts = {n: n or spec.splits["train"] for n in subsets} if missing else _amounts(recipe, subsets, data_root)
    details: dict[str, dict[str, Any]] = {}
    known: dict[str, dict[str, Any]] = {}
    for run in runs:  # before the probe: impossible settings must be refused at once
        n_images = amounts[run.settings.data.train_images]
        _require_possible(run.settings, n_images, spec)
        kind = files.value_digest({**run.settings.identity(), "seeds": None})
        if kind not in known:  # a plan does not depend on seeds
            known[kind] = describe(run.settings, spec, n_images=n_images)
        details[run.name] = known[kind]
    by_name = {run.name: run.settings for run in runs}
    for run in runs:
        if run.source is not None:
            require_fitting(run.settings, details[run.name], by_name[run.source], details[run.source])
    as_written = [run for run in runs if not run.note and not run.settings.method.training] or runs
    epochs = min(  # of matched and shortened controls less may do; an epoch without its last part is one
        run.settings.training.epochs or details[run.name]["epochs"] for run in as_written
    )
    if epochs < TIER_EPOCHS.get(recipe.tier, 0):
        raise InputError(
            f"tier {recipe.tier} needs {TIER_EPOCHS[recipe.tier]:g} epochs, this recipe trains for {epochs:.3g}.",
            "set tier: T0 or T0c, or train longer.",
        )
    if arithmetic is None:
        with _one_thread_on_cpu():
            arithmetic = choose_precision(
                recipe.model,
                recipe.training,
                n_classes=spec.n_classes,
                image_size=spec.image_size,
                frames=spec.frames,
                modality=spec.modality,
                forward_flops=next(iter(details.values()))["flops"]["forward_dense"],
                also=[run.settings.model for run in runs],
                steps=max(detail["steps"] for detail in details.values()),
            )
    precision, probe = arithmetic
    runs = expand(recipe, precision, size)
    step_s, jobs = probe["step_s"][precision.words], jobs or default_jobs(recipe.resources)
    total = sum(detail["steps"] * detail["passes"] for detail in details.values()) * step_s
    cost = budget(runs, details, n_cells=n_cells, n_test=n_test * spec.views, trains=recipe.runs_of is None)
    return Plan(
        recipe, precision, probe, runs, details, step_s, total / min(jobs, len(runs)), jobs, size, cost, missing
    )


def _amounts(recipe: Recipe, subsets: set[int | None], data_root: Path | None) -> dict[int | None, int]:
    """How many training examples there are of each subset; refuses geometry that they cannot have."""
    from regrow import data

    found = {}
    for n in subsets:
        chosen = recipe.data
        examples = data.load(chosen.name, "train", root=data_root, options=chosen.options, n=n, download=False)
        inputs.check(examples, recipe.training.augment)
        found[n] = len(examples)
    return found


def _require_possible(settings: RunSettings, n_images: int, spec: DataSpec) -> None:
    training, side = settings.training, spec.image_size
    of = models.modality(settings.model.name)
    if of is not None and of != spec.modality:
        raise InputError(
            f"{spec.name} holds {spec.noun}, {settings.model.name} takes {NOUNS[of]}.",
            "choose another network: `regrow list models`.",
        )
    if training.supcon is not None and spec.modality != "image":
        raise InputError(
            f"training.supcon compares two views of an image, {spec.name} holds {spec.noun}.", "leave it out."
        )
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
    engine: Engine | None = None,
    data_root: Path | None = None,
    trained: Path | None = None,
    summaries: Path | None = None,
    only_prepare: bool = False,
    after: Callable[[Store], None] = lambda store: None,
) -> Store:
    """Run what is left of a study; the same call goes on after any interruption.

    Args:
        recipe: what to do; must be the one that made ``folder``, if it holds a study.
        folder: STUDY.
        console: where news go.
        jobs: runs side by side; None = as many as the machine holds.
        engine: where runs are executed; None = `jobs` processes of this machine.
        data_root: where data sets lie; None = the usual places.
        trained: of a recipe with ``runs_of``: the folder of that study, run first where it is not done; None = beside
            ``folder``, by its recipe's name.
        summaries: published results of an earlier stretch of this study, whose finished runs are taken as they are.
        only_prepare: stop before the runs, with their folders and the test images made.
        after: called when no run is left (also when some failed), e.g. to write the report.

    Raises:
        BusyError: another process works on the folder.
        RunFailedError: some runs failed; says which and how to go on.
        InputError: names, values, data or resources that cannot be had.
    """
    with named(*named_in(recipe.resolved())):
        return _run_study(
            recipe,
            folder,
            console,
            engine=engine or LocalEngine(jobs),
            data_root=data_root,
            trained=trained,
            summaries=summaries,
            only_prepare=only_prepare,
            after=after,
        )


def _run_study(
    recipe: Recipe,
    folder: Path,
    console: Console,
    *,
    engine: Engine,
    data_root: Path | None,
    trained: Path | None,
    summaries: Path | None,
    only_prepare: bool,
    after: Callable[[Store], None],
) -> Store:
    from regrow.study.making import make_cells
    from regrow.study.taken import published, take

    jobs = engine.slots(recipe.resources)
    store, plan, source = Store(folder), None, None
    earlier = None if summaries is None else published(summaries, recipe)
    if recipe.runs_of is not None:
        other = recipes.load(recipe.runs_of)
        place = trained or folder.parent / other.name
        console.say(f"The networks are those of {other.name}, in {place}.")
        source = run_study(
            other, place, console, engine=engine, data_root=data_root, only_prepare=only_prepare, after=after
        )
    if store.exists():
        store.require_recipe(recipe)
    else:
        plan = _planned(recipe, store, console, jobs, data_root, source or earlier)
    with files.owned(folder, "study"):
        if store.exists():
            store.require_recipe(recipe)
        elif plan is not None:
            _create(store, plan, data_root, earlier)
            for line in (f"Precision: {plan.probe['reason'] or plan.precision.dtype}.", *plan_lines(plan)):
                console.say(line)
        for part, deep in ((folder, False), (folder / "analysis", False), (store.cells, True)):  # runs have own owners
            files.sweep(part, deep=deep)
        planned = store.prepare()
        if source is not None:
            _take_all(source, store, planned)
        if earlier is not None:
            take(earlier, store, console.say)
        cells = make_cells(
            recipe, store.cells, data_root, lambda done, total: console.stage("Test images", done, total)
        )
        left = _left(store, planned, cells)
        console.say(f"{len(planned) - len(left)} of {len(planned)} runs are done already.")
        if only_prepare:
            console.say(f"{len(left)} runs are left in {store.runs}.")
            return store
        failed = execute_all(
            left,
            engine=engine,
            data_root=data_root,
            on_event=console.event,
            resources=recipe.resources,
            sources={run.name: run.source for run in planned if run.source is not None},
        )
        analyse_study(store, cells, planned)
        after(store)
    _require_done(store, failed, len(planned))
    return store


def _planned(
    recipe: Recipe, store: Store, console: Console, jobs: int, data_root: Path | None, like: Store | None
) -> Plan:
    """The plan of a new study, made before its folder is touched: what cannot be run leaves no trace.

    Args:
        recipe: of the study.
        store: where it will lie.
        console: where news go.
        jobs: runs side by side.
        data_root: where data sets lie.
        like: a study whose arithmetic it shares; None = timed now.
    """
    from regrow.study.intact import require_readable

    store.require_free()
    console.say("Planning: checking data, timing fp32 and bf16 ...")
    plan = plan_study(
        recipe,
        jobs=jobs,
        data_root=data_root,
        download=True,
        arithmetic=(like.precision(), like.load()["probe"]) if like else None,
        progress=lambda done, total: console.stage("Download, bytes", done, total),
    )
    for line in require_readable(recipe, data_root, lambda done, n: console.stage("Files checked", done, n)):
        console.say(line)
    return plan


def _create(store: Store, plan: Plan, data_root: Path | None, earlier: Store | None) -> None:
    """Begin the study: registered now, or as it was when its first stretch began."""
    from regrow.study.environment import describe_environment

    if earlier is not None:
        store.create_like(earlier)
        return
    recipe = plan.recipe
    spec = data.spec(recipe.data.name, recipe.data.options, data_root)
    registration = register(recipe, *kind_of(spec).registered(recipe.evaluation))
    store.create(recipe, plan.precision, plan.probe, describe_environment(), plan.size, registration)


def _left(store: Store, planned: Sequence[PlannedRun], cells: CellSet) -> list[Path]:
    """Folders of the runs that are neither done nor taken, and of those that they start from."""
    from regrow.study.execute import is_complete, require_named_network
    from regrow.study.taken import require_same_images, still_needed, taken_runs

    taken, recipe = taken_runs(store), store.recipe()
    require_same_images(taken, cells)
    used = {name for name in taken if store.uses_taken(name)}
    unfinished = [
        run.name for run in planned if run.name not in used and not is_complete(store.run(run.name), cells, recipe)
    ]
    wanted = {*unfinished, *still_needed(used, planned, unfinished)}
    left = [store.run(run.name) for run in planned if run.name in wanted]
    for folder in left:  # what `run.json` says of the network may have been put there by another than this study
        require_named_network(folder)
    return left


def _require_done(store: Store, failed: Sequence[str], planned: int) -> None:
    if failed:
        reasons = "; ".join(f"{name}: {get_state(store.run(name))['reason']}" for name in failed)
        raise RunFailedError(
            f"{len(failed)} of {planned} runs failed ({reasons}).",
            "the same command tries them again and leaves the others as they are.",
        )


#: What a run's training leaves, and what its tests and analyses start from.
TRAINED_FILES = ("plan.json", "metrics.jsonl", "history.jsonl", FILM, "result.json", "model.safetensors")


def _take_all(source: Store, store: Store, planned: Sequence[PlannedRun]) -> None:
    for run in planned:
        take_over(source.run(run.name), store.run(run.name))


def take_over(trained: Path, run: Path) -> None:
    """Take a trained network from a run of another study with the same settings; what is there already stays.

    Raises:
        DataError: the other run has other settings, or is not trained.
    """
    if (run / "model.safetensors").exists():
        return
    if not (trained / "model.safetensors").exists():
        raise DataError(f"{trained} holds no trained network.", "run that study to its end first.")
    if files.read_json(trained / "run.json")["fingerprint"] != files.read_json(run / "run.json")["fingerprint"]:
        raise DataError(f"{trained} was trained by other settings.", "give the folder of that very study.")
    early = [path.name for path in sorted(trained.glob(EARLY.format("*")))]
    for name in [*early, *TRAINED_FILES]:
        if (trained / name).exists():
            files.write_bytes(run / name, (trained / name).read_bytes())


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.0f} hours"


def plan_lines(plan: Plan) -> list[str]:
    """A plan as lines of text: runs, lengths, topology updates, layers that stay dense, time."""
    steps, epochs = ([detail[key] for detail in plan.details.values()] for key in ("steps", "epochs"))
    lines = [f"Planned by published facts: {plan.missing}"] if plan.missing else []
    lines.append(
        f"{len(plan.runs)} runs of {_span(steps)} steps ({_span(epochs)} epochs), {plan.jobs} side by side; "
        f"training takes about {_duration(plan.estimate_s)} here ({plan.step_s * 1000:.0f} ms a step)."
        if plan.recipe.runs_of is None
        else f"{len(plan.runs)} networks of {plan.recipe.runs_of} are tested; nothing is trained."
    )
    cost = plan.cost
    lines.append(
        f"{cost['training_flops']:.3g} FLOPs of training and {cost['evaluation_flops']:.3g} of tests: about "
        f"{cost['h100_hours']:.3g} hours on an H100 at {H100_FLOPS / 1e12:g} TFLOP/s, what ResNet-50 reaches in bf16."
    )
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
        text += f"; {run.note}" * bool(run.note)
        text += f"; FLOPs forward {detail['flops']['forward_sparse'] / detail['flops']['forward_dense']:.2f} x,"
        lines.append(f"{text} training {detail['flops']['training_ratio']:.2f} x dense")
    return lines


def _span(values: list[float]) -> str:
    low, high = min(values), max(values)
    texts = [f"{v}" if isinstance(v, int) else f"{v:.3g}" for v in (low, high)]
    return texts[0] if texts[0] == texts[1] else " to ".join(texts)

"""``regrow demo``, ``study``, ``run`` and ``report``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from regrow.cli import completion
from regrow.cli.console import StudyConsole, out, print_json
from regrow.cli.network import Network
from regrow.cli.track import Track, tracked
from regrow.errors import InputError, RunFailedError
from regrow.study import recipe as recipes
from regrow.study.engines import engine as engines
from regrow.study.engines.choice import ENGINES, opened
from regrow.study.engines.local import LocalEngine

DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Folder that holds the data sets; else REGROW_DATA, else the cache.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Runs side by side; default: one a core or GPU.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the study; default: runs/RECIPE-NAME.")]
EngineName = Annotated[
    str, typer.Option("--engine", help=f"Where runs are executed: {' or '.join(ENGINES)} (a Ray cluster).")
]
Address = Annotated[
    str | None,
    typer.Option("--address", help="With --engine ray: HOST:PORT of the cluster, or local to start one here."),
]

DEMO = "quick/cues"


def demo(out_dir: Out = None, jobs: Jobs = None) -> None:
    """Run the whole path in minutes, without any download: train, corrupt, evaluate, report."""
    _run(DEMO, out_dir, opened("local", jobs=jobs))


def study(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Path of a YAML file, or a name of `regrow list recipes`.", autocompletion=completion.recipes
        ),
    ],
    out_dir: Out = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; make no study.")] = False,
    jobs: Jobs = None,
    data_root: DataRoot = None,
    trained: Annotated[
        Path | None, typer.Option("--trained", help="Of a recipe with runs_of: folder of the study that it tests.")
    ] = None,
    summaries: Annotated[
        Path | None,
        typer.Option(help="Published results of an earlier stretch of this study; its finished runs are taken."),
    ] = None,
    engine: EngineName = "local",
    address: Address = None,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Make the folder and the test images, and stop before the runs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: the plan as JSON.")] = False,
    track: Track = None,
) -> None:
    """Run a recipe: every method x sparsity x seed, tested on every corruption. The same call goes on after a kill."""
    if as_json and not dry_run:
        raise InputError("--json is for --dry-run.", "add --dry-run, or read the study's files.")
    if dry_run:
        from regrow.study.run import plan_lines, plan_study

        planned = recipes.load(recipe)
        with opened(engine, jobs=jobs, address=address) as where:
            slots = where.slots(planned.resources)
        plan = plan_study(planned, jobs=slots, data_root=data_root, nominal=True)
        if as_json:
            print_json(
                {
                    "recipe": plan.recipe.resolved(),
                    "precision": plan.precision.model_dump(),
                    "probe": plan.probe,
                    "runs": {run.name: plan.details[run.name] for run in plan.runs},
                    "step_s": plan.step_s,
                    "training_estimate_s": plan.estimate_s,
                    "jobs": plan.jobs,
                    "cost": plan.cost,
                    "missing": plan.missing,
                }
            )
            return
        out.print("\n".join([f"Precision: {plan.probe['reason']}.", *plan_lines(plan)]), markup=False)
        return
    _run(
        recipe,
        out_dir,
        opened(engine, jobs=jobs, address=address),
        data_root=data_root,
        trained=trained,
        summaries=summaries,
        only_prepare=prepare,
        track=track or (),
    )


def _run(
    name: str,
    out_dir: Path | None,
    engine: AbstractContextManager[engines.Engine],
    *,
    data_root: Path | None = None,
    trained: Path | None = None,
    summaries: Path | None = None,
    only_prepare: bool = False,
    track: Sequence[str] = (),
) -> None:
    from regrow.models.user import named, named_in
    from regrow.report.write import finding_text
    from regrow.study.run import run_study

    recipe = recipes.load(name)
    folder = out_dir or Path("runs") / recipe.name
    pages: list[Path] = []
    with (
        named(*named_in(recipe.resolved())),
        engine as where,
        StudyConsole() as console,
        tracked(console, folder, track) as told,
    ):
        run_study(
            recipe,
            folder,
            told,
            engine=where,
            data_root=data_root,
            trained=trained,
            summaries=summaries,
            only_prepare=only_prepare,
            after=lambda store: pages.append(_written(store.folder)),
        )
        found = "" if only_prepare else finding_text(folder)
    if only_prepare:
        return
    out.print(f"\n{found}", markup=False)
    out.print(f"Report: {pages[-1]}", markup=False)


def _written(folder: Path) -> Path:
    """``verdict.json`` of a study with claims, and its page."""
    from regrow.report.write import write_report
    from regrow.study.store import Store
    from regrow.verdict.write import write_verdict

    has_claims = (Store(folder).registration() or {}).get("claims")
    return write_report(folder, write_verdict(folder) if has_claims else None)


def run(
    folder: Annotated[Path, typer.Argument(help="Folder of a run: STUDY/runs/NAME, made by `regrow study --prepare`.")],
    data_root: DataRoot = None,
    network: Network = None,
) -> None:
    """Execute one prepared run of a study, here: what each job of an array of a batch system calls."""
    from regrow.models.user import named
    from regrow.study.execute import require_named_network
    from regrow.study.store import get_state

    if not (folder / "run.json").is_file():
        raise InputError(
            f"{folder} holds no run (no run.json).", "`regrow study RECIPE --out DIR --prepare` makes them."
        )
    with named(*network or ()):
        require_named_network(folder)
    with StudyConsole() as console:
        failed = engines.execute_all([folder], engine=LocalEngine(1), data_root=data_root, on_event=console.event)
    if failed:
        raise RunFailedError(
            f"run {folder.name} failed: {get_state(folder)['reason']}", "the same command goes on where it stopped."
        )


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a study.")],
    publish: Annotated[
        Path | None,
        typer.Option(help="Also write recipe, tables, report and packed answers here, without checkpoints."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --publish replace what is there.")] = False,
    export: Annotated[
        Path | None, typer.Option(help="Also write every chart of the page here, as SVG, PNG and CSV.")
    ] = None,
    network: Network = None,
) -> None:
    """Make a study's page anew from its records."""
    from regrow.models.user import named
    from regrow.report.write import publish_results, write_charts, write_report

    with named(*network or ()):
        page = write_report(folder)
        out.print(f"Report: {page}", markup=False)
        if publish is not None:
            publish_results(folder, publish, force=force)
            out.print(f"Results: {publish}", markup=False)
        if export is not None:
            out.print(f"Charts: {len(write_charts(folder, export))} files in {export}", markup=False)

"""``regrow demo``, ``study`` and ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regrow.cli import completion
from regrow.cli.console import StudyConsole, out, print_json
from regrow.errors import InputError
from regrow.study import recipe as recipes

DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Folder that holds the data sets; else REGROW_DATA, else the cache.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Runs side by side; default: one a core or GPU.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the study; default: runs/RECIPE-NAME.")]

DEMO = "quick/cues"


def demo(out_dir: Out = None, jobs: Jobs = None) -> None:
    """Run the whole path in minutes, without any download: train, corrupt, evaluate, report."""
    _run(DEMO, out_dir, jobs, None)


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
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: the plan as JSON.")] = False,
) -> None:
    """Run a recipe: every method x sparsity x seed, tested on every corruption. The same call goes on after a kill."""
    if as_json and not dry_run:
        raise InputError("--json is for --dry-run.", "add --dry-run, or read the study's files.")
    if dry_run:
        from regrow.study.run import plan_lines, plan_study

        plan = plan_study(recipes.load(recipe), jobs=jobs, data_root=data_root, nominal=True)
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
    _run(recipe, out_dir, jobs, data_root, trained)


def _run(
    name: str, out_dir: Path | None, jobs: int | None, data_root: Path | None, trained: Path | None = None
) -> None:
    from regrow.report.write import finding_text, write_report
    from regrow.study.run import run_study

    recipe = recipes.load(name)
    folder = out_dir or Path("runs") / recipe.name
    pages: list[Path] = []
    with StudyConsole() as console:
        run_study(
            recipe,
            folder,
            console,
            jobs=jobs,
            data_root=data_root,
            trained=trained,
            after=lambda store: pages.append(write_report(store.folder)),
        )
    out.print(f"\n{finding_text(folder)}", markup=False)
    out.print(f"Report: {pages[-1]}", markup=False)


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a study.")],
    publish: Annotated[
        Path | None,
        typer.Option(help="Also write recipe, tables, report and packed answers here, without checkpoints."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let --publish replace what is there.")] = False,
) -> None:
    """Make a study's page anew from its records."""
    from regrow.report.write import publish_results, write_report

    page = write_report(folder)
    out.print(f"Report: {page}", markup=False)
    if publish is not None:
        publish_results(folder, publish, force=force)
        out.print(f"Results: {publish}", markup=False)

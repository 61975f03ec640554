"""``regrow data``: what is there, and how to get the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from regrow.cli.console import out, print_json, print_table
from regrow.cli.study import DataRoot
from regrow.errors import DataError, InputError

app = typer.Typer(help="What data there is, and how to get the rest.", no_args_is_help=True)


@app.command("list", epilog="Example:  regrow data list")
def list_data(
    data_root: DataRoot = None, as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False
) -> None:
    """List the data sets and where each was found."""
    from regrow import data

    rows = data.status(root=data_root)
    if as_json:
        print_json(rows)
    else:
        print_sets(rows)


def print_sets(rows: Sequence[Mapping[str, object]]) -> None:
    """The data sets as a table, and below it how to get those that are missing."""
    columns = ("name", "classes", "pixels", "splits", "where")
    print_table("data", columns, [[row[c] or "not found" for c in columns] for row in rows])
    for row in rows:
        if row["note"]:
            out.print(f"{row['name']}: {row['note']}", markup=False)


@app.command("get", epilog="Example:  regrow data get cifar10")
def get(
    name: Annotated[str, typer.Argument(help="Name of `regrow list data`, or frost: the frost photographs.")],
    data_root: DataRoot = None,
) -> None:
    """Download a data set from its official address, check its digest and unpack it."""
    from regrow import data
    from regrow.data import marker

    if name == "frost":
        from regrow.data import frost

        out.print(f"frost: {frost.fetch(data.find_root(data_root)[0])}", markup=False)
        return
    with Progress("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=out) as bar:
        task = bar.add_task(name, total=None)
        where = data.require(
            name, root=data_root, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    if marker.read(where) is not None:
        raise DataError(f"{where} is generated: it is not {name}.", "remove it or move it away, then again.")
    out.print(f"{name}: {where}", markup=False)


@app.command("generate", epilog="Example:  regrow data generate cifar10 ucf101 --root generated")
def generate(
    root: Annotated[Path, typer.Option("--root", help="Data root to write below; made when absent.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="cifar10, cifar100, tiny_imagenet, imagenet_samples, ucf101, video, clips; by default all.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes, of one set whose classes are a choice.")
    ] = None,
    train: Annotated[int | None, typer.Option(help="Training images in all, of one set that has them.")] = None,
    test: Annotated[int | None, typer.Option(help="Test images in all, likewise.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other images of the same classes.")] = 0,
) -> None:
    """Make pictures and clips in official layouts, to try recipes where real data are not at hand; marked as such."""
    from regrow.data import generated

    chosen = names or generated.possible()
    for name in chosen:
        generated.layout_of(name)  # a wrong name is refused before anything is written
    if len(chosen) > 1 and any(amount is not None for amount in (classes, train, test)):
        raise InputError("--classes, --train and --test are for one set.", "name one set, or leave them out.")
    for name in chosen:
        place = generated.write(name, root, classes=classes, train=train, test=test, seed=seed)
        out.print(f"{name}: {place} (generated)", markup=False)
    if left_out := [name for name in generated.names() if not names and name not in chosen]:
        out.print(
            f"{', '.join(left_out)}: left out, coded video needs PyAV (pip install 'regrow[video]')", markup=False
        )

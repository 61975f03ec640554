"""``regrow data``: what is there, and how to get the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from regrow.cli.console import out, print_json, print_table
from regrow.cli.study import DataRoot

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

    if name == "frost":
        from regrow.data import frost

        out.print(f"frost: {frost.fetch(data.find_root(data_root)[0])}", markup=False)
        return
    with Progress("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=out) as bar:
        task = bar.add_task(name, total=None)
        where = data.require(
            name, root=data_root, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    out.print(f"{name}: {where}", markup=False)

"""``regrow data``: what is there, and how to get the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from regrow.cli import completion
from regrow.cli.console import out, print_json, print_table
from regrow.cli.network import parse_options
from regrow.cli.study import DataRoot
from regrow.errors import DataError, InputError

if TYPE_CHECKING:
    from regrow.data.summary import Summary

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
    empty = {"where": "not found"}
    print_table("data", columns, [[row[c] or empty.get(c, "by its files") for c in columns] for row in rows])
    for row in rows:
        if row["note"]:
            out.print(f"{row['name']}: {row['note']}", markup=False)


#: Classes that are shown one by one.
_SHOWN = 24


@app.command("show", epilog="Example:  regrow data show image_folder --option path=photos --option size=64")
def show(
    name: Annotated[str, typer.Argument(help="Name of `regrow list data`.", autocompletion=completion.data_sets)],
    option: Annotated[list[str] | None, typer.Option(help="Of the data set: NAME=VALUE; may be repeated.")] = None,
    scan: Annotated[
        bool, typer.Option("--scan/--no-scan", help="Decode all files to see which cannot be read.")
    ] = True,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the archives of ImageNet with the official checksums.")
    ] = False,
    data_root: DataRoot = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show what lies in a data set: classes, counts, size, mean and spread, files that cannot be read.

    With --verify, exit code 1 says that an archive is not as published.
    """
    from regrow import data
    from regrow.data import summary

    options = parse_options(option or [], "--option")
    digests = summary.verify(name, options, data.find_root(data_root)) if verify else {}
    with Progress("{task.description}", BarColumn(), console=out, disable=as_json or not out.is_terminal) as bar:
        bar.add_task(f"looking at {name}", total=None)
        found = summary.summarise(name, options, data_root, scan=scan)
    if as_json:
        print_json(_facts(found, digests))
    else:
        _print(found, digests)
    if not all(digests.values()):
        raise typer.Exit(1)


def _facts(found: Summary, digests: Mapping[str, bool]) -> dict[str, object]:
    spec, bad = found.spec, found.unreadable
    return {
        "name": spec.name,
        "pixels": spec.image_size,
        "frames": spec.frames,
        "splits": dict(spec.splits),
        "classes": found.counts,
        "mean": found.mean,
        "std": found.std,
        "sampled": found.sampled,
        "normalisation": {"mean": spec.mean, "std": spec.std},
        "unreadable": None if bad is None else [{"split": s, "file": f, "reason": r} for s, f, r in bad],
        "archives": dict(digests),
        "caveat": spec.caveat,
    }


def _print(found: Summary, digests: Mapping[str, bool]) -> None:
    spec, splits = found.spec, list(found.spec.splits)
    what = spec.noun if spec.frames is None else f"videos ({spec.frames} frames; clips at test: {spec.views})"
    sizes = ", ".join(f"{split} {n}" for split, n in spec.splits.items())
    rows = [[label, *(counts[split] for split in splits)] for label, counts in found.counts.items()]
    print_table(
        f"{spec.name}: {spec.n_classes} classes, {spec.image_size} {spec.unit}, {what}: {sizes}",
        ["class", *splits],
        rows[:_SHOWN],
    )
    if len(rows) > _SHOWN:
        by_split = {split: [counts[split] for counts in found.counts.values()] for split in splits}
        spread = [f"{min(n)} to {max(n)} in {split}" for split, n in by_split.items()]
        out.print(f"and {len(rows) - _SHOWN} more classes; {spec.noun} of a class: {', '.join(spread)}", markup=False)
    if spec.modality == "image":
        _print_normalisation(found)
    if found.unreadable is not None and not found.unreadable:
        out.print("all files can be read", markup=False)
    for split, file, reason in found.unreadable or []:
        out.print(f"cannot be read ({split}): {file}: {reason}", markup=False)
    for archive, is_official in digests.items():
        out.print(f"{archive}: {'as published' if is_official else 'NOT as published'}", markup=False)
    if spec.caveat:
        out.print(f"note: {spec.caveat}", markup=False)


def _print_normalisation(found: Summary) -> None:
    spec = found.spec
    mean, std, own_mean, own_std = (
        ", ".join(f"{value:.4f}" for value in values) for values in (found.mean, found.std, spec.mean, spec.std)
    )
    kind = "training images" if spec.frames is None else "training videos"
    out.print(f"mean {mean}; std {std}: over {found.sampled} {kind}, as they are tested", markup=False)
    out.print(f"networks get them normalised with mean {own_mean}; std {own_std}", markup=False)


@app.command("get", epilog="Example:  regrow data get cifar10")
def get(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of `regrow list data`, or frost: the frost photographs.", autocompletion=completion.data_sets
        ),
    ],
    data_root: DataRoot = None,
) -> None:
    """Download a data set from its official address, check its digest and unpack it."""
    from regrow import data
    from regrow.data import marker

    if name == "frost":
        from regrow.data import frost

        out.print(f"frost: {frost.fetch(data.find_root(data_root)[0])}", markup=False)
        return
    data.require_official(name)
    with Progress("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=out) as bar:

        def progress(done: int, total: int) -> None:
            if not bar.tasks:  # the first bytes are here: nothing is shown before a refusal
                bar.add_task(name)
            bar.update(bar.tasks[0].id, completed=done, total=total)

        where = data.require(name, root=data_root, progress=progress)
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

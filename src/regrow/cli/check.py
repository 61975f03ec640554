"""``regrow check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from regrow.cli import completion
from regrow.cli.console import out, print_json
from regrow.cli.network import Given, Mean, Model, ModelOption, Network, OnError, Size, Std, Weights, check_on_error


def check(
    model: Model,
    images: Annotated[Path, typer.Option(help="Folder with one sub-folder of images for each class.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the page and its numbers.")] = Path("runs/check"),
    weights: Weights = None,
    size: Size = None,
    model_option: ModelOption = None,
    mean: Mean = "",
    std: Std = "",
    network: Network = None,
    on_error: OnError = "raise",
    corruptions: Annotated[
        str, typer.Option(help="Names, by commas; default: all.", autocompletion=completion.corruptions)
    ] = "",
    severities: Annotated[str, typer.Option(help="Severities, by commas.")] = "1,2,3,4,5",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many images, spread over the classes.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random corruptions.")] = 0,
    mode: Annotated[str, typer.Option(help="exact: the published arithmetic; fast: within one grey level.")] = "fast",
    stored: Annotated[
        bool, typer.Option("--stored", help="Add the JPEG round trip (quality 85) of ImageNet-C's files.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the page of an earlier check.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers for machines.")] = False,
) -> None:
    """Measure how one trained network stands up to the corruptions, on your own images, and make a page of it."""
    from regrow.cli.corrupt import parse_severities
    from regrow.errors import InputError
    from regrow.report.write import write_check
    from regrow.study import check as checking

    check_on_error(on_error)
    if (out_dir / "report.html").exists() and not force:
        raise InputError(f"{out_dir} holds the page of an earlier check.", "choose another --out, or add --force.")
    names = [n.strip() for n in corruptions.split(",") if n.strip()] or None
    checked = Given(model, weights, size, model_option, mean, std, network).open(
        n_classes=checking.count_classes(images)
    )
    with Progress(console=out, disable=not out.is_terminal) as bar:
        task = bar.add_task("checking", total=None)
        result = checking.check(
            checked,
            images,
            names=names,
            severities=tuple(parse_severities(severities)),
            limit=limit,
            seed=seed,
            mode=mode,
            stored=stored,
            on_error=on_error,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    page = write_check(result, out_dir)
    if as_json:
        print_json(checking.as_json(result))
        return
    for line in result.skipped:
        out.print(f"skipped: {line}", markup=False)
    for note in result.notes:
        out.print(f"note: {note}", markup=False)
    clean = result.accuracy["clean", 0]
    corrupted = [value for (_, severity), value in result.accuracy.items() if severity]
    out.print(
        f"{result.n_images} images: clean {clean:.1%}, mean over {len(corrupted)} corrupted cells "
        f"{sum(corrupted) / len(corrupted):.1%}",
        markup=False,
    )
    out.print(f"Report: {page}", markup=False)

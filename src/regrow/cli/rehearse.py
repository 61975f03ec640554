"""``regrow rehearse``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from regrow.cli import completion
from regrow.cli.console import out, print_json, print_table
from regrow.cli.study import DataRoot
from regrow.study import recipe as recipes


def rehearse(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Path of a YAML file, or a name of `regrow list recipes`.", autocompletion=completion.recipes
        ),
    ],
    micro_batch: Annotated[
        int | None,
        typer.Option("--micro-batch", min=1, help="Examples at once; default: 16 images, 2 clips."),
    ] = None,
    parts: Annotated[
        int | None, typer.Option("--parts", min=1, help="At most so many micro-batches; default: the whole batch.")
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option("--samples", help="Folder of pictures or videos to fill the batch with; else the recipe's data."),
    ] = None,
    data_root: DataRoot = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Try one optimiser step and one topology update of a recipe at full size: does it fit, how long does it take?"""
    from regrow.study.rehearsal import rehearse as make

    done = make(recipes.load(recipe), micro_batch=micro_batch, parts=parts, samples=samples, data_root=data_root)
    if as_json:
        print_json(dataclasses.asdict(done))
        return
    rows = [
        ("run", done.run),
        ("samples", done.samples),
        ("batch", f"{done.done} of {done.batch}, {done.micro_batch} at once"),
        ("topology updates", f"{done.updates}, masks {'exact' if done.exact else 'NOT as planned'}"),
        ("loss", f"{done.loss:.3f}"),
        ("time", f"{done.seconds:.1f} s on {done.threads} threads"),
        ("peak memory", f"{done.peak_bytes / 2**30:.2f} GiB"),
    ]
    print_table("", ("", ""), rows)
    out.print("")

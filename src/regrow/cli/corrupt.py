"""``regrow corrupt``: joins data sets and corruptions for the writer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from regrow.cli.console import out, print_json, print_table
from regrow.cli.study import DataRoot
from regrow.errors import InputError


def corrupt(
    source: Annotated[str, typer.Argument(help="Data set: cifar10, cifar100, cues.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the corrupted set.")],
    split: Annotated[str, typer.Option(help="Which images.")] = "test",
    corruptions: Annotated[str, typer.Option(help="Names, by commas; default: all.")] = "",
    severities: Annotated[str, typer.Option(help="Severities, by commas.")] = "1,2,3,4,5",
    mode: Annotated[str, typer.Option(help="exact: the published arithmetic. fast is not there yet.")] = "exact",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random corruptions.")] = 0,
    data_root: DataRoot = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only compare a written set with the official checksums.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a set of another source or seed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Write a corrupted test set in the layout of CIFAR-10-C: one .npy a corruption, severities one after the other."""
    from regrow import corruptions as registry
    from regrow import data
    from regrow.corruptions import writer

    if not verify:
        if mode != "exact":
            raise InputError(f"mode {mode!r} is not there yet.", "leave --mode out: exact is the published arithmetic.")
        names = [n.strip() for n in corruptions.split(",") if n.strip()] or registry.names()
        levels = parse_severities(severities)
        for name in names:
            registry.get(name)
        with Progress(console=out, disable=not out.is_terminal) as bar:
            fetching = bar.add_task(source, total=None)
            images = data.load(
                source,
                split,
                root=data_root,
                progress=lambda done, total: bar.update(fetching, completed=done, total=total),
            )
            bar.remove_task(fetching)
            task = bar.add_task("corrupting", total=len(names) * len(levels))
            writer.write_cifar_style(
                images.images,
                images.labels,
                out_dir,
                names,
                levels,
                source=source if split == "test" else f"{source}/{split}",  # only test sets were published
                seed=seed,
                force=force,
                progress=lambda done, total, name: bar.update(task, completed=done, total=total, description=name),
            )
    rows = writer.verify(out_dir)
    if as_json:
        print_json([row._asdict() for row in rows])
    else:
        print_table(str(out_dir), ["name", "md5", "status"], [[row.name, row.md5, row.status] for row in rows])


def parse_severities(text: str) -> list[int]:
    """Severities from a list by commas; refuses what is not 1 to 5."""
    try:
        levels = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise InputError(f"--severities {text!r} is no list of numbers.", "e.g. --severities 1,3,5") from None
    for level in levels:
        if not 1 <= level <= 5:
            raise InputError(f"severity must be in 1 to 5, got {level}.", "e.g. --severities 1,3,5")
    return levels

"""``regrow bench``: how fast this machine is at a part of the work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regrow.cli import completion
from regrow.cli.console import StudyConsole, out, print_json, print_table
from regrow.cli.network import parse_options
from regrow.cli.study import DataRoot
from regrow.errors import InputError
from regrow.study import recipe as recipes

if TYPE_CHECKING:
    from regrow.training.input_speed import InputSpeed

app = typer.Typer(help="Measure how fast this machine is at a part of the work.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group also while it has one command."""


@app.command(
    "data", epilog="Example:  regrow bench data imagenet --option path=my_imagenet --model timm:resnet50 --batch 64"
)
def bench_data(
    name: Annotated[
        str | None,
        typer.Argument(help="Data set of `regrow list data`; or give --recipe.", autocompletion=completion.data_sets),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="NAME=VALUE of the data set, as in a recipe; repeatable.")
    ] = None,
    augment: Annotated[
        list[str] | None,
        typer.Option("--augment", help="NAME=VALUE of training.augment; default of pictures: resized_crop=[0.08,1]."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Network of `regrow list models`; default: resnet18, of clips resnet3d18.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Examples a batch; default: 64, of clips 8.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Path or name of a recipe, in place of all of the above.", autocompletion=completion.recipes),
    ] = None,
    workers: Annotated[str, typer.Option(help="Numbers of worker processes, by commas.")] = "0,1,2",
    packed: Annotated[int | None, typer.Option(min=1, help="Shorter side of the pack in pixels.")] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="Of each measurement, about.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each case, in turn; the median counts.")] = 3,
    data_root: DataRoot = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Input against network: bare decoding, the training loader, a packed copy, and what training can use."""
    import torch

    from regrow import data
    from regrow.study.plan import expand
    from regrow.training.input_speed import measure
    from regrow.training.settings import Precision

    numbers = _numbers(workers)
    if recipe is not None:
        if name is not None or option or augment or model is not None or batch is not None:
            raise InputError("--recipe says data, network and batch.", "leave out the name and the other settings.")
        chosen = recipes.load(recipe)
    elif name is not None:
        chosen = _as_recipe(
            name,
            parse_options(option or (), "--option"),
            parse_options(augment or (), "--augment"),
            model,
            batch,
            data_root,
        )
    else:
        raise InputError("no data set is named.", "give a name of `regrow list data`, or --recipe.")
    settings = expand(chosen, Precision())[0].settings
    asked = settings.data
    examples = data.load(asked.name, "train", root=data_root, options=asked.options, n=asked.train_images)
    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # as every run has it
    with StudyConsole() as console:
        speed = measure(
            examples,
            settings,
            workers=numbers,
            packed_side=packed,
            seconds=seconds,
            rounds=rounds,
            progress=(lambda done, total: None) if as_json else (lambda d, n: console.stage("Measurements", d, n)),
        )
    if as_json:
        from regrow.study.environment import describe_environment

        print_json({"environment": describe_environment(), "data": asked.model_dump(mode="json"), **speed.as_json()})
    else:
        _print(speed, settings.model.name)


def _print(speed: InputSpeed, model: str) -> None:
    rows: list[list[object]] = [
        [f"bare decode loop, {_many(n, 'process', 'es')}", f"{rate:.1f}", "", ""] for n, rate in speed.decode.items()
    ]
    for w, rate in speed.loader.items():
        share, spent = speed.share_of_decode(w), speed.overhead_us(w)
        beside = ["", ""] if share is None or spent is None else [f"{share:.0%}", f"{spent:.0f}"]
        rows.append([f"training loader, {_many(w, 'worker', 's')}", f"{rate:.1f}", *beside])
    for w, rate in speed.packed.items():
        rows.append([f"packed at {speed.packed_side} px, {_many(w, 'worker', 's')}", f"{rate:.1f}", "", ""])
    rows.append([f"training {model}, {speed.precision}", f"{speed.training:.1f}", "", ""])
    columns = (
        "",
        f"{speed.unit}/s",
        "of bare decoding",
        f"overhead, µs a{'n' * (speed.unit == 'images')} {speed.unit[:-1]}",
    )
    print_table("", columns, rows)
    out.print(f"{speed.verdict()} ({speed.examples} {speed.unit} in memory's cache, batches of {speed.batch}.)")


def _many(n: int, what: str, ending: str) -> str:
    return f"{n} {what}{ending * (n != 1)}"


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() for part in parts):
        raise InputError(f"--workers is {text!r}, not whole numbers by commas.", "e.g. --workers 0,1,2,4.")
    return [int(part) for part in parts]


def _as_recipe(
    name: str,
    options: dict[str, Any],
    augment: dict[str, Any],
    model: str | None,
    batch: int | None,
    data_root: Path | None,
) -> recipes.Recipe:
    """The recipe that the command line stands for."""
    from regrow import data

    has_clips = data.spec(name, options, data_root).frames is not None
    in_files = "on_error" in data.spec(name, options, data_root).options
    if in_files and not has_clips:
        augment = {"resized_crop": [0.08, 1.0], **augment}
    values = {
        "schema": recipes.SCHEMA,
        "name": "bench",
        "data": {"name": name, "options": options},
        "model": {"name": model or ("resnet3d18" if has_clips else "resnet18")},
        "methods": ["dense"],
        "training": {"steps": 1, "batch": batch or (8 if has_clips else 64), "augment": augment},
    }
    return recipes.parse(values, "of the command line")

"""All commands of ``regrow``."""

from __future__ import annotations

from typing import Annotated

import typer

from regrow import __version__
from regrow.cli import (
    bench,
    check,
    compare,
    corrupt,
    data,
    doctor,
    evaluate,
    export,
    listing,
    rehearse,
    study,
    track,
    verdict,
    watch,
)

app = typer.Typer(
    name="regrow",
    help="Train networks densely and with dynamic sparse training, and measure which stands up to image corruptions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Start with:  regrow demo",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"regrow {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Commands share nothing but this."""


app.command("demo", epilog="Example:  regrow demo")(study.demo)
app.command("study", epilog="Example:  regrow study quick/cifar10 --out runs/cifar10")(study.study)
app.command("run", hidden=True, epilog="Example:  regrow run runs/cifar10/runs/dense-s0-seed0")(study.run)
app.command("rehearse", epilog="Example:  regrow rehearse paper/s4 --micro-batch 16")(rehearse.rehearse)
app.command("watch", epilog="Example:  regrow watch runs/demo")(watch.watch)
app.command("track", epilog="Example:  regrow track runs/demo --to tensorboard")(track.track)
app.command("verdict", epilog="Example:  regrow verdict runs/quick-cifar10")(verdict.verdict)
app.command("report", epilog="Example:  regrow report runs/demo --publish results/demo")(study.report)
app.command("compare", epilog="Example:  regrow compare results/quick-cifar10 runs/mine")(compare.compare)
app.command("check", epilog="Example:  regrow check --model runs/demo/runs/set-s0.5-seed0 --images photos")(check.check)
app.command("corrupt", epilog="Example:  regrow corrupt cifar10 --out CIFAR-10-C --corruptions brightness,contrast")(
    corrupt.corrupt
)
app.command("evaluate", epilog="Example:  regrow evaluate cifar10 --model runs/mine/runs/dense-s0-seed0")(
    evaluate.evaluate
)
app.command("export", epilog="Example:  regrow export runs/demo/runs/set-s0.5-seed0 --out exported --format all")(
    export.export
)
app.command("list", epilog="Example:  regrow list corruptions")(listing.list_names)
app.command("doctor", epilog="Example:  regrow doctor --json")(doctor.doctor)
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")

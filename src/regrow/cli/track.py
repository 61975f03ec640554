"""``regrow track``, and the option ``--track`` of ``regrow study``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regrow.cli.console import StudyConsole, out
from regrow.cli.network import Network
from regrow.study.engines.engine import Event

if TYPE_CHECKING:
    from regrow.tracking.sending import Following

Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track", help="Also send the runs to tensorboard[:FOLDER] or mlflow:ADDRESS as they go; may be repeated."
    ),
]


def track(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study, or of its published summaries.")],
    to: Annotated[list[str], typer.Option("--to", help="tensorboard[:FOLDER] or mlflow:ADDRESS; may be repeated.")],
    network: Network = None,
) -> None:
    """Send parameters, metrics, scores and files of a study's runs to TensorBoard or MLflow; again is an update."""
    from regrow.models.user import named
    from regrow.tracking.sending import send_study
    from regrow.tracking.target import parse_target

    with named(*network or ()):
        for target in [parse_target(text) for text in to]:
            out.print(f"{send_study(folder, target)} runs sent to {target}", markup=False)


@contextlib.contextmanager
def tracked(console: StudyConsole, folder: Path, targets: Sequence[str]) -> Iterator[StudyConsole | TrackedConsole]:
    """The console of a study that is tracked as well, if there is anything to track it with.

    Args:
        console: where news of the study go.
        folder: the study; need not be there yet.
        targets: as they are given on the command line.

    Raises:
        InputError: an unknown tracker, or its library is not installed.
    """
    if not targets:
        yield console
        return
    from regrow.errors import RunFailedError
    from regrow.tracking.sending import BestEffort, Following, open_tracker
    from regrow.tracking.target import parse_target

    chosen = [parse_target(text) for text in targets]
    trackers = [BestEffort(open_tracker(target, folder), target, console.say, folder) for target in chosen]
    following = Following(folder, trackers, console.say)
    try:
        yield TrackedConsole(console, following)
    except RunFailedError:
        following.finish()
        raise
    except BaseException:
        following.abandon()
        raise
    following.finish()


class TrackedConsole:
    """A console of which a tracker hears too.

    Args:
        console: where news go.
        following: is told which runs begin and end.
    """

    def __init__(self, console: StudyConsole, following: Following) -> None:
        self._console, self._following = console, following
        self.say, self.stage = console.say, console.stage

    def event(self, event: Event) -> None:
        """News of a run."""
        self._console.event(event)
        if event.kind != "progress":
            self._following.tell(event.run, event.kind)

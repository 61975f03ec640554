"""``regrow watch``: a study's runs, live, from another terminal or another machine on the same folder."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from regrow.cli.console import QUIET_SECONDS, out, print_json
from regrow.cli.network import Network
from regrow.errors import RegrowError

if TYPE_CHECKING:
    from regrow.study.snapshots import RunSnapshot, StudySnapshot

#: Runs that are shown where there is no terminal with a height of its own.
USUAL_ROWS = 40
#: Columns of the table where there is no terminal with a width of its own.
WIDTH = 160
#: Seconds without any change in a run's files after which that is said: a long analysis is as quiet as a killed run.
QUIET_S = 120.0
_COLOURS = {"running": "cyan", "done": "green", "failed": "red", "damaged": "red", "planned": "dim"}
#: Order in which the states are counted.
_ORDER = ("done", "running", "planned", "failed", "damaged")
#: Order in which runs are shown where there is no room for all.
_FIRST = ("running", "failed", "damaged")


def watch(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of a study.")],
    once: Annotated[bool, typer.Option("--once", help="Print how it stands now, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same once, as JSON.")] = False,
    pages: Annotated[
        bool, typer.Option("--report", help="Also make the report page anew as runs end; takes a core for seconds.")
    ] = False,
    every: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between two looks.")] = 2.0,
    network: Network = None,
) -> None:
    """Watch a study that runs elsewhere: runs, losses, rates, failures, time left. Ends with it, or with Ctrl-C."""
    from regrow.study.watching import Watcher

    watcher = Watcher(folder)
    if as_json:
        print_json(watcher.look().as_json())
        return
    if once:
        console = out if out.is_terminal else Console(highlight=False, soft_wrap=True, width=WIDTH)
        console.print(picture(watcher.look(), console.width))
        return
    page = Pages(lambda: _write(folder, network or ())) if pages else None
    try:
        with _shown(lambda: page.problem if page else "") as show:

            def each(study: StudySnapshot) -> None:
                if page is not None:
                    page.tell(_n_ended(study))
                show(study)

            last = follow(watcher.look, each, lambda: time.sleep(every))
        if page is not None:
            page.finish(_n_ended(last))
    except KeyboardInterrupt:  # it is how one leaves; the study goes on
        return


def follow(
    look: Callable[[], StudySnapshot], show: Callable[[StudySnapshot], None], wait: Callable[[], None]
) -> StudySnapshot:
    """Show a study again and again until none of its runs is left; returns how it ended."""
    while True:
        study = look()
        show(study)
        if study.ended:
            return study
        wait()


@contextlib.contextmanager
def _shown(problem: Callable[[], str]) -> Iterator[Callable[[StudySnapshot], None]]:
    """What shows a study: a picture that is drawn over in a terminal, else lines of news."""
    if not out.is_terminal:
        yield Lines(lambda text: out.print(text, markup=False))
        return
    with Live(console=out, auto_refresh=False) as live:

        def show(study: StudySnapshot) -> None:
            said = [Text(problem(), no_wrap=True, overflow="ellipsis")] if problem() else []
            live.update(Group(*said, picture(study, out.width, out.height - len(said))), refresh=True)

        yield show


class Lines:
    """A study as lines of news, where there is no terminal.

    Args:
        say: takes a line.
        clock: seconds; of the time between two lines without news.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._states: dict[str, str] = {}
        self._said: float | None = None

    def __call__(self, study: StudySnapshot) -> None:
        """Say which runs changed their state, and every now and then how the study stands."""
        news = [run for run in study.runs if self._states.get(run.name, "planned") != run.state]
        for run in news:
            self._say(f"{run.state:8} {run.name}{f': {run.reason}' if run.reason else ''}")
        self._states = {run.name: run.state for run in study.runs}
        if news or self._said is None or study.ended or self._clock() - self._said > QUIET_SECONDS:
            self._said = self._clock()
            self._say(overall(study))


class Pages:
    """Makes a study's page anew as runs end: one at a time, in a thread, at most a tenth of the time.

    Args:
        make: makes the page.
        clock: seconds.

    Attributes:
        problem: why the last page could not be made, in one line; else empty.
    """

    def __init__(self, make: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._make, self._clock = make, clock
        self._thread: threading.Thread | None = None
        self._ended, self._rest_until = 0, 0.0
        self.problem = ""

    def tell(self, n_ended: int) -> None:
        """Begin a page if runs have ended since the last, none is being made and the last is long enough ago."""
        busy = self._thread is not None and self._thread.is_alive()
        if n_ended != self._ended and not busy and self._clock() >= self._rest_until:
            self._begin(n_ended)

    def finish(self, n_ended: int) -> None:
        """Wait for the page that is being made, and make the last one if runs have ended since."""
        if self._thread is not None:
            self._thread.join()
        if n_ended != self._ended:
            self._begin(n_ended).join()
        if self.problem:
            raise RegrowError(self.problem)

    def _begin(self, n_ended: int) -> threading.Thread:
        self._ended = n_ended
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self._thread

    def _work(self) -> None:
        began = self._clock()
        try:
            self._make()
            self.problem = ""
        except (RegrowError, OSError) as error:
            self.problem = f"The report page could not be made: {error}"
        self._rest_until = self._clock() + 9 * (self._clock() - began)


def _write(folder: Path, networks: Sequence[str]) -> None:
    from regrow.models.user import named
    from regrow.report.write import write_report

    with named(*networks):
        write_report(folder)


def _n_ended(study: StudySnapshot) -> int:
    from regrow.study.snapshots import ENDED

    return sum(run.state in ENDED for run in study.runs)


def picture(study: StudySnapshot, width: int, height: int | None = None) -> Group:
    """The study in one line, its runs as a table, and why runs failed, a line each.

    Args:
        study: the study.
        width: columns of the terminal; in a narrow one some figures are left out.
        height: its lines, which are not passed; None = as many as there are, but no more than `USUAL_ROWS` runs.
    """
    reasons = [f"{run.state.upper()}  {run.name}: {run.reason}" for run in study.runs if run.reason]
    room = USUAL_ROWS
    if height is not None:
        reasons = reasons[: height // 4]
        room = max(1, height - len(reasons) - 3)  # the line over all, the table's head, the cursor
    lines = [overall(study), *reasons[:USUAL_ROWS]]
    texts = [Text(line) if height is None else Text(line, no_wrap=True, overflow="ellipsis") for line in lines]
    return Group(texts[0], table_of(study, width, room), *texts[1:])


def table_of(study: StudySnapshot, width: int, room: int) -> Table:
    """The runs as a table: all, or where they do not fit those that are running and that failed first."""
    shown = rows_shown(study.runs, room)
    columns = [column for column in _COLUMNS if width >= column.from_width]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.name, justify=column.justify, no_wrap=True, overflow="ellipsis")
    for run in shown:
        table.add_row(*(column.of(run, study) for column in columns))
    return table


class _Column(NamedTuple):
    """A column of the table.

    Attributes:
        name: its head.
        of: what it shows of a run.
        from_width: columns of the terminal from which it is shown.
        justify: its side.
    """

    name: str
    of: Callable[[RunSnapshot, StudySnapshot], RenderableType]
    from_width: int = 0
    justify: Literal["left", "right"] = "right"


def _state(run: RunSnapshot, study: StudySnapshot) -> Text:
    return Text(run.state, style=_COLOURS[run.state])


def _share(run: RunSnapshot, study: StudySnapshot) -> RenderableType:
    return ProgressBar(total=1.0, completed=run.share, width=12) if out.is_terminal else f"{run.share:.0%}"


def _stage(run: RunSnapshot, study: StudySnapshot) -> str:
    amounts = {
        "train": (run.step, run.steps, "steps"),
        "evaluate": (run.cells, study.n_cells, "cells"),
        "analyse": (run.analyses, study.n_analyses, "analyses"),
    }
    if run.stage not in amounts:
        return ""
    done, total, what = amounts[run.stage]
    return f"{done} of {'?' if total is None else total} {what}"


def _rate(run: RunSnapshot, study: StudySnapshot) -> str:
    return _text(run.images_per_s, ".0f") if run.stage == "train" else ""


def _left(run: RunSnapshot, study: StudySnapshot) -> str:
    """The time left; of a run that is said to be running and of which nothing was heard, for how long."""
    if run.state != "running":
        return ""
    if run.changed_at is not None and study.at - run.changed_at > QUIET_S:
        return f"no news for {duration(study.at - run.changed_at)}"
    return "" if run.left_s is None else duration(run.left_s)


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


_COLUMNS = (
    _Column("run", lambda run, study: Text(run.name), justify="left"),
    _Column("state", _state, justify="left"),
    _Column("", _share, 100),
    _Column("", _stage),
    _Column("loss", lambda run, study: _text(run.loss, ".3f")),
    _Column("accuracy", lambda run, study: _text(run.accuracy, ".1%"), 90),
    _Column("density", lambda run, study: _text(run.density, ".2f"), 120),
    _Column("images/s", _rate, 90),
    _Column("tries", lambda run, study: str(run.attempts) if run.attempts else "", 120),
    _Column("left", _left),
)


def rows_shown(runs: Sequence[RunSnapshot], room: int) -> Sequence[RunSnapshot]:
    """The runs that are shown where there is room for so many, in the order in which they are started.

    Where not all fit, those that are running come before failed ones, then those that are still planned, then done.
    """
    if len(runs) <= room:
        return runs
    order = {state: place for place, state in enumerate((*_FIRST, "planned", "done"))}
    chosen = {run.name for run in sorted(runs, key=lambda run: order[run.state])[:room]}
    return [run for run in runs if run.name in chosen]


def overall(study: StudySnapshot) -> str:
    """The study in one line: counts, share and time left."""
    counts = study.counts
    states = [
        f"{counts[state]} {state}" for state in ("done", "running", "planned", "failed", "damaged") if state in counts
    ]
    text = f"{study.name}: {len(study.runs)} runs, {', '.join(states)}; {study.share:.0%} of the work"
    if study.left_s is not None and not study.ended:
        text += f", {'about' if study.left_is_whole else 'at least'} {duration(study.left_s)} left"
    return f"{text}."


def duration(seconds: float) -> str:
    """A time for people.

    Example:
        >>> duration(42), duration(600), duration(9000), duration(400000)
        ('42 s', '10 min', '2 h 30 min', '4 d 15 h')
    """
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"

"""``regrow evaluate``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from regrow.cli import completion
from regrow.cli.console import out, print_json, print_table
from regrow.cli.network import (
    Given,
    Mean,
    Model,
    ModelOption,
    Network,
    OnError,
    Size,
    Std,
    Weights,
    check_on_error,
    parse_options,
)
from regrow.cli.study import DataRoot
from regrow.errors import InputError

if TYPE_CHECKING:
    from regrow.evaluation.metrics import Cell
    from regrow.evaluation.records import Record
    from regrow.evaluation.scores import Score
    from regrow.study.networks import CheckedModel
    from regrow.study.scored import Scored

_Report = Callable[[int, int], None]


def evaluate(
    source: Annotated[
        str,
        typer.Argument(
            help="Data set (corrupted as it goes), or folder of a corrupted set of images or clips.",
            autocompletion=completion.data_sets,
        ),
    ],
    model: Model,
    weights: Weights = None,
    size: Size = None,
    model_option: ModelOption = None,
    mean: Mean = "",
    std: Std = "",
    network: Network = None,
    against: Annotated[
        str | None, typer.Option(help="Another network, as --model: also the differences, with paired intervals.")
    ] = None,
    corruptions: Annotated[
        str, typer.Option(help="Names, by commas; default: all.", autocompletion=completion.corruptions)
    ] = "",
    severities: Annotated[str, typer.Option(help="Severities, by commas.")] = "1,2,3,4,5",
    limit: Annotated[int | None, typer.Option(min=1, help="First so many test images of a data set.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random corruptions.")] = 0,
    mode: Annotated[str, typer.Option(help="exact: the published arithmetic; fast: within one grey level.")] = "exact",
    stored: Annotated[bool, typer.Option("--stored", help="Add the JPEG round trip of ImageNet-C's files.")] = False,
    robustbench: Annotated[
        bool, typer.Option("--robustbench", help="RobustBench's protocol, on a whole published set.")
    ] = False,
    ids: Annotated[
        Path | None, typer.Option(help="RobustBench's list of images, which its protocol needs for ImageNet.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="First compare a published set with the official checksums.")
    ] = False,
    data_option: Annotated[
        list[str] | None, typer.Option("--data-option", help="Of a data set: NAME=VALUE; may be repeated.")
    ] = None,
    on_error: OnError = "raise",
    data_root: DataRoot = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Folder for a record of each cell.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Score one network on corrupted images; every score comes with its formula."""
    from regrow.cli.corrupt import parse_severities
    from regrow.data import marker
    from regrow.study import score

    check_on_error(on_error)
    asked = _Asked(
        source=source,
        names=[n.strip() for n in corruptions.split(",") if n.strip()],
        levels=parse_severities(severities),
        limit=limit,
        seed=seed,
        mode=mode,
        stored=stored,
        robustbench=robustbench,
        ids=ids,
        data_options=parse_options(data_option or [], "--data-option"),
        on_error=on_error,
        data_root=data_root,
    )
    asked.check()
    if verify:
        _verify(asked, quiet=as_json)
    like = None if weights is None else score.facts_of(source, asked.data_options, data_root)
    checked = Given(model, weights, size, model_option, mean, std, network).open(like=like)
    other = None if against is None else Given(against, None, None, None, "", "", network).open()
    if other is not None:
        _check_pair(checked, other)
    scored, found = asked.run(checked)
    records = scored.records
    if out_dir is not None:
        made_from = {"model": model, "weights": checked.source, **asked.made_from()}
        score.save(records, out_dir, Path(source).resolve().name, made_from)
    if other is not None:
        found = [*found, *asked.differences(records, other)]
    notes = [*marker.notes(checked.spec), *asked.notes(checked.spec.image_size), *scored.notes]
    if as_json:
        cells = {f"{name}.{severity}": record.accuracy for (name, severity), record in records.items()}
        scores = [row._asdict() for row in found]
        print_json({"scores": scores, "accuracy": cells, "notes": notes, "skipped": scored.skipped})
        return
    rows = [[row.name, f"{row.value:.4g}", _interval(row.interval), row.formula, row.over] for row in found]
    title = f"{checked.name} on {source}" + (f", and minus {other.name}" if other is not None else "")
    print_table(title, ["score", "value", "95 %", "formula", "over"], rows)
    for line in scored.skipped:
        out.print(f"skipped: {line}", markup=False)
    for note in notes:
        out.print(f"note: {note}", markup=False)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    source: str
    names: list[str]
    levels: list[int]
    limit: int | None
    seed: int
    mode: str
    stored: bool
    robustbench: bool
    ids: Path | None
    data_options: dict[str, Any]
    on_error: str
    data_root: Path | None

    @property
    def is_published(self) -> bool:
        return Path(self.source).is_dir()

    @functools.cached_property
    def is_clips(self) -> bool:
        from regrow.data.published_clips import holds_clips

        return self.is_published and holds_clips(Path(self.source))

    def check(self) -> None:
        """Refuse early what cannot go together."""
        from regrow import corruptions

        if self.ids is not None and not self.robustbench:
            raise InputError("--ids is the list of images of RobustBench's protocol.", "add --robustbench.")
        if self.robustbench and not self.is_published:
            raise InputError(
                f"RobustBench's protocol is taken on the published files, {self.source} is no folder of them.",
                "give the folder of CIFAR-10-C, CIFAR-100-C, ImageNet-C or ImageNet-3DCC.",
            )
        if self.robustbench and (self.names or self.levels != [1, 2, 3, 4, 5]):
            raise InputError(
                "RobustBench's protocol has its own types and severities.", "leave --corruptions and --severities out."
            )
        if self.is_clips and self.robustbench:
            raise InputError("RobustBench's protocol is for images.", "leave --robustbench out.")
        if self.is_published and self.data_options:
            raise InputError("--data-option is for data sets by name.", "leave it out.")
        if not self.is_published:
            for name in self.names:
                corruptions.get(name)

    def made_from(self) -> dict[str, str]:
        if self.is_published:
            return {"source": self.source} | ({"ids": str(self.ids)} if self.ids is not None else {})
        return {"source": self.source, "seed": str(self.seed), "mode": self.mode, "stored": str(self.stored)}

    def run(self, checked: CheckedModel) -> tuple[Scored, list[Score]]:
        """Records and scores of a network, with a bar."""
        from regrow.study import score
        from regrow.study.scored import Scored

        with Progress(console=out, disable=not out.is_terminal) as bar:
            task = bar.add_task(f"evaluating {checked.name}", total=None)

            def progress(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            if self.robustbench:
                records, found = score.by_robustbench(checked, Path(self.source), self.ids, progress=progress)
                return Scored(records, notes=list(checked.notes)), found
            scored = self._scored(checked, progress)
        is_imagenet = len(checked.spec.classes) == 1000
        return scored, score.all_scores(scored.records, is_imagenet=is_imagenet, is_clips=self.is_clips)

    def _scored(self, checked: CheckedModel, progress: _Report) -> Scored:
        from regrow import corruptions
        from regrow.study import score
        from regrow.study.score_clips import on_clip_set

        if self.is_published:
            take = on_clip_set if self.is_clips else score.on_published_set
            return take(checked, Path(self.source), self.names, self.levels, on_error=self.on_error, progress=progress)
        return score.on_data_set(
            checked,
            self.source,
            self.names or corruptions.names(),
            self.levels,
            limit=self.limit,
            options=score.data_options(checked, self.source, self.data_options, self.on_error),
            data_root=self.data_root,
            seed=self.seed,
            mode=self.mode,
            stored=self.stored,
            progress=progress,
        )

    def differences(self, records: Mapping[Cell, Record], other: CheckedModel) -> list[Score]:
        """Scores of the network minus those of another."""
        from regrow.evaluation import versus

        return versus.differences(records, self.run(other)[0].records, "RobustBench " if self.robustbench else "")

    def notes(self, side: int) -> list[str]:
        """What must be said of corruptions that were made here."""
        from regrow import corruptions
        from regrow.corruptions import writer
        from regrow.corruptions.frost import folder_under
        from regrow.study.kinds import cell_notes

        if self.is_published:
            return writer.caveats(Path(self.source))
        frost = folder_under(self.data_root)
        return cell_notes(self.names or corruptions.names(), side, self.mode, stored=self.stored, frost=frost)


def _check_pair(one: CheckedModel, other: CheckedModel) -> None:
    """Refuse two networks that cannot see the same images before either has seen any."""
    for what, first, second in (
        ("classes", len(one.spec.classes), len(other.spec.classes)),
        ("pixels a side", one.spec.image_size, other.spec.image_size),
    ):
        if first != second:
            raise InputError(
                f"{one.name} takes {first} {what}, {other.name} {second}: they cannot be compared image by image.",
                "give networks of the same classes and image size.",
            )


def _verify(asked: _Asked, *, quiet: bool) -> None:
    """Compare the files of a published set with the official checksums; exit code 2 where one is not what it is."""
    from regrow.corruptions import writer
    from regrow.corruptions.writer.verifying import WRONG

    if not asked.is_published:
        raise InputError(f"--verify is for folders of published sets, {asked.source} is none.", "leave --verify out.")
    rows = writer.verify(Path(asked.source))
    if not quiet:
        shown = [[row.name, row.digest[:32], row.status] for row in rows]
        print_table("checksums", ["name", "digest", "status"], shown)
    wrong = [row.name for row in rows if row.status in WRONG]
    if wrong:
        raise InputError(
            f"{len(wrong)} files of {asked.source} are not as published, the first: {wrong[0]}.",
            "unpack the published archive again, or leave --verify out.",
        )


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"

"""``regrow evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from regrow.cli.console import out, print_json, print_table
from regrow.cli.study import DataRoot


def evaluate(
    source: Annotated[str, typer.Argument(help="Data set (corrupted as it goes), or folder of a published set.")],
    model: Annotated[str, typer.Option(help="Folder of a run, a model.safetensors, timm:NAME or torchvision:NAME.")],
    weights: Annotated[Path | None, typer.Option(help="safetensors file for a timm: or torchvision: network.")] = None,
    corruptions: Annotated[str, typer.Option(help="Names, by commas; default: all.")] = "",
    severities: Annotated[str, typer.Option(help="Severities, by commas.")] = "1,2,3,4,5",
    limit: Annotated[int | None, typer.Option(min=1, help="First so many images of a data set.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random corruptions.")] = 0,
    mode: Annotated[str, typer.Option(help="exact: the published arithmetic; fast: within one grey level.")] = "exact",
    stored: Annotated[bool, typer.Option("--stored", help="Add the JPEG round trip of ImageNet-C's files.")] = False,
    data_root: DataRoot = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Folder for a record of each cell.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Score one network on corrupted images; every score comes with its formula."""
    from regrow import corruptions as registry
    from regrow.cli.corrupt import parse_severities
    from regrow.corruptions.frost import folder_under
    from regrow.study import check, score
    from regrow.study.cells import cell_notes

    names = [n.strip() for n in corruptions.split(",") if n.strip()]
    levels = parse_severities(severities)
    checked = check.open_model(model, weights)
    published = Path(source).is_dir()
    with Progress(console=out, disable=not out.is_terminal) as bar:
        task = bar.add_task("evaluating", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        if published:
            records = score.on_published_set(checked, Path(source), names, levels, progress=progress)
        else:
            for name in names:
                registry.get(name)
            records = score.on_data_set(
                checked,
                source,
                names or registry.names(),
                levels,
                limit=limit,
                data_root=data_root,
                seed=seed,
                mode=mode,
                stored=stored,
                progress=progress,
            )
    if out_dir is not None:
        made_from = {"model": model, "weights": checked.source, "source": source}
        if not published:
            made_from |= {"seed": str(seed), "mode": mode, "stored": str(stored)}
        score.save(records, out_dir, Path(source).resolve().name, made_from)
    notes: list[str] = []
    if not published:
        frost = folder_under(data_root)
        notes = cell_notes(names or registry.names(), checked.spec.image_size, mode, stored=stored, frost=frost)
    found = score.all_scores(records, is_imagenet=len(checked.spec.classes) == 1000)
    if as_json:
        cells = {f"{name}.{severity}": record.accuracy for (name, severity), record in records.items()}
        print_json({"scores": [row._asdict() for row in found], "accuracy": cells, "notes": notes})
        return
    rows = [[row.name, f"{row.value:.4g}", _interval(row.interval), row.formula, row.over] for row in found]
    print_table(f"{checked.name} on {source}", ["score", "value", "95 %", "formula", "over"], rows)
    for note in notes:
        out.print(f"note: {note}", markup=False)


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"

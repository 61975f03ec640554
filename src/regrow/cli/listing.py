"""``regrow list``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regrow.cli import completion
from regrow.cli.console import print_json, print_table
from regrow.cli.data import print_sets
from regrow.errors import UnknownNameError

if TYPE_CHECKING:
    from regrow.corruptions import Corruption

Rows = list[dict[str, Any]]


def _methods() -> Rows:
    from regrow.sparsity import methods

    rows = []
    for name in methods.names():
        record = methods.get(name)(0.0 if name == "dense" else 0.5)
        about = (methods.get(name).__doc__ or "").strip().splitlines()[0]
        rows.append({"name": name, "about": about, "paper": record.paper})
    return rows


def _corruptions() -> Rows:
    from regrow import corruptions

    return [
        {
            "name": name,
            "family": record.family,
            "set": _set_of(record),
            "scales": " ".join(record.settings),
            "random": record.is_random,
            "needs": record.needs and f"regrow[{record.needs}]",
        }
        for name, record in ((n, corruptions.get(n)) for n in corruptions.names(None))
    ]


def _clip_corruptions() -> Rows:
    from regrow.corruptions import video

    found: dict[str, dict[str, Any]] = {}
    for column in video.COLUMNS:
        for name in video.names(column):
            record = video.get(name, column)
            row = {"name": name, "family": record.family, "works on": record.level, "settings of": column}
            if name in found and all(found[name][key] == row[key] for key in ("family", "works on")):
                found[name]["settings of"] += f" {column}"
            else:
                found.setdefault(name if name not in found else f"{name} of {column}", row)
    return [found[name] for name in sorted(found)]


def _text_corruptions() -> Rows:
    from regrow.corruptions import text

    return [
        {"name": name, "family": record.family, "strikes": record.strikes, "source": record.source}
        for name, record in ((n, text.get(n)) for n in text.names())
    ]


def _audio_corruptions() -> Rows:
    from regrow.corruptions import audio

    return [
        {"name": name, "family": record.family, "settings": record.words, "source": record.source}
        for name, record in ((n, audio.get(n)) for n in audio.names())
    ]


def _set_of(record: Corruption) -> str:
    """Where a corruption counts: ``common`` and ``extra`` are the fifteen and the four of ImageNet-C."""
    if record.benchmark == "c":
        return "extra" if record.extra else "common"
    return record.benchmark


def _data() -> Rows:
    from regrow import data

    return data.status()


def _models() -> Rows:
    from regrow import models

    return models.describe()


def _recipes() -> Rows:
    from regrow.study import recipe

    rows = []
    for name in recipe.names():
        r = recipe.load(name)
        rows.append({"name": name, "tier": r.tier, "title": r.title, "data": r.data.name, "model": r.model.name})
    return rows


def _literature() -> Rows:
    from regrow import literature

    return [
        {
            "name": f"clean {figure.data}" if figure.test == "clean" else figure.test,
            "network": figure.model,
            "training": figure.method if figure.sparsity is None else f"{figure.method}, sparsity {figure.sparsity:g}",
            "figure": f"{figure.metric} {figure.text}",
            "source": f"{figure.source.paper} ({figure.obtained})",
        }
        for figure in literature.figures(part=literature.WHOLE)
    ]


KINDS: dict[str, Callable[[], Rows]] = {
    "methods": _methods,
    "corruptions": _corruptions,
    "clip-corruptions": _clip_corruptions,
    "text-corruptions": _text_corruptions,
    "audio-corruptions": _audio_corruptions,
    "data": _data,
    "models": _models,
    "recipes": _recipes,
    "literature": _literature,
}


def list_names(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="methods, corruptions, clip-corruptions, text-corruptions, audio-corruptions, data, models, recipes "
            "or literature.",
            autocompletion=completion.kinds,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List what there is: methods, corruptions, data sets, models, recipes, published figures."""
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("list", kind, KINDS, f"`regrow list {next(iter(KINDS))}`, or `regrow list` for all.")
    tables = {name: make() for name, make in KINDS.items() if kind in (None, name)}
    if as_json:
        print_json(tables if kind is None else tables[kind])
        return
    for name, rows in tables.items():
        if name == "data":
            print_sets(rows)
            continue
        columns = list(rows[0]) if rows else []
        print_table(name, columns, [[_text(row[c]) for c in columns] for row in rows])


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)

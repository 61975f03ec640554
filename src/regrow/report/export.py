"""Charts of a page as files: SVG and PNG for papers, CSV with the numbers behind them. No browser is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from regrow import files
from regrow.report.blocks import Figure
from regrow.report.charts import CONFIG, Spec
from regrow.report.page import sections_of, themes
from regrow.study.view import StudyView
from regrow.verdict.model import Verdict

#: Width of an exported plot, and how many pixels of a PNG make one of its own.
WIDTH = 720
SCALE = 2.0
#: Parts of a specification that hold the study's own words, where a leading dollar sign is no colour of ours.
_WORDS = ("datasets", "values", "domain", "sort", "usermeta")


def export_charts(study: StudyView | Path, out: Path, verdict: Verdict | None = None) -> list[Path]:
    """Write every chart of a study's page as ``ID.svg``, ``ID.png`` and ``ID.csv``.

    Args:
        study: what the page shows, or the folder of a study.
        out: where to; made if absent.
        verdict: with it, the charts of its claims too.

    Returns:
        The files, in the order of the page.
    """
    if isinstance(study, Path):
        from regrow.study.load import load_study

        study = load_study(study)
    return export_figures((f for section in sections_of(study, verdict) for f in section.figures), out)


def export_figures(figures: Iterable[Figure], out: Path) -> list[Path]:
    """The same for any figures."""
    import vl_convert

    written: list[Path] = []
    for figure in figures:
        spec = standalone(figure)
        files.write_text(out / f"{figure.id}.svg", vl_convert.vegalite_to_svg(spec))
        files.write_bytes(out / f"{figure.id}.png", vl_convert.vegalite_to_png(spec, scale=SCALE))
        written += [out / f"{figure.id}.svg", out / f"{figure.id}.png"]
        if figure.table:
            files.write_text(out / f"{figure.id}.csv", figure.table.to_csv())
            written.append(out / f"{figure.id}.csv")
    return written


def standalone(figure: Figure, theme: Literal["light", "dark"] = "light") -> Spec:
    """A chart that needs no page: its own title, legend, colours and background.

    Returns:
        Vega-Lite without tokens.
    """
    tokens = themes()[theme]
    spec = figure.spec
    room = int((spec.get("usermeta") or {}).get("labelRoom", 0))
    config: Spec = _coloured(CONFIG, tokens)
    return {
        **_coloured(spec, tokens),
        "title": {"text": figure.title},
        "width": WIDTH,
        "padding": {"left": 16, "top": 16, "bottom": 16, "right": 16 + room},
        "config": {**config, "background": tokens["paper"]},
    }


def _coloured(value: Any, tokens: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return tokens.get(value[1:], value) if value.startswith("$") else value
    if isinstance(value, list):
        return [_coloured(v, tokens) for v in value]
    if isinstance(value, dict):
        return {k: v if k in _WORDS else _coloured(v, tokens) for k, v in value.items()}
    return value

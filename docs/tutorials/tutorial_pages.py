"""How the scripts of the tutorials fill in their pages: tables, sentences and code between two marks, and figures."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import vl_convert

from regrow import files


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def source(*functions: object) -> str:
    """Functions of a script as a block of code; a page never shows another code than the one that ran."""
    return "```py\n" + "\n\n".join(textwrap.dedent(inspect.getsource(one)) for one in functions) + "```"


def filled(page: str, parts: Mapping[str, str]) -> str:
    """A page with its parts made anew.

    Args:
        page: Markdown; a part stands between ``<!-- KIND:NAME -->`` and ``<!-- /KIND -->``.
        parts: ``KIND:NAME`` -> what is to stand there.

    Raises:
        ValueError: the page has no place for a part.
    """
    for name, content in parts.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name.partition(':')[0]} -->)"
        page, places = re.subn(pattern, lambda m, content=content: f"{m[1]}\n{content}\n\n{m[2]}", page, flags=re.S)
        if not places:
            raise ValueError(f"the page has no place for {name}")
    return page


#: Style of all figures, with room for fonts that are wider than those that places were measured with.
STYLE: dict[str, Any] = {
    "padding": 10,
    "axis": {"titlePadding": 14, "titleFontWeight": "normal", "titleFontSize": 12, "domainColor": "#888"},
    "axisY": {"minExtent": 34},
    "legend": {"orient": "bottom", "columnPadding": 28, "labelFontSize": 12, "titleFontWeight": "normal"},
    "view": {"stroke": None},
}
#: Symbols of a legend, which would be as faint as the lines of single seeds.
SOLID: dict[str, float] = {"symbolOpacity": 1, "symbolStrokeWidth": 2.5}


def draw(chart: Any, path: Path) -> None:
    """Write a chart as SVG."""
    svg = vl_convert.vegalite_to_svg(chart.properties(config=STYLE).to_dict())
    path.write_text(re.sub(r"\d+\.\d{3,}", lambda m: f"{float(m[0]):.1f}", svg))  # a tenth of a pixel is enough


def rounded(value: Any) -> Any:
    """Numbers of four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def save(found: Mapping[str, Any], path: Path) -> None:
    """Write what was measured as JSON that can be read and compared by lines: one item of a list on each."""

    def text(value: Any) -> str:
        if isinstance(value, list):
            return "[\n" + ",\n".join(json.dumps(one, sort_keys=True) for one in value) + "\n]"
        return json.dumps(value, sort_keys=True)

    lines = [f"{json.dumps(key)}: {text(value)}" for key, value in found.items()]
    files.write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def make(
    arguments: Sequence[str] | None,
    about: str | None,
    name: str,
    folder: Path,
    measure: Callable[[], Mapping[str, Any]],
    parts: Callable[[Mapping[str, Any]], Mapping[str, str]],
    figures: Mapping[str, Callable[[Mapping[str, Any]], Any]],
) -> None:
    """Measure, unless told to draw alone; then draw, and fill in the page where it is there: what each script does.

    Args:
        arguments: of the command line; None = the process's own.
        about: what ``--help`` says.
        name: of the page, without ``.md``; figures and JSON have the same.
        folder: where they lie.
        measure: gives everything that the page says, as JSON values.
        parts: what is filled in, from these values.
        figures: suffix of a figure's name -> its chart, from these values.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--draw", action="store_true", help="figures and page alone, from the JSON that is there")
    if not parser.parse_args(arguments).draw:
        torch.set_num_threads(1)
        save(measure(), folder / f"{name}.json")
    write(name, folder, files.read_json(folder / f"{name}.json"), parts, figures)


def write(
    name: str,
    folder: Path,
    found: Mapping[str, Any],
    parts: Callable[[Mapping[str, Any]], Mapping[str, str]],
    figures: Mapping[str, Callable[[Mapping[str, Any]], Any]],
) -> None:
    """Draw the figures, and fill in the page where it is there; the arguments are those of ``make``."""
    for suffix, figure in figures.items():
        draw(figure(found), folder / f"{name}{suffix}.svg")
    page = folder / f"{name}.md"
    if page.exists():
        page.write_text(filled(page.read_text(), parts(found)))

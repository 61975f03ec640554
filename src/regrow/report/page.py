"""From sections to the text of one page: template, styles, script, Vega, data and a strict policy in one file."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from regrow.report import mechanism, record, result
from regrow.report.blocks import Section, human, plural
from regrow.report.charts import SHAPES, colour, shape
from regrow.report.finding import Finding, finding
from regrow.report.table import shown
from regrow.study.view import StudyView
from regrow.verdict.arms import Arm, arms_of, mean, mean_name, over

SECTIONS = (
    result.summary,
    result.corruptions,
    result.severity,
    result.sparsity,
    record.examples,
    mechanism.training,
    mechanism.topology,
    mechanism.masks,
    mechanism.frequencies,
    mechanism.cues,
    record.costs,
    record.settings,
    record.runs,
    record.environment,
    record.notes,
    record.reproduce,
)

#: Paths of the legend's marks in a box of 12 by 12, by the name of Vega's shape.
MARKS = {
    "circle": "M6 1.6a4.4 4.4 0 1 1 0 8.8a4.4 4.4 0 1 1 0-8.8z",
    "square": "M2 2h8v8h-8z",
    "triangle-up": "M6 1.4l5 9h-10z",
    "diamond": "M6 .8l5.2 5.2l-5.2 5.2l-5.2-5.2z",
    "cross": "M4.2 1h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z",
    "triangle-down": "M6 10.6l5-9h-10z",
    "triangle-right": "M10.6 6l-9-5v10z",
    "triangle-left": "M1.4 6l9-5v10z",
}
assert set(MARKS) == set(SHAPES)


@dataclass(frozen=True)
class LegendEntry:
    """One arm of the legend."""

    name: str
    token: str
    path: str


@dataclass(frozen=True)
class Fact:
    """One figure of the head."""

    value: str
    label: str


@dataclass(frozen=True)
class Page:
    """Everything the template shows.

    Attributes:
        title: heading and title of the document.
        kicker: what kind of page it is.
        finding: the words at its head.
        facts: a few plain figures under them.
        sections: its parts in order.
        legend: the arms.
    """

    title: str
    kicker: str
    finding: Finding
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
    legend: tuple[LegendEntry, ...]


def render(view: StudyView) -> str:
    """The report of a study as one HTML document.

    Args:
        view: the study; finished or not.

    Returns:
        HTML that asks for nothing outside itself; the same view gives the same text.
    """
    arms = arms_of(view)
    sections = tuple(make(view, arms) for make in SECTIONS)
    return compose(
        Page(view.title or view.name, "regrow study", finding(view), _facts(view, arms), sections, legend_of(arms))
    )


def legend_of(arms: Sequence[Arm]) -> tuple[LegendEntry, ...]:
    """One entry per arm, in the look it has in every chart."""
    return tuple(LegendEntry(a.name, colour(a.look), MARKS[shape(a.look)]) for a in arms)


def _facts(view: StudyView, arms: Sequence[Arm]) -> tuple[Fact, ...]:
    done = sum(r.state == "done" for r in view.runs)
    seeds = {len(a.done) for a in arms if a.done}
    dense = mean(over(view, view.common)(r) for a in arms if a.is_dense for r in a.done)
    facts = [
        Fact(f"{done} of {len(view.runs)}", "runs done"),
        Fact(f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)}–{max(seeds)}" if seeds else "0", "seeds per arm"),  # noqa: RUF001
        Fact(
            str(len(view.corruptions) * len(view.severities)),
            f"corrupted cells: {plural(len(view.corruptions), 'type')} × "  # noqa: RUF001
            f"{plural(len(view.severities), 'severity', 'severities')}",
        ),
    ]
    counts = {s.n for r in view.runs for s in r.scores.values()}
    if counts:
        facts.append(Fact(f"{max(counts):,}", "images a cell"))
    if dense is not None and view.common:
        facts.append(Fact(shown(dense, "percent"), f"dense, {mean_name(view)}"))
    name = view.data.get("name")
    if name:
        facts.append(Fact(str(name), _data_words(view.data)))
    return tuple(facts)


def _data_words(data: Mapping[str, Any]) -> str:
    size, n = data.get("image_size"), data.get("n_train")
    parts = ["data"]
    if isinstance(n, int):
        parts.append(f"{n:,} training images")
    if isinstance(size, int):
        parts.append(f"{size} px")
    return ", ".join(parts)


def compose(page: Page) -> str:
    """Fill the template; every script stands in the security policy by its digest."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(lambda name: _asset("templates", name)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(human=human, shown=shown)
    specs = {figure.id: figure.spec for section in page.sections for figure in section.figures}
    scripts = [vega(), _asset("assets", "page.js")] if specs else [_asset("assets", "page.js")]
    groups: dict[str, list[Section]] = {}
    for section in page.sections:
        groups.setdefault(section.group, []).append(section)
    return environment.get_template("page.html.j2").render(
        page=page,
        groups=groups,
        css=Markup(_asset("assets", "page.css")),  # noqa: S704 (our own file)
        scripts=[Markup(s) for s in scripts],  # noqa: S704 (our own files)
        specs=Markup(embedded(specs)),  # noqa: S704 (escaped by embedded)
        policy=_policy(scripts),
    )


def embedded(value: object) -> str:
    r"""JSON that may stand inside a script element: no character that could end it or open a comment.

    Example:
        >>> embedded({"name": "</script><b>"})
        '{"name":"\\u003c/script\\u003e\\u003cb\\u003e"}'
    """
    text = json.dumps(finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def finite(value: Any) -> Any:
    """The same JSON value with NaN and infinities as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return value


@lru_cache(maxsize=1)
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that keeps its names to itself."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    return "(() => {" + bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "})();"


def _policy(scripts: Sequence[str]) -> str:
    digests = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@lru_cache(maxsize=8)
def _asset(folder: str, name: str) -> str:
    return resources.files("regrow.report").joinpath(folder, name).read_text(encoding="utf-8")

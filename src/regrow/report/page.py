"""From sections to the text of one page: template, styles, script, Vega, data and a strict policy in one file."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any

from regrow.data.spec import UNITS
from regrow.report import agreement, attribution, mechanism, published, record, result, spatial, spectral
from regrow.report.blocks import Figure, Section, Strip, human, plural, slug
from regrow.report.charts import CONFIG, SHAPES, colour, shape
from regrow.report.claims import Headline, claims, headline, unjudged
from regrow.report.finding import Finding, finding
from regrow.report.table import shown
from regrow.study.view import StudyView
from regrow.verdict.arms import Arm, arms_of, by_family, mean, mean_name, over
from regrow.verdict.model import Verdict

#: The evidence in the order of the argument: whether there is a gain, where, at what price; why; and how it was made.
SECTIONS = (
    result.summary,
    result.sparsity,
    result.corruptions,
    result.severity,
    record.examples,
    record.costs,
    published.published,
    spectral.corruption_spectra,
    spectral.frequencies,
    spectral.single_frequencies,
    spectral.loss_gradient,
    spectral.kernels,
    spectral.aliasing,
    agreement.agreement,
    mechanism.cues,
    attribution.attribution,
    spatial.placement,
    mechanism.masks,
    spatial.film,
    mechanism.topology,
    spatial.sharpness,
    mechanism.training,
    record.notes,
    record.runs,
    record.settings,
    record.environment,
    record.reproduce,
)
#: Longer tables show so many rows on the page; what is saved from it has all.
MAX_ROWS = 150

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
    """One arm of the legend, and the method by which it is filtered."""

    name: str
    token: str
    path: str
    method: str = ""


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
        finding: the words at its head where nothing was judged.
        facts: a few plain figures under them.
        sections: its parts in order.
        legend: the arms.
        verdict: the head of a judged study, or None.
        note: why there is no verdict, or empty.
        problems: what must be known before any number.
        owners: what is filtered by method: name of an arm or line -> its method.
        families: what can be filtered by family.
    """

    title: str
    kicker: str
    finding: Finding
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
    legend: tuple[LegendEntry, ...]
    verdict: Headline | None = None
    note: str = ""
    problems: tuple[str, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    families: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[LegendEntry, ...]:
        """One entry for each method: that of its first arm."""
        first: dict[str, LegendEntry] = {}
        for entry in self.legend:
            if entry.method:
                first.setdefault(entry.method, entry)
        return tuple(first.values())


def render(view: StudyView, verdict: Verdict | None = None) -> str:
    """The report of a study as one HTML document.

    Args:
        view: the study; finished or not.
        verdict: what its claims came to; without one the page says why, and shows the numbers.

    Returns:
        HTML that asks for nothing outside itself; the same values give the same text.
    """
    arms = arms_of(view)
    judged = [arm.arm for claim in verdict.claims for arm in claim.arms] if verdict else []
    return compose(
        Page(
            view.title or view.name,
            f"regrow study · {view.name}" if view.title else "regrow study",
            finding(view),
            _facts(view, arms),
            sections_of(view, verdict),
            legend_of(arms),
            headline(arms, verdict) if verdict else None,
            "" if verdict else unjudged(view),
            tuple(dict.fromkeys(map(str, (*view.problems, *(verdict.problems if verdict else ()))))),
            _owners(arms, judged),
            tuple(by_family(view.corruptions, view.families)),
        )
    )


def sections_of(view: StudyView, verdict: Verdict | None = None) -> tuple[Section, ...]:
    """All parts of a study's page: the claims where they were judged, then the evidence."""
    arms = arms_of(view)
    evidence = tuple(make(view, arms) for make in SECTIONS)
    return (claims(view, arms, verdict), *evidence) if verdict else evidence


def _owners(arms: Sequence[Arm], judged: Sequence[str]) -> dict[str, str]:
    methods = {a.method for a in arms}
    found = {name: name for name in judged if name in methods}
    return found | {result.line_name(a): a.method for a in arms} | {a.name: a.method for a in arms}


def legend_of(arms: Sequence[Arm]) -> tuple[LegendEntry, ...]:
    """One entry per arm, in the look it has in every chart."""
    return tuple(LegendEntry(a.name, colour(a.look), MARKS[shape(a.look)], a.method) for a in arms)


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
        facts.append(Fact(f"{max(counts):,}", f"{view.noun} a cell"))
    if dense is not None and view.common:
        facts.append(Fact(shown(dense, "percent"), f"dense, {mean_name(view)}"))
    name = view.data.get("name")
    if name:
        facts.append(Fact(str(name), _data_words(view)))
    return tuple(facts)


def _data_words(view: StudyView) -> str:
    data = view.data
    size, n = data.get("image_size"), data.get("n_train")
    parts = ["generated data" if data.get("name") in record.GENERATED else "data"]
    if isinstance(n, int):
        parts.append(f"{n:,} training {view.noun}")
    if isinstance(size, int):
        parts.append(f"{size} {UNITS[view.modality]}")
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
    names = _table_names(page.sections)
    environment.filters.update(human=human, shown=shown, slug=slug, saved_as=lambda table: names[id(table)])
    figures = [figure for section in page.sections for figure in section.figures]
    own = "(() => {\n" + "".join(_asset("assets", name) for name in SCRIPTS) + "})();"
    scripts = [vega(), own] if figures else [own]
    groups: dict[str, list[Section]] = {}
    for section in page.sections:
        groups.setdefault(section.group, []).append(section)
    return environment.get_template("page.html.j2").render(
        page=page,
        groups=groups,
        pictured=_pictured(page),
        max_rows=MAX_ROWS,
        css=Markup(_asset("assets", "page.css")),  # noqa: S704 (our own file)
        scripts=[Markup(s) for s in scripts],  # noqa: S704 (our own files)
        specs=Markup(embedded({figure.id: figure.spec for figure in figures})),  # noqa: S704 (escaped by embedded)
        saved=Markup(embedded(_saved(page.sections, names))),  # noqa: S704 (likewise)
        settings=Markup(embedded(_settings(page, figures))),  # noqa: S704 (likewise)
        policy=_policy(scripts),
    )


#: Parts of the page's one script, in order.
SCRIPTS = ("state.js", "charts.js", "save.js", "filter.js", "cells.js", "page.js")


def _pictured(page: Page) -> str:
    """What the pictures of corruptions are of, in the singular; empty where the page has none."""
    strips = (block for section in page.sections for block in section.blocks if isinstance(block, Strip))
    return next((strip.example for strip in strips if any(row.name for _, rows in strip.panels for row in rows)), "")


def _table_names(sections: Sequence[Section]) -> dict[int, str]:
    """Name of each table, by the object itself: unique on the page, and the name of the file it is saved as."""
    names: dict[int, str] = {}
    for name, made in (pair for section in sections for pair in section.tables):
        taken, tried, n = set(names.values()), name, 1
        while tried in taken:
            n += 1
            tried = f"{name}-{n}"
        names.setdefault(id(made), tried)
    return names


def _saved(sections: Sequence[Section], names: Mapping[int, str]) -> dict[str, dict[str, str]]:
    """Every table as it is saved: unrounded for programs, rounded for papers."""
    return {
        names[id(made)]: {"csv": made.to_csv(), "tex": made.to_latex() + "\n", "md": made.to_markdown() + "\n"}
        for section in sections
        for _, made in section.tables
    }


def _settings(page: Page, figures: Sequence[Figure]) -> dict[str, Any]:
    """What the page's script must know of the study."""
    return {
        "config": CONFIG,
        "paper": themes()["light"],
        "owners": dict(page.owners),
        "titles": {figure.id: figure.title for figure in figures},
    }


@lru_cache(maxsize=1)
def themes() -> dict[str, dict[str, str]]:
    """Colours and fonts of the page by theme and token, read from its style sheet: ``light`` and ``dark``."""
    roots = re.findall(r":root \{(.*?)\}", _asset("assets", "page.css"), re.S)
    light, dark = (dict(re.findall(r"--([a-z0-9-]+):\s*([^;]+);", text)) for text in roots[:2])
    return {"light": light, "dark": light | dark}


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

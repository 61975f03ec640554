"""Vega-Lite specifications of the page's charts, made with Altair from plain rows.

Colours are written as ``$token``; the page's script replaces them by the CSS custom property ``--token`` of the
reader's theme, so a chart has one specification for light and dark. Every chart has a parameter ``focus``: the arm that
the legend points at, or empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
Row = Mapping[str, Any]

#: Number of colours for arms; more arms go round again with another shape and dash.
N_COLOURS = 8
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
DASHES = [[1, 0], [7, 3], [2, 3], [10, 3, 2, 3], [14, 5]]
_FOCUS = "!focus || datum.arm === focus"
_SIGNED = "datum.value === 0 ? '0' : format(datum.value, '+')"
_HEIGHT = 250


def colour(look: int) -> str:
    """Token of the colour of an arm: ``look`` modulo the number of colours (one colour a method)."""
    return f"arm-{look % N_COLOURS}"


def shape(look: int) -> str:
    """Shape of the points of an arm: another one for every variant of a method."""
    return SHAPES[(look + look // N_COLOURS) % len(SHAPES)]


def dash(look: int) -> list[int]:
    """Dashes of the line of an arm: solid for the first variant of a method."""
    return DASHES[(look // N_COLOURS) % len(DASHES)]


def _finish(chart: Any, height: int, data: _Data, room: int = 0) -> Spec:
    spec: Spec = chart.properties(width="container", height=height).to_dict()
    for key in ("$schema", "config"):
        spec.pop(key, None)
    spec["params"] = [{"name": "focus", "value": ""}]
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    spec["datasets"] = data.sets
    if room:
        spec["usermeta"] = {"labelRoom": room}
    return spec


class _Data:
    """The rows of one chart, kept beside its specification: Altair would check each of them, more than once."""

    def __init__(self) -> None:
        self.sets: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, rows: Iterable[Row]) -> Any:
        import altair as alt

        name = f"rows-{len(self.sets)}"
        self.sets[name] = [dict(row) for row in rows]
        return alt.NamedData(name=name)


def _arm_scale(names: Sequence[str], values: Sequence[Any]) -> Any:
    import altair as alt

    return alt.Scale(domain=list(names), range=list(values))


class _Ink:
    """The encodings that give each arm the same look in every chart."""

    def __init__(self, arms: Sequence[tuple[str, int]]) -> None:
        import altair as alt

        names = [name for name, _ in arms]
        self.names = names
        self.colour = alt.Color("arm:N", scale=_arm_scale(names, ["$" + colour(i) for _, i in arms]), legend=None)
        self.shape = alt.Shape("arm:N", scale=_arm_scale(names, [shape(i) for _, i in arms]), legend=None)
        self.dash = alt.StrokeDash("arm:N", scale=_arm_scale(names, [dash(i) for _, i in arms]), legend=None)

    @staticmethod
    def opacity(full: float, faint: float = 0.08) -> Any:
        """``full`` for the arm in focus (or all), ``faint`` for the others."""
        import altair as alt

        return alt.condition(_FOCUS, alt.value(full), alt.value(faint))


def strip(rows: Sequence[Row], means: Sequence[Row], arms: Sequence[tuple[str, int]], title: str) -> Spec:
    """One line per arm: a light dot for each seed, a tick at the mean. Rows: arm, seed, value in per cent."""
    import altair as alt

    data = _Data()
    ink = _Ink(arms)
    y = alt.Y("arm:N", sort=ink.names, title=None, axis=alt.Axis(labelLimit=130))
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False, nice=True, padding=12), axis=alt.Axis(tickCount=5))
    tip = [
        alt.Tooltip("arm:N", title="arm"),
        alt.Tooltip("seed:N", title="seed"),
        alt.Tooltip("value:Q", title="%", format=".2f"),
    ]
    dots = (
        alt.Chart(data(rows))
        .mark_point(size=70, filled=True, strokeWidth=0)
        .encode(x=x, y=y, color=ink.colour, shape=ink.shape, opacity=ink.opacity(0.5), tooltip=tip)
    )
    ticks = (
        alt.Chart(data(means))
        .mark_tick(thickness=3, size=22)
        .encode(
            x=x,
            y=y,
            color=ink.colour,
            opacity=ink.opacity(1.0),
            tooltip=[tip[0], alt.Tooltip("value:Q", title="mean %", format=".2f")],
        )
    )
    return _finish(alt.layer(dots, ticks), 38 * len(arms), data)


def forest(
    rows: Sequence[Row], means: Sequence[Row], intervals: Sequence[Row], arms: Sequence[tuple[str, int]], title: str
) -> Spec:
    """Paired differences: a dot per seed, a tick at the mean, a rule for the interval where there is one.

    Args:
        rows: arm, seed, value (points).
        means: arm, value.
        intervals: arm, low, high; an arm with fewer than three pairs is not in it.
        arms: name and look of each arm.
        title: of the x axis.
    """
    import altair as alt

    data = _Data()
    ink = _Ink(arms)
    y = alt.Y("arm:N", sort=ink.names, title=None, axis=alt.Axis(labelLimit=130))
    x = alt.X(
        "value:Q",
        title=title,
        scale=alt.Scale(zero=True, nice=True, padding=14),
        axis=alt.Axis(tickCount=5, labelExpr=_SIGNED),
    )
    arm = alt.Tooltip("arm:N", title="arm")
    zero = alt.Chart(data([{"value": 0}])).mark_rule(color="$ink-soft", strokeWidth=1.25).encode(x="value:Q")
    dots = (
        alt.Chart(data(rows))
        .mark_point(size=70, filled=True, strokeWidth=0)
        .encode(
            x=x,
            y=y,
            color=ink.colour,
            shape=ink.shape,
            opacity=ink.opacity(0.5),
            tooltip=[arm, alt.Tooltip("seed:N", title="seed"), alt.Tooltip("value:Q", title="points", format="+.2f")],
        )
    )
    ticks = (
        alt.Chart(data(means))
        .mark_tick(thickness=3, size=22)
        .encode(
            x=x,
            y=y,
            color=ink.colour,
            opacity=ink.opacity(1.0),
            tooltip=[arm, alt.Tooltip("value:Q", title="mean, points", format="+.2f")],
        )
    )
    parts = [zero, dots, ticks]
    if intervals:
        tip = [
            arm,
            alt.Tooltip("low:Q", title="95 % from", format="+.2f"),
            alt.Tooltip("high:Q", title="to", format="+.2f"),
        ]
        rule = (
            alt.Chart(data(intervals), name="intervals")
            .mark_rule(strokeWidth=2.5)
            .encode(
                x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=ink.colour, opacity=ink.opacity(0.9), tooltip=tip
            )
        )
        parts.insert(1, rule)
    return _finish(alt.layer(*parts), 38 * len(arms), data)


def by_corruption(
    rows: Sequence[Row], spans: Sequence[Row], order: Sequence[str], arms: Sequence[tuple[str, int]], title: str
) -> Spec:
    """A line per corruption under headings of families: one point per arm, joined by a thin span.

    Args:
        rows: label, arm, value (per cent), n.
        spans: label, low, high.
        order: labels from the top; those in capitals are headings and have no points.
        arms: name and look of each arm.
        title: of the x axis.
    """
    import altair as alt

    data = _Data()
    ink = _Ink(arms)
    heading = "datum.value === upper(datum.value)"
    axis = alt.Axis(
        labelLimit=150,
        domain=False,
        labelFontWeight=alt.condition(heading, alt.value("bold"), alt.value("normal")),
        labelFontSize=alt.condition(heading, alt.value(10), alt.value(12)),
        grid=False,
    )
    y = alt.Y("label:N", sort=list(order), title=None, scale=alt.Scale(domain=list(order)), axis=axis)
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False, nice=True, padding=12), axis=alt.Axis(tickCount=6))
    span = (
        alt.Chart(data(spans))
        .mark_rule(color="$rule-strong", strokeWidth=1.5)
        .encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y)
    )
    tip = [
        alt.Tooltip("label:N", title="corruption"),
        alt.Tooltip("arm:N", title="arm"),
        alt.Tooltip("value:Q", title="%", format=".2f"),
        alt.Tooltip("runs:Q", title="runs"),
    ]
    dots = (
        alt.Chart(data(rows))
        .mark_point(size=80, filled=True, strokeWidth=0)
        .encode(x=x, y=y, color=ink.colour, shape=ink.shape, opacity=ink.opacity(0.9), tooltip=tip)
    )
    return _finish(alt.layer(span, dots), 24 * len(order), data)


def lines(
    means: Sequence[Row],
    seeds: Sequence[Row],
    arms: Sequence[tuple[str, int]],
    *,
    x_title: str,
    y_title: str,
    height: int = _HEIGHT,
    ordinal: Sequence[str] = (),
    points: bool = False,
    labels: bool = True,
    domain: tuple[float, float] | None = None,
    detached: str = "",
    zero: bool = False,
) -> Spec:
    """Lines over x: thin ones for seeds, a strong one for their mean, named at its right end where there is room.

    Args:
        means: arm, x, value.
        seeds: arm, seed, x, value; drawn thin and light.
        arms: name and look of each arm.
        x_title: of the x axis.
        y_title: of the y axis.
        height: of the plot in pixels.
        ordinal: values of an ordinal x axis in order; a quantitative axis if empty.
        points: whether the mean line has points.
        labels: whether arms are named at the line's end.
        domain: of the y axis; from the values if None.
        detached: a value of x whose points belong to no line.
        zero: whether values are differences: signed figures and a line at zero.
    """
    import altair as alt

    data = _Data()
    ink = _Ink(arms)
    low, high = domain or _domain([r["value"] for r in (*means, *seeds)])
    signs: dict[str, Any] = {"labelExpr": _SIGNED} if zero else {}
    y_scale = alt.Scale(domain=[low, high], nice=False)
    y = alt.Y("value:Q", title=y_title, scale=y_scale, axis=alt.Axis(tickCount=5, **signs))
    if ordinal:
        x: Any = alt.X(
            "x:O", title=x_title, sort=list(ordinal), scale=alt.Scale(domain=list(ordinal)), axis=alt.Axis(labelAngle=0)
        )
    else:
        x = alt.X(
            "x:Q", title=x_title, scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(tickCount=5, format="~s")
        )
    tip = [
        alt.Tooltip("arm:N", title="arm"),
        alt.Tooltip("x", type="nominal" if ordinal else "quantitative", title=x_title),
        alt.Tooltip("value:Q", title=y_title, format=".4~r"),
    ]
    on_line = [r for r in means if str(r["x"]) != detached or not detached]
    parts: list[Any] = []
    if zero:
        parts.append(
            alt.Chart(data([{"value": 0}]))
            .mark_rule(color="$ink-soft", strokeWidth=1.25)
            .encode(alt.Y("value:Q", title=y_title))
        )
    thin = [r for r in seeds if str(r["x"]) != detached or not detached]
    if thin:
        parts.append(
            alt.Chart(data(thin))
            .mark_line(strokeWidth=1)
            .encode(x=x, y=y, color=ink.colour, detail="seed:N", opacity=ink.opacity(0.28, 0.03))
        )
    parts.append(
        alt.Chart(data(on_line))
        .mark_line(strokeWidth=2.25)
        .encode(x=x, y=y, color=ink.colour, strokeDash=ink.dash, opacity=ink.opacity(0.95), tooltip=tip)
    )
    size = 60 if points or detached else 40
    parts.append(
        alt.Chart(data(means))
        .mark_point(size=size, filled=True, strokeWidth=0)
        .encode(
            x=x,
            y=y,
            color=ink.colour,
            shape=ink.shape,
            opacity=ink.opacity(0.95) if points or detached else alt.value(0),
            tooltip=tip,
        )
    )
    room = 0
    if labels:
        ends = _ends(on_line, low, high, height)
        parts.append(
            alt.Chart(data(ends), name="labels")
            .mark_text(align="left", dx=9, baseline="middle", fontSize=11.5)
            .encode(x=x, y=alt.Y("at:Q", title=y_title), text="arm:N", color=ink.colour, opacity=ink.opacity(1.0))
        )
        room = (0 if ordinal else 20) + 7 * min(18, max((len(r["arm"]) for r in ends), default=0))
    return _finish(alt.layer(*parts), height, data, room)


def sparsities(
    rows: Sequence[Row], means: Sequence[Row], intervals: Sequence[Row], arms: Sequence[tuple[str, int]], title: str
) -> Spec:
    """Gain over dense against sparsity: a dot per seed, a line through the means, rules for intervals."""
    import altair as alt

    data = _Data()
    ink = _Ink(arms)
    x = alt.X("at:Q", title="sparsity", scale=alt.Scale(zero=False, padding=18), axis=alt.Axis(tickCount=5))
    y = alt.Y(
        "value:Q", title=title, scale=alt.Scale(zero=True, padding=8), axis=alt.Axis(tickCount=5, labelExpr=_SIGNED)
    )
    tip = [
        alt.Tooltip("arm:N", title="method"),
        alt.Tooltip("sparsity:Q"),
        alt.Tooltip("value:Q", title="points", format="+.2f"),
    ]
    zero = alt.Chart(data([{"value": 0}])).mark_rule(color="$ink-soft", strokeWidth=1.25).encode(y="value:Q")
    dots = (
        alt.Chart(data(rows))
        .mark_point(size=50, filled=True, strokeWidth=0)
        .encode(
            x=x,
            y=y,
            color=ink.colour,
            shape=ink.shape,
            opacity=ink.opacity(0.4),
            tooltip=[*tip, alt.Tooltip("seed:N", title="seed")],
        )
    )
    line = (
        alt.Chart(data(means))
        .mark_line(strokeWidth=2.25)
        .encode(x=x, y=y, color=ink.colour, opacity=ink.opacity(0.95), tooltip=tip)
    )
    parts = [zero, dots, line]
    if intervals:
        parts.append(
            alt.Chart(data(intervals), name="intervals")
            .mark_rule(strokeWidth=2)
            .encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q", color=ink.colour, opacity=ink.opacity(0.9))
        )
    return _finish(alt.layer(*parts), 280, data)


def heat_map(rows: Sequence[Row], order: Sequence[str], columns: Sequence[str], limit: float) -> Spec:
    """Differences as coloured cells with their figures.

    Rows: label, severity, value (points). The colour scale goes from -limit to limit.
    """
    import altair as alt

    data = _Data()
    x = alt.X(
        "severity:O",
        title="severity",
        sort=list(columns),
        axis=alt.Axis(labelAngle=0, orient="bottom", domain=False, ticks=False),
    )
    y = alt.Y("label:N", title=None, sort=list(order), axis=alt.Axis(labelLimit=118, domain=False, ticks=False))
    base = alt.Chart(data(rows)).encode(x=x, y=y)
    scale = alt.Scale(
        domain=[-limit, 0, limit], range=["$div-low", "$div-mid", "$div-high"], interpolate="rgb", clamp=True
    )
    tip = [
        alt.Tooltip("label:N", title="corruption"),
        alt.Tooltip("severity:O"),
        alt.Tooltip("value:Q", title="points", format="+.2f"),
    ]
    cells = base.mark_rect(stroke="$paper", strokeWidth=1.5).encode(
        color=alt.Color("value:Q", scale=scale, legend=None), tooltip=tip
    )
    figures = base.mark_text(fontSize=9.5, color="$ink").encode(text=alt.Text("value:Q", format="+.1f"), tooltip=tip)
    return _finish(alt.layer(cells, figures), 23 * len(order), data)


def grid_of_accuracy(rows: Sequence[Row], order: Sequence[str], columns: Sequence[str]) -> Spec:
    """Accuracies as coloured cells with their figures. Rows: label, severity, value (per cent)."""
    import altair as alt

    data = _Data()
    x = alt.X(
        "severity:O", title="severity", sort=list(columns), axis=alt.Axis(labelAngle=0, domain=False, ticks=False)
    )
    y = alt.Y("label:N", title=None, sort=list(order), axis=alt.Axis(labelLimit=140, domain=False, ticks=False))
    base = alt.Chart(data(rows)).encode(x=x, y=y)
    scale = alt.Scale(domain=[0, 100], range=["$div-mid", "$seq-high"], interpolate="rgb")
    tip = [
        alt.Tooltip("label:N", title="corruption"),
        alt.Tooltip("severity:O"),
        alt.Tooltip("value:Q", title="%", format=".2f"),
    ]
    cells = base.mark_rect(stroke="$paper", strokeWidth=1.5).encode(
        color=alt.Color("value:Q", scale=scale, legend=None), tooltip=tip
    )
    figures = base.mark_text(fontSize=11, color="$ink").encode(text=alt.Text("value:Q", format=".1f"), tooltip=tip)
    return _finish(alt.layer(cells, figures), 26 * len(order), data)


def shares(rows: Sequence[Row], order: Sequence[str], parts: Sequence[str]) -> Spec:
    """Stacked shares of 100 per cent, with figures where a part is wide enough.

    Rows: arm, part, start, end, middle, value (per cent).
    """
    import altair as alt

    data = _Data()
    y = alt.Y("arm:N", title=None, sort=list(order), axis=alt.Axis(labelLimit=130, domain=False, ticks=False))
    x = alt.X("start:Q", title="share of answers, %", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=5))
    tokens = ["$cue-low", "$cue-high", "$cue-other"][: len(parts)]
    tip = [
        alt.Tooltip("arm:N", title="arm"),
        alt.Tooltip("part:N", title="follows"),
        alt.Tooltip("value:Q", title="%", format=".1f"),
    ]
    bars = (
        alt.Chart(data(rows))
        .mark_bar(height=22, stroke="$paper", strokeWidth=1)
        .encode(
            x=x,
            x2="end:Q",
            y=y,
            color=alt.Color("part:N", scale=_arm_scale(parts, tokens), legend=None),
            opacity=_Ink.opacity(1.0, 0.2),
            tooltip=tip,
        )
    )
    wide = [r for r in rows if r["value"] >= 9]
    text = (
        alt.Chart(data(wide))
        .mark_text(fontSize=11, color="$cue-ink")
        .encode(
            x=alt.X("middle:Q", title="share of answers, %"), y=y, text=alt.Text("value:Q", format=".0f"), tooltip=tip
        )
    )
    return _finish(alt.layer(bars, text), 38 * len(order), data)


def churn(rows: Sequence[Row], kinds: Sequence[str], high: float) -> Spec:
    """Dropped, returned and fresh links per update of one arm. Rows: kind, x (update), value (per cent of active)."""
    import altair as alt

    data = _Data()
    x = alt.X("x:Q", title="update", axis=alt.Axis(tickCount=5, tickMinStep=1), scale=alt.Scale(nice=False))
    y = alt.Y("value:Q", title="% of active weights", scale=alt.Scale(domain=[0, high]), axis=alt.Axis(tickCount=4))
    hue = alt.Color("kind:N", scale=_arm_scale(kinds, ["$churn-0", "$churn-1", "$churn-2"][: len(kinds)]), legend=None)
    dash = alt.StrokeDash("kind:N", scale=_arm_scale(kinds, [[1, 0], [6, 3], [2, 2]][: len(kinds)]), legend=None)
    tip = [
        alt.Tooltip("kind:N", title="links"),
        alt.Tooltip("x:Q", title="update"),
        alt.Tooltip("value:Q", title="%", format=".2f"),
    ]
    base = alt.Chart(data(rows)).encode(x=x, y=y, color=hue)
    line = base.mark_line(strokeWidth=2).encode(strokeDash=dash)
    return _finish(alt.layer(line, base.mark_point(size=60, opacity=0).encode(tooltip=tip)), 170, data)


def _domain(values: Iterable[float]) -> tuple[float, float]:
    known = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    pad = 0.07 * (high - low) or max(abs(high), 1.0) * 0.05
    return (0.0 if low >= 0 and low - pad < 0 else low - pad), high + pad


def _ends(rows: Sequence[Row], low: float, high: float, height: int) -> list[dict[str, Any]]:
    """Where to write each arm's name: beside its last point, moved apart so that no two names overlap."""
    last: dict[str, Row] = {}
    for row in rows:
        last[str(row["arm"])] = row
    order = sorted(last.values(), key=lambda r: float(r["value"]))
    gap = 14 * (high - low) / height
    at = [float(r["value"]) for r in order]
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1] + gap)
    if at and at[-1] > high:
        at[-1] = high
        for i in range(len(at) - 2, -1, -1):
            at[i] = min(at[i], at[i + 1] - gap)
    return [{"arm": r["arm"], "x": r["x"], "at": y} for r, y in zip(order, at, strict=True)]

"""Charts of what came out: by arm, by corruption, over severities and sparsities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regrow.report.charts.tools import SIGNED, Data, Ink, Looks, Row, Spec, domain_of, finish


def strip(rows: Sequence[Row], means: Sequence[Row], arms: Looks, title: str) -> Spec:
    """One line per arm: a light dot for each seed, a tick at the mean. Rows: arm, seed, value."""
    import altair as alt

    data = Data()
    ink = Ink(arms)
    y = alt.Y("arm:N", sort=ink.names, title=None, axis=alt.Axis(labelLimit=130))
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False, nice=True, padding=12), axis=alt.Axis(tickCount=5))
    tip = [
        alt.Tooltip("arm:N", title="arm"),
        alt.Tooltip("seed:N", title="seed"),
        alt.Tooltip("value:Q", title=title, format=".4~r"),
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
            tooltip=[tip[0], alt.Tooltip("value:Q", title=f"mean, {title}", format=".4~r")],
        )
    )
    return finish(alt.layer(dots, ticks), data, step=38, lines=len(arms), by="arm")


def forest(rows: Sequence[Row], means: Sequence[Row], intervals: Sequence[Row], arms: Looks, title: str) -> Spec:
    """Paired differences: a dot per seed, a tick at the mean, a rule for the interval where there is one.

    Args:
        rows: arm, seed, value (points).
        means: arm, value.
        intervals: arm, low, high; an arm with fewer than three pairs is not in it.
        arms: name and look of each arm.
        title: of the x axis.
    """
    import altair as alt

    data = Data()
    ink = Ink(arms)
    y = alt.Y("arm:N", sort=ink.names, title=None, axis=alt.Axis(labelLimit=130))
    x = alt.X(
        "value:Q",
        title=title,
        scale=alt.Scale(zero=True, nice=True, padding=14),
        axis=alt.Axis(tickCount=5, labelExpr=SIGNED),
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
    return finish(alt.layer(*parts), data, step=38, lines=len(arms), by="arm")


def by_corruption(rows: Sequence[Row], order: Sequence[Row], arms: Looks, title: str) -> Spec:
    """A line per corruption under headings of families: one point per arm, joined by a thin span.

    Args:
        rows: label, arm, value (per cent), runs; with ``corruption`` and ``family`` where it is one.
        order: label (and family) of each line from the top; those in capitals are headings and have no points.
        arms: name and look of each arm.
        title: of the x axis.
    """
    import altair as alt

    data = Data()
    ink = Ink(arms)
    heading = "datum.value === upper(datum.value)"
    axis = alt.Axis(
        labelLimit=150,
        domain=False,
        labelFontWeight=alt.condition(heading, alt.value("bold"), alt.value("normal")),
        labelFontSize=alt.condition(heading, alt.value(10), alt.value(12)),
        grid=False,
    )
    y = alt.Y("label:N", sort=[str(line["label"]) for line in order], title=None, axis=axis)
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False, nice=True, padding=12), axis=alt.Axis(tickCount=6))
    every = alt.Chart(data(order)).mark_text(opacity=0, text=" ").encode(y=y)  # a heading has no point of its own
    points = data(rows)
    span = (
        alt.Chart(points)
        .transform_aggregate(low="min(value)", high="max(value)", groupby=["label"])
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
        alt.Chart(points)
        .mark_point(size=80, filled=True, strokeWidth=0, cursor="pointer")
        .encode(x=x, y=y, color=ink.colour, shape=ink.shape, opacity=ink.opacity(0.9), tooltip=tip)
    )
    return finish(alt.layer(every, span, dots), data, step=24, lines=len(order), by="label")


def lines(
    means: Sequence[Row],
    seeds: Sequence[Row],
    arms: Looks,
    *,
    x_title: str,
    y_title: str,
    height: int = 250,
    ordinal: Sequence[str] = (),
    points: bool = False,
    labels: bool = True,
    domain: tuple[float, float] | None = None,
    detached: str = "",
    zero: bool = False,
    bands: Sequence[Row] = (),
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
        bands: arm, x, low, high; drawn as areas behind the lines, in place of too many thin ones.
    """
    import altair as alt

    data = Data()
    ink = Ink(arms)
    figures = [r["value"] for r in (*means, *seeds)] + [r[end] for r in bands for end in ("low", "high")]
    low, high = domain or domain_of(figures)
    signs: dict[str, Any] = {"labelExpr": SIGNED} if zero else {}
    y_scale = alt.Scale(domain=[low, high], nice=False)
    y = alt.Y("value:Q", title=y_title, scale=y_scale, axis=alt.Axis(tickCount=5, **signs))
    if ordinal:
        x: Any = alt.X(
            "x:O", title=x_title, sort=list(ordinal), scale=alt.Scale(domain=list(ordinal)), axis=alt.Axis(labelAngle=0)
        )
    else:
        large = max((abs(float(r["x"])) for r in means), default=0.0) >= 1000
        axis = alt.Axis(tickCount=5, format="~s" if large else "~g")
        x = alt.X("x:Q", title=x_title, scale=alt.Scale(nice=False, zero=False), axis=axis)
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
    wide = [r for r in bands if str(r["x"]) != detached or not detached]
    if wide:
        parts.append(
            alt.Chart(data(wide), name="bands")
            .mark_area()
            .encode(
                x=x,
                y=alt.Y("low:Q", title=y_title, scale=y_scale),
                y2="high:Q",
                color=ink.colour,
                opacity=ink.opacity(0.13, 0.02),
            )
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
    return finish(alt.layer(*parts), data, height=height, room=room)


def scatter(rows: Sequence[Row], arms: Looks, *, x_title: str, y_title: str, cut: float, height: int = 320) -> Spec:
    """A point per corruption and arm over a ratio, on a logarithmic axis, with lines at no gain and at ``cut``.

    Args:
        rows: arm, corruption, label, family, x (above 0), value (signed).
        arms: name and look of each arm.
        x_title: of the x axis.
        y_title: of the y axis.
        cut: ratio at which nothing changes.
        height: of the plot in pixels.
    """
    import altair as alt

    data = Data()
    ink = Ink(arms)
    x = alt.X("x:Q", title=x_title, scale=alt.Scale(type="log", nice=False, padding=16), axis=alt.Axis(tickCount=5))
    y = alt.Y(
        "value:Q",
        title=y_title,
        scale=alt.Scale(domain=list(domain_of([0.0, *(float(r["value"]) for r in rows)])), nice=False),
        axis=alt.Axis(tickCount=5, labelExpr=SIGNED),
    )
    level = alt.Chart(data([{"value": 0}])).mark_rule(color="$ink-soft", strokeWidth=1.25).encode(y="value:Q")
    same = alt.Chart(data([{"x": cut}])).mark_rule(color="$rule-strong", strokeDash=[4, 4]).encode(x="x:Q")
    points = (
        alt.Chart(data(rows))
        .mark_point(size=80, filled=True, strokeWidth=0, cursor="pointer")
        .encode(
            x=x,
            y=y,
            color=ink.colour,
            shape=ink.shape,
            opacity=ink.opacity(0.85),
            tooltip=[
                alt.Tooltip("label:N", title="corruption"),
                alt.Tooltip("arm:N", title="arm"),
                alt.Tooltip("x:Q", title=x_title, format=".3~r"),
                alt.Tooltip("value:Q", title=y_title, format="+.2f"),
            ],
        )
    )
    return finish(alt.layer(level, same, points), data, height=height)


def sparsities(rows: Sequence[Row], means: Sequence[Row], intervals: Sequence[Row], arms: Looks, title: str) -> Spec:
    """Gain over dense against sparsity: a dot per seed, a line through the means, rules for intervals."""
    import altair as alt

    data = Data()
    ink = Ink(arms)
    x = alt.X("at:Q", title="sparsity", scale=alt.Scale(zero=False, padding=18), axis=alt.Axis(tickCount=5))
    y = alt.Y(
        "value:Q", title=title, scale=alt.Scale(zero=True, padding=8), axis=alt.Axis(tickCount=5, labelExpr=SIGNED)
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
            opacity=ink.opacity(0.4 if len(rows) <= 60 else 0.15),
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
    return finish(alt.layer(*parts), data, height=280)


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

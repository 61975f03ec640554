"""Charts of cells and shares: heat maps, stacked shares, links of each update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regrow.report.charts.tools import Data, Ink, Row, Spec, arm_scale, finish


def heat_map(rows: Sequence[Row], order: Sequence[str], columns: Sequence[str], limit: float) -> Spec:
    """Differences as coloured cells with their figures.

    Rows: label, severity, value (points). The colour scale goes from -limit to limit.
    """
    import altair as alt

    scale = alt.Scale(
        domain=[-limit, 0, limit], range=["$div-low", "$div-mid", "$div-high"], interpolate="rgb", clamp=True
    )
    value = alt.Tooltip("value:Q", title="points", format="+.2f")
    return _cells(rows, order, columns, scale, value, figures="+.1f", size=9.5, step=23, labels=118)


def grid_of_accuracy(rows: Sequence[Row], order: Sequence[str], columns: Sequence[str]) -> Spec:
    """Accuracies as coloured cells with their figures. Rows: label, severity, value (per cent)."""
    import altair as alt

    scale = alt.Scale(domain=[0, 100], range=["$div-mid", "$seq-high"], interpolate="rgb")
    value = alt.Tooltip("value:Q", title="%", format=".2f")
    return _cells(rows, order, columns, scale, value, figures=".1f", size=11, step=26, labels=140)


def _cells(
    rows: Sequence[Row],
    order: Sequence[str],
    columns: Sequence[str],
    scale: Any,
    value: Any,
    *,
    figures: str,
    size: float,
    step: int,
    labels: int,
) -> Spec:
    """Corruptions by severities: a coloured cell with its figure, which opens the images of the cell."""
    import altair as alt

    data = Data()
    x = alt.X(
        "severity:O",
        title="severity",
        sort=list(columns),
        axis=alt.Axis(labelAngle=0, orient="bottom", domain=False, ticks=False),
    )
    y = alt.Y("label:N", title=None, sort=list(order), axis=alt.Axis(labelLimit=labels, domain=False, ticks=False))
    base = alt.Chart(data(rows)).encode(x=x, y=y)
    tip = [alt.Tooltip("label:N", title="corruption"), alt.Tooltip("severity:O"), value]
    coloured = base.mark_rect(stroke="$paper", strokeWidth=1.5, cursor="pointer").encode(
        color=alt.Color("value:Q", scale=scale, title=None), tooltip=tip
    )
    text = base.mark_text(fontSize=size, color="$ink").encode(text=alt.Text("value:Q", format=figures), tooltip=tip)
    return finish(alt.layer(coloured, text), data, step=step, lines=len(order), by="label")


def shares(rows: Sequence[Row], order: Sequence[str], parts: Sequence[str]) -> Spec:
    """Stacked shares of 100 per cent, with figures where a part is wide enough.

    Rows: arm, part, start, end, middle, value (per cent).
    """
    import altair as alt

    data = Data()
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
            color=alt.Color("part:N", scale=arm_scale(parts, tokens), title=None),
            opacity=Ink.opacity(1.0, 0.2),
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
    return finish(alt.layer(bars, text), data, step=38, lines=len(order), by="arm")


def churn(rows: Sequence[Row], kinds: Sequence[str], high: float) -> Spec:
    """Dropped, returned and fresh links per update of one arm. Rows: kind, x (update), value (per cent of active)."""
    import altair as alt

    data = Data()
    x = alt.X("x:Q", title="update", axis=alt.Axis(tickCount=5, tickMinStep=1), scale=alt.Scale(nice=False))
    y = alt.Y("value:Q", title="% of active weights", scale=alt.Scale(domain=[0, high]), axis=alt.Axis(tickCount=4))
    hue = alt.Color("kind:N", scale=arm_scale(kinds, ["$churn-0", "$churn-1", "$churn-2"][: len(kinds)]), title=None)
    dash = alt.StrokeDash("kind:N", scale=arm_scale(kinds, [[1, 0], [6, 3], [2, 2]][: len(kinds)]), title=None)
    tip = [
        alt.Tooltip("kind:N", title="links"),
        alt.Tooltip("x:Q", title="update"),
        alt.Tooltip("value:Q", title="%", format=".2f"),
    ]
    base = alt.Chart(data(rows)).encode(x=x, y=y, color=hue)
    line = base.mark_line(strokeWidth=2).encode(strokeDash=dash)
    return finish(alt.layer(line, base.mark_point(size=60, opacity=0).encode(tooltip=tip)), data, height=170)


def grid(
    rows: Sequence[Row],
    columns: Sequence[str],
    lines: Sequence[str],
    limits: tuple[float, float],
    *,
    x_title: str,
    y_title: str,
    unit: str,
    figures: bool,
) -> Spec:
    """Any grid of numbers as coloured cells, in a scale that several grids can share.

    Args:
        rows: x, y (labels), value.
        columns: labels from the left.
        lines: labels from the top.
        limits: ends of the scale; with zero between them it is diverging (orange below, blue above), else it has one
            hue, so that neither needs a reader to tell red from green.
        x_title: of the x axis.
        y_title: of the y axis.
        unit: of the values.
        figures: whether each cell has its number in it.
    """
    import altair as alt

    data = Data()
    low, high = limits
    diverging = low < 0 < high
    steps = ["$div-low", "$div-mid", "$div-high"] if diverging else ["$div-mid", "$seq-high"]
    scale = alt.Scale(domain=[low, 0, high] if diverging else [low, high], range=steps, interpolate="rgb", clamp=True)
    crowded: dict[str, Any] = {"labelOverlap": True, "domain": False, "ticks": False}
    x = alt.X("x:O", title=x_title, sort=list(columns), axis=alt.Axis(labelAngle=0, orient="bottom", **crowded))
    y = alt.Y("y:O", title=y_title or None, sort=list(lines), axis=alt.Axis(labelLimit=118, **crowded))
    form = "+.3~r" if diverging else ".3~r"
    tip = [
        alt.Tooltip("x:N", title=x_title or "column"),
        alt.Tooltip("y:N", title=y_title or "line"),
        alt.Tooltip("value:Q", title=unit or "value", format=form),
    ]
    base = alt.Chart(data(rows)).encode(x=x, y=y)
    gap = 1.5 if len(columns) * len(lines) <= 200 else 0
    cells = base.mark_rect(stroke="$paper", strokeWidth=gap).encode(
        color=alt.Color("value:Q", scale=scale, title=unit or None), tooltip=tip
    )
    parts = [cells]
    if figures:
        parts.append(
            base.mark_text(fontSize=10, color="$ink").encode(text=alt.Text("value:Q", format=form), tooltip=tip)
        )
    return finish(alt.layer(*parts), data, step=23 if len(lines) <= 24 else max(5, 460 // len(lines)), lines=len(lines))

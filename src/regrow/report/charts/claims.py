"""The chart of a claim: every arm with its two intervals, against zero and the margins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regrow.report.charts.tools import SIGNED, Data, Ink, Looks, Row, Spec, finish


def claim_forest(
    rows: Sequence[Row],
    seeds: Sequence[Row],
    arms: Looks,
    title: str,
    *,
    band: tuple[float, float] | None = None,
    lines: Sequence[tuple[str, float]] = (),
) -> Spec:
    """A line per comparison: mean, 95 % interval over seeds, and thinner below it the one over seeds and images.

    Args:
        rows: label, arm, value, and where they are known low, high, crossed_low and crossed_high.
        seeds: label, arm, seed, value; light dots.
        arms: name and look of each arm.
        title: of the x axis, with the unit.
        band: differences that count as none.
        lines: name and place of margins; zero has a line of its own.
    """
    import altair as alt

    data = Data()
    ink = Ink(arms)
    y = alt.Y("label:N", sort=[str(r["label"]) for r in rows], title=None, axis=alt.Axis(labelLimit=220, grid=False))
    scale = alt.Scale(zero=True, nice=True, padding=14)
    axis = alt.Axis(tickCount=6, labelExpr=SIGNED)

    def across(key: str) -> Any:
        return alt.X(f"{key}:Q", title=title, scale=scale, axis=axis)

    parts: list[Any] = []
    if band is not None:
        words = "differences in here count as none"
        parts.append(
            alt.Chart(data([{"low": band[0], "high": band[1], "words": words}]), name="band")
            .mark_rect(color="$band", opacity=1)
            .encode(x=across("low"), x2="high:Q", tooltip=alt.Tooltip("words:N", title="band"))
        )
    parts.append(
        alt.Chart(data([{"value": 0}])).mark_rule(color="$ink-soft", strokeWidth=1.25).encode(x=across("value"))
    )
    if lines:
        parts.append(
            alt.Chart(data([{"name": name, "value": value} for name, value in lines]), name="margins")
            .mark_rule(color="$ink-soft", strokeDash=[4, 3], strokeWidth=1.25)
            .encode(x=across("value"), tooltip=[alt.Tooltip("name:N"), alt.Tooltip("value:Q", format="+.2f")])
        )
    parts += _intervals(rows, seeds, data, ink, y, across)
    return finish(alt.layer(*parts), data, step=40, lines=len(rows), by="label")


def _intervals(rows: Sequence[Row], seeds: Sequence[Row], data: Data, ink: Ink, y: Any, across: Any) -> list[Any]:
    import altair as alt

    name = alt.Tooltip("label:N", title="arm")
    crossed = [r for r in rows if r.get("crossed_low") is not None]
    known = [r for r in rows if r.get("low") is not None]

    def ends(low: str, high: str, words: str) -> list[Any]:
        return [
            name,
            alt.Tooltip(f"{low}:Q", title=f"{words} from", format="+.2f"),
            alt.Tooltip(f"{high}:Q", title="to", format="+.2f"),
        ]

    parts = [
        alt.Chart(data([{"label": r["label"], "arm": r["arm"]} for r in rows]))
        .mark_text(opacity=0, text=" ")
        .encode(y=y),
        alt.Chart(data(seeds), name="seeds")
        .mark_point(size=26, filled=True, strokeWidth=0)
        .encode(
            x=across("value"),
            y=y,
            color=ink.colour,
            opacity=ink.opacity(0.35),
            tooltip=[name, alt.Tooltip("seed:N", title="seed"), alt.Tooltip("value:Q", format="+.2f")],
        ),
    ]
    if crossed:
        parts.append(
            alt.Chart(data(crossed), name="crossed")
            .mark_rule(strokeWidth=1.25, yOffset=9)
            .encode(
                x=across("crossed_low"),
                x2="crossed_high:Q",
                y=y,
                color=ink.colour,
                opacity=ink.opacity(0.9),
                tooltip=ends("crossed_low", "crossed_high", "seeds × images"),  # noqa: RUF001
            )
        )
    if known:
        parts.append(
            alt.Chart(data(known), name="intervals")
            .mark_rule(strokeWidth=3)
            .encode(
                x=across("low"),
                x2="high:Q",
                y=y,
                color=ink.colour,
                opacity=ink.opacity(1.0),
                tooltip=ends("low", "high", "95 %"),
            )
        )
    means = [r for r in rows if r.get("value") is not None]
    parts.append(
        alt.Chart(data(means), name="means")
        .mark_point(size=110, filled=True, stroke="$paper", strokeWidth=1.5)
        .encode(
            x=across("value"),
            y=y,
            color=ink.colour,
            shape=ink.shape,
            opacity=ink.opacity(1.0),
            tooltip=[name, alt.Tooltip("value:Q", title="mean", format="+.2f"), *ends("low", "high", "95 %")[1:]],
        )
    )
    return parts

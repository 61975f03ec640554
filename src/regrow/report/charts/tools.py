"""What every chart of the page is made with: colours by name, the look of each arm, rows beside the specification."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
Row = Mapping[str, Any]
#: Name and look of each arm.
Looks = Sequence[tuple[str, int]]

#: Number of colours for arms; more arms go round again with another shape and dash.
N_COLOURS = 8
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
DASHES = [[1, 0], [7, 3], [2, 3], [10, 3, 2, 3], [14, 5]]
SIGNED = "datum.value === 0 ? '0' : format(datum.value, '+')"
_FOCUS = "!focus || datum.arm === focus"

_AXIS = {
    "labelColor": "$ink-soft", "titleColor": "$ink-soft", "gridColor": "$rule", "domainColor": "$rule-strong",
    "tickColor": "$rule-strong", "labelFont": "$font", "titleFont": "$font", "labelFontSize": 12, "titleFontSize": 12,
    "titleFontWeight": 500, "labelPadding": 6, "titlePadding": 8, "tickSize": 4, "domain": False, "ticks": False,
}  # fmt: skip
#: Style of all charts. The page says which colours are which in its own words; a chart on its own has a legend.
CONFIG: Spec = {
    "background": "transparent", "font": "$font", "aria": False, "view": {"stroke": None}, "axis": _AXIS,
    "axisX": {"domain": True}, "axisY": {"grid": True}, "axisXQuantitative": {"grid": True},
    "axisBand": {"grid": False}, "text": {"font": "$font", "color": "$ink"},
    "line": {"strokeCap": "round", "strokeJoin": "round"},
    "title": {"color": "$ink", "font": "$font", "fontSize": 15, "fontWeight": 600, "anchor": "start", "offset": 12},
    "legend": {
        "orient": "bottom", "direction": "horizontal", "columns": 4, "labelColor": "$ink", "labelFont": "$font",
        "titleColor": "$ink-soft", "titleFont": "$font", "labelFontSize": 12, "titleFontSize": 12, "offset": 14,
        "titleFontWeight": 500, "labelLimit": 220, "symbolOpacity": 1,
    },
}  # fmt: skip


def colour(look: int) -> str:
    """Token of the colour of an arm: ``look`` modulo the number of colours (one colour a method)."""
    return f"arm-{look % N_COLOURS}"


def shape(look: int) -> str:
    """Shape of the points of an arm: another one for every variant of a method."""
    return SHAPES[(look + look // N_COLOURS) % len(SHAPES)]


def dash(look: int) -> list[int]:
    """Dashes of the line of an arm: solid for the first variant of a method."""
    return DASHES[(look // N_COLOURS) % len(DASHES)]


class Data:
    """The rows of one chart, kept beside its specification: Altair would check each of them, more than once."""

    def __init__(self) -> None:
        self.sets: dict[str, list[dict[str, Any]]] = {}

    def __call__(self, rows: Iterable[Row]) -> Any:
        """Rows as a data set that a layer can name; a chart needs no more than six digits."""
        import altair as alt

        name = f"rows-{len(self.sets)}"
        self.sets[name] = [{k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in r.items()} for r in rows]
        return alt.NamedData(name=name)


def arm_scale(names: Sequence[str], values: Sequence[Any]) -> Any:
    """A scale from names to one value each."""
    import altair as alt

    return alt.Scale(domain=list(names), range=list(values))


class Ink:
    """The encodings that give each arm the same look in every chart."""

    def __init__(self, arms: Looks) -> None:
        import altair as alt

        names = [name for name, _ in arms]
        self.names = names
        self.colour = alt.Color("arm:N", scale=arm_scale(names, ["$" + colour(i) for _, i in arms]), title=None)
        self.shape = alt.Shape("arm:N", scale=arm_scale(names, [shape(i) for _, i in arms]), title=None)
        self.dash = alt.StrokeDash("arm:N", scale=arm_scale(names, [dash(i) for _, i in arms]), title=None)

    @staticmethod
    def opacity(full: float, faint: float = 0.08) -> Any:
        """``full`` for the arm in focus (or all), ``faint`` for the others."""
        import altair as alt

        return alt.condition(_FOCUS, alt.value(full), alt.value(faint))


def finish(
    chart: Any, data: Data, *, height: int = 0, step: int = 0, lines: int = 0, by: str = "", room: int = 0
) -> Spec:
    """The specification of a chart as wide as its place on the page.

    Args:
        chart: made with Altair.
        data: its rows.
        height: of the plot in pixels; or
        step: height of each of its ``lines``.
        lines: how many there are.
        by: key of the rows that makes a line, so that the page can make the chart smaller where it hides some.
        room: pixels on the right for the names at the ends of lines, where there is room.

    Returns:
        Vega-Lite; ``usermeta`` holds what the page needs before it draws.
    """
    height = height or step * lines
    spec: Spec = chart.properties(width="container", height=height).to_dict(validate=False)  # a test does
    for key in ("$schema", "config"):
        spec.pop(key, None)
    spec["params"] = [{"name": "focus", "value": ""}]
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    spec["datasets"] = data.sets
    spec["usermeta"] = {"room": height + 52, "labelRoom": room, "step": step, "by": by}
    return spec


def domain_of(values: Iterable[float]) -> tuple[float, float]:
    """Limits of an axis with a little room; from zero where the values come near it."""
    known = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    pad = 0.07 * (high - low) or max(abs(high), 1.0) * 0.05
    return (0.0 if low >= 0 and low - pad < 0 else low - pad), high + pad

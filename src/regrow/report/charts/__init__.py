"""Vega-Lite specifications of the page's charts, made with Altair from plain rows.

Colours are written as ``$token``; the page's script replaces them by the CSS custom property ``--token`` of the
reader's theme, so a chart has one specification for light and dark. Every chart has a parameter ``focus``: the arm that
the legend points at, or empty. Rows that belong to an arm or to a family say so in ``arm`` and ``family``, by which the
page filters them.
"""

from regrow.report.charts.cells import churn, grid, grid_of_accuracy, heat_map, shares
from regrow.report.charts.claims import claim_forest
from regrow.report.charts.results import by_corruption, forest, lines, scatter, sparsities, strip
from regrow.report.charts.tools import CONFIG, N_COLOURS, SHAPES, Looks, Row, Spec, colour, shape

__all__ = [
    "CONFIG",
    "N_COLOURS",
    "SHAPES",
    "Looks",
    "Row",
    "Spec",
    "by_corruption",
    "churn",
    "claim_forest",
    "colour",
    "forest",
    "grid",
    "grid_of_accuracy",
    "heat_map",
    "lines",
    "scatter",
    "shape",
    "shares",
    "sparsities",
    "strip",
]

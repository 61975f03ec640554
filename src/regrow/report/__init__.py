"""Tables and charts of a study as one HTML page that needs nothing else: no network, no second file.

``render(view)`` and ``render_check(check)`` are pure functions from plain values to the text of a page;
``tables(view)`` gives the same numbers as tables for CSV and Markdown. They read no run, no model and no clock, so the
same values always make the same bytes. ``export_charts(view, out)`` writes the charts as files.
"""

from regrow.report.check import CheckView, render_check
from regrow.report.compare import render_comparison
from regrow.report.export import export_charts
from regrow.report.page import render
from regrow.report.table import Column, Table
from regrow.report.tables import tables

__all__ = ["CheckView", "Column", "Table", "export_charts", "render", "render_check", "render_comparison", "tables"]

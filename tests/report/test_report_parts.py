"""The building blocks of a section: the numbers they show are those they were given, however many there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from regrow.report import parts, render
from regrow.study.view import StudyView
from regrow.verdict.arms import arms_of

Study = Callable[..., StudyView]


def _rows(figure: Any, *keys: str) -> list[dict[str, Any]]:
    return [r for rows in figure.spec["datasets"].values() for r in rows if all(k in r for k in keys)]


def test_a_curve_shows_the_mean_over_the_seeds_that_all_have_a_point(study: Study) -> None:
    arms = arms_of(study(n_seeds=2))
    curves = {
        "dense": {0: [(1.0, 0.5), (2.0, 0.25)], 1: [(1.0, 0.7), (2.0, float("nan"))]},
        "unknown": {0: [(1.0, 9.0)]},
    }
    figure = parts.curve("fig-x", "X", curves, arms, x_title="radius", y_title="%", factor=100, kind="percent")
    assert figure is not None
    assert figure.table is not None
    assert figure.table.rows == ((1.0, pytest.approx(0.6)),)
    assert len(_rows(figure, "seed")) == 3
    assert "2 seeds per arm" in figure.caption
    assert parts.curve("fig-x", "X", {"dense": {0: []}}, arms, x_title="x", y_title="y") is None


def test_many_seeds_become_bands_of_one_standard_deviation_and_are_said_to_be_left_out(study: Study) -> None:
    arms = arms_of(study(n_seeds=1))
    values = np.random.default_rng(0).normal(size=(parts.MAX_SEED_LINES + 1, 3))
    curves = {"dense": {i: [(float(x), float(y)) for x, y in enumerate(line)] for i, line in enumerate(values)}}
    figure = parts.curve("fig-x", "X", curves, arms, x_title="x", y_title="y")
    assert figure is not None
    assert not _rows(figure, "seed")
    for row in _rows(figure, "low", "high"):
        at = values[:, int(row["x"])]
        assert (row["low"] + row["high"]) / 2 == pytest.approx(at.mean(), rel=1e-4, abs=1e-4)
        assert (row["high"] - row["low"]) / 2 == pytest.approx(at.std(ddof=1), rel=1e-4)
    assert f"the {len(values)} single lines are left out" in figure.caption


@pytest.mark.parametrize("shape", [(3, 4), (64, 64), (100, 90), (1, 130)])
def test_a_grid_keeps_every_value_in_its_table_and_means_of_neighbours_in_its_picture(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(1).normal(size=shape)
    values[0, 0] = np.nan
    figure = parts.grid(
        "fig-g", "G", values, range(shape[1]), range(shape[0]), limits=(-3, 3), unit="points", x_title="u", y_title="v"
    )
    assert figure.table is not None
    back = np.array([[np.nan if v is None else v for v in row[1:]] for row in figure.table.rows], float)
    np.testing.assert_array_equal(back, values)
    drawn = _rows(figure, "x", "y", "value")
    assert len({r["x"] for r in drawn}) <= parts.MAX_GRID_SIDE
    assert len({r["y"] for r in drawn}) <= parts.MAX_GRID_SIDE
    step = -(-max(shape) // parts.MAX_GRID_SIDE)
    for row in drawn[:: max(1, len(drawn) // 50)]:
        i, j = int(row["y"]), int(row["x"])
        assert row["value"] == pytest.approx(np.nanmean(values[i : i + step, j : j + step]), rel=1e-4, abs=1e-5)
    assert ("mean of up to" in figure.caption) == (step > 1)


def test_values_by_arm_and_pictures_come_through(study: Study) -> None:
    arms = arms_of(study(n_seeds=2))
    figure = parts.by_arm("fig-a", "A", {"dense": {0: 0.2, 1: 0.4}}, arms, unit="share")
    assert figure is not None
    assert [r["value"] for r in _rows(figure, "value") if "seed" not in r] == [pytest.approx(0.3)]
    assert parts.by_arm("fig-a", "A", {"dense": {0: float("nan")}}, arms, unit="share") is None
    images = [np.full((8, 8, 3), v, np.uint8) for v in (0, 255)]
    strip = parts.pictures([("one", "words", [images[0], None]), ("two", "", images)], ("a", "b"), "What they are.")
    ((_, rows),) = strip.panels
    assert [[p is None for _, p in row.cells] for row in rows] == [[False, True], [False, False]]


def test_a_section_of_parts_makes_a_page(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    from regrow.report import page
    from regrow.report.blocks import Grid, Section

    def section(view: StudyView, arms: Any) -> Section:
        del view, arms
        grids = tuple(
            parts.grid(f"fig-heat-{i}", f"Heat {i}", np.eye(5) - 0.5, range(5), range(5), limits=(-1, 1), unit="points")
            for i in range(2)
        )
        return Section("more", "More", "Results", "What it is.", (Grid(grids),))

    monkeypatch.setattr(
        page, "SECTIONS", (section, lambda v, a: parts.empty("none", "None", "Results", "It.", "No run."))
    )
    html = render(study(n_seeds=1))
    assert 'id="fig-heat-1"' in html
    assert "No run." in html


def test_a_page_of_five_hundred_runs_is_below_fifteen_megabytes(
    large_study: Callable[..., StudyView], verdict_maker: Callable[..., Any]
) -> None:
    view = large_study()
    assert len(view.runs) == 500
    assert all(len(r.scores) >= 76 for r in view.runs)
    html = render(view, verdict_maker(("static", "set", "rigl", "mest", "granet")))
    assert len(html.encode()) < 15_000_000
    assert "the 500 single lines are left out" in html
    assert "The first 150 of 500 rows; what is saved has all of them." in html

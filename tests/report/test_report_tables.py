"""The tables hold the numbers of the runs, and survive Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.report import Column, Table, tables
from regrow.report.table import shown, significant
from regrow.study.view import CellScore, StudyView
from regrow.verdict.arms import arms_of, differences, over

Study = Callable[..., StudyView]


def _plain_mean(view: StudyView, name: str, corruptions: list[str]) -> float:
    """Mean over seeds, types and severities, written out the slow way."""
    values = []
    for run in view.runs:
        if run.arm == name and run.state == "done":
            cells = [run.scores[c, s].accuracy for c in corruptions for s in view.severities]
            values.append(sum(cells) / len(cells))
    return sum(values) / len(values)


def test_the_summary_equals_means_made_again(study: Study) -> None:
    view = study(n_seeds=3)
    table = tables(view)["summary"]
    for row in table.rows:
        cell = dict(zip([c.key for c in table.columns], row, strict=True))
        assert cell["mean8"] == pytest.approx(_plain_mean(view, str(row[0]), list(view.common)))
        noise = [c for c in view.common if view.families[c] == "noise"]
        assert cell["noise"] == pytest.approx(_plain_mean(view, str(row[0]), noise))
        extras = [c for c in view.corruptions if c not in view.common]
        assert cell["extras"] == pytest.approx(_plain_mean(view, str(row[0]), extras))


def test_the_extras_never_move_the_mean(study: Study) -> None:
    view = study()
    gone = {(c, s): CellScore(0.0, 400) for c in ("saturate", "gaussian_blur") for s in view.severities}
    spoilt = replace(view, runs=[replace(r, scores={**r.scores, **gone}) for r in view.runs])
    assert tables(spoilt)["summary"].column("mean8") == tables(view)["summary"].column("mean8")
    assert set(tables(spoilt)["summary"].column("extras")) == {0.0}


def test_differences_are_paired_by_seed_and_recomputed(study: Study) -> None:
    view = study(n_seeds=3, states={("rigl", 0): "failed"})
    measure = over(view, view.common)
    dense = {r.seed: measure(r) for r in view.runs if r.method == "dense"}
    for row in tables(view)["differences"].rows:
        run = next(r for r in view.runs if r.arm == row[0] and r.seed == row[2])
        assert row[3] == pytest.approx((measure(run) or 0) - (dense[run.seed] or 0))
    assert [r[2] for r in tables(view)["differences"].rows if r[0] == "rigl 0.5"] == [1, 2]


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 5])
def test_an_interval_needs_three_pairs(study: Study, n_seeds: int) -> None:
    view = study(n_seeds=n_seeds)
    for d in differences(arms_of(view), over(view, view.common)):
        assert (d.low is None) == (d.high is None) == (d.p is None) == (n_seeds < 3)
    summary = tables(view)["summary"]
    sparse = [low for arm, low in zip(summary.column("arm"), summary.column("low"), strict=True) if arm != "dense"]
    assert all((low is None) == (n_seeds < 3) for low in sparse)


def test_holm_is_never_below_p(study: Study) -> None:
    summary = tables(study(n_seeds=5))["summary"]
    pairs = [(p, h) for p, h in zip(summary.column("p"), summary.column("p_holm"), strict=True) if p is not None]
    assert len(pairs) == 3
    assert all(float(h or 0) >= float(p) for p, h in pairs)


def test_a_run_without_every_cell_has_no_mean(study: Study) -> None:
    view = study(n_seeds=1)
    cut = [replace(r, scores={c: s for c, s in r.scores.items() if c != ("contrast", 3)}) for r in view.runs]
    assert set(tables(replace(view, runs=cut))["summary"].column("mean8")) == {None}


def test_every_run_is_counted_failed_ones_with_their_reason(study: Study) -> None:
    table = tables(study(states={("set", 1): "failed", ("rigl", 0): "planned"}))["runs"]
    assert len(table.rows) == 8
    assert sorted(map(str, table.column("state"))) == ["done"] * 6 + ["failed", "planned"]
    assert "the process was killed by signal 9" in table.column("reason")


def test_every_cell_is_exported_with_its_n(study: Study) -> None:
    view = study()
    assert len(tables(view)["cells"].rows) == sum(len(r.scores) for r in view.runs)
    assert set(tables(view)["cells"].column("n")) == {400}


def test_axes_make_arms_of_their_own_and_keep_their_own_dense(study: Study) -> None:
    view = study(axes=({"training.weight_decay": 0.0}, {"training.weight_decay": 0.001}))
    arms = arms_of(view)
    assert len({a.name for a in arms}) == len(arms) == 8
    for d in differences(arms, over(view, view.common)):
        assert d.reference.endswith(d.arm.name.split()[-1])


def test_colours_follow_the_method(study: Study) -> None:
    arms = arms_of(study(sparsities=(0.3, 0.5, 0.7)))
    colours = {a.method: {b.look % 8 for b in arms if b.method == a.method} for a in arms}
    assert all(len(c) == 1 for c in colours.values())
    assert len({a.look for a in arms}) == len(arms)


def test_every_table_has_rows_as_wide_as_its_columns(study: Study) -> None:
    for view in (study(), study(n_seeds=3, sparsities=(0.3, 0.7), data="cifar10"), study(kernels=False, methods=())):
        for table in tables(view).values():
            assert {len(row) for row in table.rows} <= {len(table.columns)}


anything = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=30)


@given(name=anything, value=st.floats(allow_nan=False), key=anything)
def test_csv_comes_back_as_it_went(name: str, value: float, key: str) -> None:
    made = Table("t", (Column(key, "Name"), Column("value", "Value", "number")), ((name, value), (name, None)))
    back = list(csv.reader(io.StringIO(made.to_csv(), newline="")))
    assert back[0] == [key, "value"]
    assert back[1][0] == name
    assert float(back[1][1]) == value
    assert back[2][1] == ""


@given(name=anything)
def test_markdown_cells_cannot_break_out(name: str) -> None:
    made = Table("t", (Column("name", name), Column("n", "n", "integer")), ((name, 1),)).to_markdown()
    lines = made.split("\n")
    assert len(lines) == 3
    assert "<" not in made
    assert all(line.replace("\\|", "").count("|") == 3 for line in lines)


@given(name=anything)
def test_latex_cells_cannot_break_out(name: str) -> None:
    made = Table(name, (Column("name", name), Column("n", "n", "integer")), ((name, 1),)).to_latex()
    lines = made.split("\n")
    assert lines[0].startswith("% ")
    assert [lines[i] for i in (1, 2, 4, 6, 7)] == [
        r"\begin{tabular}{lr}", r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"
    ]  # fmt: skip
    cell = lines[5].removesuffix(r" & 1 \\")
    for command in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", r"\textless{}", r"\textgreater{}",
                    r"\textbar{}", r"$-$", r"$\times$", *("\\" + sign for sign in "&%$#_{}")):  # fmt: skip
        cell = cell.replace(command, "")
    assert not set(cell.removeprefix("{}")) & set("\\&%$#_{}~^")


@given(st.floats(min_value=-1, max_value=1))
def test_printed_points_keep_two_decimals_and_their_sign(x: float) -> None:
    text = shown(x, "points").replace("\u2212", "-")
    assert float(text) == pytest.approx(100 * x, abs=0.00501)
    assert text[0] in "+-" or text == "0.00"


@given(st.floats(min_value=1e-4, max_value=1e12))
def test_three_digits_are_within_half_a_per_cent(x: float) -> None:
    assert float(significant(x).replace(",", "")) == pytest.approx(x, rel=0.00501)


def test_missing_and_broken_numbers_are_shown_as_missing() -> None:
    assert {shown(v, "percent") for v in (None, float("nan"), float("inf"))} == {"\u2013"}

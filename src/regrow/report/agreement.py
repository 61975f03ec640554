"""One section on four measures of the same thing: by which frequencies networks go, and whether the measures agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regrow.analysis import frequency_sides, reliance_report
from regrow.report.blocks import Prose, Section, TableBlock, listed
from regrow.report.parts import empty, of_images_alone, seeds_sentence
from regrow.report.spectral import GROUP
from regrow.report.table import Column, Table, Value, table
from regrow.study.view import StudyView
from regrow.verdict.arms import Arm

MEASURES = {
    "cue_splits": "answers where the cues conflict",
    "radius_curves": "accuracy lost with frequencies removed",
    "heat_map": "error under single frequencies",
    "input_gradient": "power of the loss gradient",
}


def agreement(view: StudyView, arms: Sequence[Arm]) -> Section:
    """Each arm beside dense training by every measure that was made."""
    intro = (
        "Four measures ask whether a network goes by low or by high frequencies. Each gives a balance, low minus high; "
        "a statement is made where the 95 % interval of its difference to dense training leaves out zero, from three "
        "seeds up. Single intervals, uncorrected: they describe, and judge no claim. A measure that contradicts the "
        "others is a warning against any of them."
    )
    id, title = "agreement", "Do the measures agree?"
    outputs = {arm.name: {run.seed: run.analyses for run in arm.done} for arm in arms}
    known = {name: by for name, by in outputs.items() if any(frequency_sides(one) for one in by.values())}
    if not known:
        none = "No finished run has a measure of it."
        return empty(id, title, GROUP, intro, none if view.modality == "image" else of_images_alone(view))
    there = [arm for arm in arms if arm.name in known]
    report = reliance_report(known)
    blocks = [TableBlock(_balances(there, report))]
    dense = next((arm for arm in there if arm.is_dense), None)
    pairs = [] if dense is None else [p for p in report["pairs"] if dense.name in (p["first"], p["second"])]
    if not pairs or dense is None:
        why = Prose("There is no dense arm beside another one, so nothing is compared.", "empty")
        return Section(id, title, GROUP, intro, (*blocks, why))
    return Section(
        id, title, GROUP, intro, (TableBlock(_pairs(pairs, dense.name)), *_words(pairs, dense.name), *blocks)
    )


def _pairs(pairs: Sequence[Mapping[str, Any]], dense: str) -> Table:
    columns = (
        Column("arm", "Arm"),
        Column("measure", "Measure"),
        Column("difference", "Balance minus that of dense", "signed"),
        Column("low", "95 % from", "signed"),
        Column("high", "to", "signed"),
        Column("n", "Seeds", "integer"),
        Column("statement", "Goes by, more than dense"),
    )
    rows: list[tuple[Value, ...]] = []
    for pair in pairs:
        sign = 1 if pair["second"] == dense else -1
        for name, row in pair["measures"].items():
            ends = sorted(sign * end for end in row["interval"]) if row["interval"] else (None, None)
            difference = None if row["difference"] is None else sign * row["difference"]
            rows.append(
                (_other(pair, dense), MEASURES[name], difference, *ends, row["n"], _turned(row["statement"], sign))
            )
    return table("Against dense training", columns, rows, "Balances lie in -1 to 1, each in the unit of its measure.")


def _other(pair: Mapping[str, Any], dense: str) -> str:
    return str(pair["first"] if pair["second"] == dense else pair["second"])


def _turned(statement: str, sign: int) -> str:
    return statement if sign > 0 else {"low": "high", "high": "low"}.get(statement, statement)


def _words(pairs: Sequence[Mapping[str, Any]], dense: str) -> tuple[Prose, ...]:
    by: dict[str, list[str]] = {}
    for pair in pairs:
        sign = 1 if pair["second"] == dense else -1
        by.setdefault(_turned(str(pair["agreement"]["statement"]), sign), []).append(_other(pair, dense))
    words = {
        "low": "goes by low frequencies more than dense",
        "high": "goes by high frequencies more than dense",
        "mixed": "is told otherwise by different measures",
        "undecided": "is not told apart from dense by any measure",
    }
    said = [f"{listed(names)}: {words[statement]}." for statement, names in by.items()]
    return (Prose(" ".join(said), "note"),)


def _balances(arms: Sequence[Arm], report: Mapping[str, Any]) -> Table:
    names = [name for name in MEASURES if any(name in report["arms"][arm.name]["measures"] for arm in arms)]
    columns = (Column("arm", "Arm"), *(Column(name, MEASURES[name].capitalize(), "signed") for name in names))
    rows = [
        (arm.name, *((report["arms"][arm.name]["measures"].get(name) or {}).get("balance") for name in names))
        for arm in arms
    ]
    note = f"Low minus high, mean over seeds ({seeds_sentence(arms)}). Where 0 lies is a convention of each measure."
    return table("Balance of low and high frequencies", columns, rows, note)

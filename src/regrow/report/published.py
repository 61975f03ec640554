"""Published figures on the same data, beside the study's own and never mixed with them."""

from __future__ import annotations

from collections.abc import Sequence

from regrow import literature
from regrow.report.blocks import Block, Prose, Section, TableBlock
from regrow.report.parts import empty
from regrow.report.table import Column, Table, Value, table
from regrow.study.view import StudyView
from regrow.verdict.arms import Arm, clean, mean, mean_name, over

GROUP = "Results"


def published(view: StudyView, arms: Sequence[Arm]) -> Section:
    """What others report on this data set, with its source and how it was had."""
    id, title = "published", "Published figures"
    intro = (
        "What is published on the same data set, for orientation: other networks, other lengths of training, often all "
        "its training data. No figure of it enters a result, a test or a verdict of this page."
    )
    found = literature.beside(str(view.data.get("name", "")))
    if not found:
        return empty(id, title, GROUP, intro, "No published figure on this data set is part of regrow.")
    findings = TableBlock(_findings_table(), folded=True)
    ours = _ours_table(view, arms)
    blocks: list[Block] = [TableBlock(ours)] if ours.rows else [Prose("This study has no finished run yet.", "empty")]
    return Section(id, title, GROUP, intro, (*blocks, TableBlock(_published_table(found)), findings))


def _ours_table(view: StudyView, arms: Sequence[Arm]) -> Table:
    common = over(view, view.common)
    rows: list[tuple[Value, ...]] = []
    for arm in arms:
        accuracies = [mean(common(r) for r in arm.done) if view.common else None, mean(clean(r) for r in arm.done)]
        if any(a is not None for a in accuracies):
            rows.append((arm.name, *accuracies, len(arm.done)))
    columns = (
        Column("arm", "Arm of this study"),
        Column("corrupted", f"Accuracy, {mean_name(view)}", "percent"),
        Column("clean", "Clean", "percent"),
        Column("seeds", "Seeds", "integer"),
    )
    train, test = view.data.get("n_train"), view.data.get("n_test")
    return table(
        "This study",
        columns,
        rows,
        f"Trained on {train} images, tested on {test}; mean over severities {', '.join(map(str, view.severities))}.",
    )


def _published_table(found: Sequence[literature.Figure]) -> Table:
    columns = (
        Column("model", "Network"),
        Column("method", "Training"),
        Column("sparsity", "Sparsity", "number"),
        Column("test", "Tested on"),
        Column("number", "Published"),
        Column("over", "Mean over"),
        Column("source", "Source"),
        Column("obtained", "Obtained"),
    )
    rows = [
        (f.model, f.method, f.sparsity, f.test, f"{f.metric} {f.text}", f.over, f.source.citation, f.obtained)
        for f in found
    ]
    meanings = "; ".join(f"{key}: {words}" for key, words in literature.OBTAINED.items())
    note = f"{meanings}. `regrow list literature` has repositories, commits and places."
    return table("Published on this data set", columns, rows, note)


def _findings_table() -> Table:
    columns = (
        Column("work", "Work"),
        Column("finding", "Finding"),
        Column("bearing", "What it means here"),
        Column("claims", "Bears on"),
        Column("paper", "Paper"),
    )
    rows = [(f.work, f.finding, f.bearing, ", ".join(f.claims), f.paper) for f in literature.findings()]
    return table("What other works found", columns, rows)

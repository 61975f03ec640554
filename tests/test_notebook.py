"""What a notebook shows of the objects that its user meets: short, well-formed, escaped, and from no network."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from regrow import RigL, attach
from regrow.data import spec
from regrow.markup import MAX_ROWS, html_table, markdown_table
from regrow.report.table import Column, table
from regrow.study.check import CheckedModel, CheckResult
from regrow.study.view import CLEAN, CellScore, RunView, StudyView
from regrow.verdict.model import ClaimVerdict, Verdict

#: In every text that an object may take from files, names or recipes.
EVIL = '<script src="https://example.org/x.js">alert(1)</script><img src=x onerror=y>&|'


class Page(HTMLParser):
    """Tags in order, texts, and whether every tag is closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.rows = 0
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        self.rows += tag == "tr"
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def run_view(arm: str, seed: int, accuracy: float, state: str = "done") -> RunView:
    return RunView(f"{arm}-{seed}", arm, 0.5, seed, {}, state, scores={CLEAN: CellScore(accuracy, 10)})


def study() -> StudyView:
    runs = [run_view(f"{EVIL}set", 0, 0.4), run_view(f"{EVIL}set", 1, 0.6), run_view("rigl", 0, 0.1, "planned")]
    return StudyView(
        folder=Path("x"),
        name=EVIL,
        title=EVIL,
        tier="T0",
        recipe={},
        precision={},
        environment={},
        data={},
        runs=runs,
        corruptions=["contrast"],
        severities=[1, 5],
        families={},
        common=["contrast"],
        problems=[EVIL],
    )


def verdict() -> Verdict:
    claim = ClaimVerdict(
        id="C1", title=EVIL, statement=EVIL, source=EVIL, value="refuted", headline=EVIL, scope="of this study only",
        paper="", registered=False, metric=EVIL, direction="greater", margin=0.0, arms=(), evidence=(), rivals=(),
        breaks="", settle="", why_not="",
    )  # fmt: skip
    return Verdict(EVIL, EVIL, "T0", EVIL, "", "", (claim,), 0, [EVIL], [], [])


def check() -> CheckResult:
    checked = CheckedModel(torch.nn.Identity(), EVIL, EVIL, spec("cues"), None)
    accuracy = {("clean", 0): 0.75, ("contrast", 1): 0.5, ("contrast", 5): 0.25}
    return CheckResult(checked, Path(EVIL), 20, [EVIL], accuracy, "cifar", EVIL, {}, notes=[EVIL])


def sparsifier() -> object:
    model = torch.nn.Sequential(torch.nn.Linear(30, 20), torch.nn.Linear(20, 10))
    return attach(model, torch.optim.SGD(model.parameters(), lr=0.1), RigL(0.5), total_steps=100)


OBJECTS = {
    "table": lambda: table(EVIL, [Column("a", EVIL), Column("b", "n", "percent")], [[EVIL, 0.5]], EVIL),
    "verdict": verdict,
    "check": check,
    "study": study,
    "sparsifier": sparsifier,
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_show_themselves_and_nothing_else(name: str) -> None:
    shown = OBJECTS[name]()._repr_html_()
    page = Page(shown)
    assert page.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "p"}
    assert page.attributes <= {"style", "scope"}
    assert len(shown) < 5000
    if name != "sparsifier":
        assert EVIL in "".join(page.texts)


def test_the_numbers_shown_are_the_objects_own() -> None:
    assert [t for t in Page(study()._repr_html_()).texts if re.fullmatch(r"\d of \d|[\d.]+%", t)] == [
        "2 of 2", "50.0%", "0 of 1",
    ]  # fmt: skip
    assert [t for t in Page(check()._repr_html_()).texts if t.endswith("%")] == ["50.0%", "25.0%"]
    assert "clean accuracy 75.0%" in "".join(Page(check()._repr_html_()).texts)
    made = sparsifier()
    texts = Page(made._repr_html_()).texts
    for name, mask in made.masks.items():
        assert texts[texts.index(name) + 2 : texts.index(name) + 4] == [f"{mask.numel():,}", f"{int(mask.sum()):,}"]
    texts = Page(verdict()._repr_html_()).texts
    assert "refuted" in texts
    assert "of this study only; exploratory" in texts
    assert (
        "exploratory"
        not in Page(
            replace(verdict(), claims=(replace(verdict().claims[0], registered=True, scope=""),))._repr_html_()
        ).texts
    )


@pytest.mark.parametrize(("n", "said"), [(MAX_ROWS, ""), (MAX_ROWS + 1, "1 more row."), (1500, "1,480 more rows.")])
def test_long_tables_are_cut_and_say_so(n: int, said: str) -> None:
    page = Page(html_table("t", ["i"], [[i] for i in range(n)], note="And so on."))
    assert page.rows == 1 + min(n, MAX_ROWS)
    assert page.texts[-1] == f"{said} And so on.".strip()


def test_markdown_of_a_table_keeps_its_cells() -> None:
    shown = table("t", [Column("a", EVIL), Column("b", "n", "integer")], [[EVIL, 1], ["x\ny", 2]])._repr_markdown_()
    assert shown == markdown_table([EVIL, "n"], [[EVIL, "1"], ["x\ny", "2"]], [False, True])
    lines = shown.splitlines()
    assert len(lines) == 4
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in lines)
    assert "<" not in shown

"""From a real study, however small, to its page: what was analysed is there, and what was not says why."""

from __future__ import annotations

from pathlib import Path

from regrow.report.blocks import Prose, Section
from regrow.report.page import sections_of
from regrow.study.load import load_study

ANALYSED = {
    "corruption-spectra",
    "frequencies",
    "single-frequencies",
    "loss-gradient",
    "kernels",
    "aliasing",
    "attribution",
    "placement",
    "sharpness",
}


def whys(section: Section) -> list[str]:
    return [block.text for block in section.blocks if isinstance(block, Prose) and block.tone == "empty"]


def test_every_analysis_of_a_study_is_on_its_page(finished: Path) -> None:
    sections = {section.id: section for section in sections_of(load_study(finished))}
    for id in sorted(ANALYSED):
        assert sections[id].figures, f"{id}: {whys(sections[id])}"
        for figure in sections[id].figures:
            assert figure.table is not None
            assert figure.table.rows
    assert [block.folded for block in sections["film"].blocks] == ["Play the masks"]
    for section in sections.values():
        assert section.figures or section.tables or section.blocks, section.id
    assert whys(sections["published"]) == ["No published figure on this data set is part of regrow."]


def test_attribution_of_a_run_speaks_of_its_first_test_images(finished: Path) -> None:
    view = load_study(finished)
    for run in view.runs:
        found = run.analyses["attribution"]
        assert found["n"] == 20
        (method,) = found["methods"].values()
        assert [(row["corruption"], row["severity"]) for row in method["cells"]] == [
            ("clean", 0),
            ("contrast", 5),
            ("gaussian_noise", 5),
        ]
        assert all(-1 <= row["rank_correlation"] <= 1 for row in method["cells"][1:])

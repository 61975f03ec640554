"""The page of a check: one network's numbers, with and without another to compare with."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from regrow.report import CheckView, render_check
from regrow.report.check import check_tables
from regrow.study.view import CellScore

FAMILIES = {"gaussian_noise": "noise", "defocus_blur": "blur", "contrast": "digital", "saturate": "digital"}
SCORES = {(c, s): CellScore(0.9 - 0.1 * i - 0.08 * s, 50) for i, c in enumerate(FAMILIES) for s in (1, 3, 5)}


@pytest.fixture
def check(small_examples: dict[tuple[str, int], Any]) -> CheckView:
    """A small check."""
    return CheckView(
        model="timm:net</script>",
        source="timm",
        n_parameters=1_234_567,
        folder="photos",
        n_images=50,
        n_classes=2,
        image_size=224,
        scale="imagenet",
        scale_note="200 px: the nearest table is imagenet's.",
        clean=CellScore(0.9, 50),
        scores=SCORES,
        families=FAMILIES,
        common=["gaussian_noise", "defocus_blur", "contrast"],
        examples=small_examples,
        notes=["a note"],
        environment={"python": "3.11"},
    )


def test_the_numbers_are_those_of_the_cells(check: CheckView) -> None:
    made = check_tables(check)
    rows = {str(r[0]): r[1] for r in made["summary"].rows}
    common = [v.accuracy for (c, _), v in SCORES.items() if c != "saturate"]
    assert rows["mean3"] == pytest.approx(sum(common) / len(common))
    assert rows["extras (1)"] == pytest.approx(sum(v.accuracy for (c, _), v in SCORES.items() if c == "saturate") / 3)
    assert len(made["cells"].rows) == 4


def test_the_page_is_the_same_twice_and_says_what_it_is(check: CheckView) -> None:
    page = render_check(check)
    assert page == render_check(check)
    assert "one network" in page
    assert "the nearest table is imagenet&#39;s" in page
    assert "net</script> under" not in page
    assert len(re.findall("<script", page.split("<main")[0])) == 0


def test_a_reference_is_drawn_beside(check: CheckView) -> None:
    both = replace(
        check, reference={"name": "other", "clean": 0.8, "scores": {k: v.accuracy - 0.1 for k, v in SCORES.items()}}
    )
    made = check_tables(both)["summary"]
    assert [c.key for c in made.columns] == ["measure", "accuracy", "reference"]
    assert all(float(r[1] or 0) - float(r[2] or 0) == pytest.approx(0.1) for r in made.rows)
    assert ">other<" in render_check(both)


def test_a_check_without_corruptions_or_pictures_still_makes_a_page(check: CheckView) -> None:
    page = render_check(replace(check, scores={}, examples={}, common=[]))
    assert "No corruption was evaluated" in page
    assert "No image was kept" in page

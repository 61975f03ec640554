"""Two studies side by side: differences where arms, seeds and images match, and words where they do not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from regrow.report import render_comparison
from regrow.report.compare import differences_between, evaluation_differences, setting_differences
from regrow.study.view import CellScore, StudyView

Study = Callable[..., StudyView]


def _raised(view: StudyView, by: float) -> StudyView:
    """The same study with every accuracy, clean ones left out, higher by ``by`` and a thousandth more for each seed."""
    runs = [
        replace(
            r, scores={c: CellScore(s.accuracy + (c[1] > 0) * (by + r.seed / 1000), s.n) for c, s in r.scores.items()}
        )
        for r in view.runs
    ]
    return replace(view, runs=runs, name="other", recipe={**view.recipe, "training": {"steps": 2400}})


@pytest.mark.parametrize("n_seeds", [2, 4])
def test_the_difference_is_b_minus_a_over_the_seeds_in_both(study: Study, n_seeds: int) -> None:
    a = study(n_seeds=n_seeds, states={("set", 0): "failed"})
    b = _raised(study(n_seeds=n_seeds + 1), 0.01)
    found = {d.arm.name: d for d in differences_between(a, b)}
    assert set(found) == {"dense", "static 0.5", "set 0.5", "rigl 0.5"}
    for name, d in found.items():
        assert d.seeds == tuple(range(name == "set 0.5", n_seeds))
        assert d.by_seed == pytest.approx([0.01 + seed / 1000 for seed in d.seeds])
        assert d.mean == pytest.approx(sum(d.by_seed) / d.n)
        assert (d.low is None) == (d.n < 3)


def test_no_difference_is_formed_over_other_images(study: Study) -> None:
    a = study(n_seeds=3)
    others = {
        "severities": replace(a, severities=[1, 2, 3]),
        "contrast": replace(a, common=[c for c in a.common if c != "contrast"]),
        "cifar10": study(n_seeds=3, data="cifar10"),
        "evaluation.mode": replace(a, recipe={**a.recipe, "evaluation": {"mode": "fast"}}),
        "number of test images": replace(a, data={**a.data, "n_test": 10}),
    }
    for word, b in others.items():
        apart = evaluation_differences(a, b)
        assert any(word.lower() in sentence.lower() for sentence in apart)
        assert differences_between(a, b) == ()
        page = render_comparison(a, b)
        assert "no difference is formed" in page
        assert "fig-between" not in page
        assert all(sentence.split(" is ")[0] in page for sentence in apart)
    assert evaluation_differences(a, _raised(a, 0.1)) == ()


def test_settings_that_differ_are_listed_and_no_others(study: Study) -> None:
    a, b = study(), _raised(study(), 0.0)
    made = setting_differences(a, b)
    keys = {str(k) for k in made.column("key")}
    assert "training.steps" in keys
    assert "model.width" not in keys
    assert all(x != y for x, y in zip(made.column("a"), made.column("b"), strict=True))
    assert setting_differences(a, a).rows == ()


def test_a_page_of_two_studies_is_whole_and_escaped(study: Study) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    a = study(n_seeds=3)
    b = replace(_raised(study(n_seeds=4, methods=("set", "mest")), 0.02), name=evil, problems=(evil,))
    page = render_comparison(a, b)
    assert page == render_comparison(a, b)
    assert "<img src=x" not in page
    assert "Only in A: static 0.5 and rigl 0.5." in page
    assert "Only in B: mest 0.5." in page
    assert "set 0.5: seeds in both are 0, 1 and 2" in page
    assert len(re.findall(r'data-chart="', page)) == 2
    empty = study(n_seeds=1, states={(m, 0): "planned" for m in ("dense", "static", "set", "rigl")}, examples=0)
    assert "no difference is formed" in render_comparison(empty, empty)

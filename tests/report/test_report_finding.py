"""The finding says what the numbers allow, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from regrow.report.finding import finding, underfit_sentence
from regrow.study.view import StudyView
from regrow.verdict.tiers import tier_sentence

Study = Callable[..., StudyView]
CLAIMS = (
    "raises",
    "lowers",
    "better",
    "worse",
    "wins",
    "improve",
    "outperform",
    "significant",
    "robust",
    "interval +",
    "p =",
)


@pytest.mark.parametrize("n_seeds", [1, 2])
@pytest.mark.parametrize("gain", [-0.2, 0.0, 0.2])
@pytest.mark.parametrize("tier", ["T0", "T0c", "T1"])
def test_below_three_seeds_nothing_is_claimed(study: Study, n_seeds: int, gain: float, tier: str) -> None:
    lead = finding(study(n_seeds=n_seeds, gain=gain, tier=tier)).lead
    assert "nothing is claimed" in lead
    assert not [word for word in CLAIMS if word in lead]


def test_below_three_seeds_every_difference_is_told(study: Study) -> None:
    lead = finding(study(n_seeds=2)).lead
    assert lead.count("\u2212") + lead.count("+") + lead.count(" 0.00") >= 6  # three arms, two seeds


def test_three_seeds_are_described_and_called_inconclusive(study: Study) -> None:
    lead = finding(study(n_seeds=3, gain=0.2, tier="T1")).lead
    assert "95 % interval" in lead
    assert "inconclusive" in lead
    assert "raises" not in lead


@pytest.mark.parametrize(("gain", "verb"), [(0.1, "raises"), (-0.1, "lowers")])
def test_five_seeds_with_a_clear_difference_are_a_statement(study: Study, gain: float, verb: str) -> None:
    view = study(n_seeds=5, gain=gain, tier="T1", methods=("set",))
    lead = finding(view).lead
    assert verb in lead
    assert "5 paired seeds" in lead
    assert "tier T1" in lead
    assert "in this study" in finding(replace(view, tier="T0c")).lead


def test_five_seeds_without_a_difference_are_no_statement(study: Study) -> None:
    lead = finding(study(n_seeds=5, gain=0.0, tier="T1", methods=("set",))).lead
    assert "raises" not in lead
    assert "lowers" not in lead


def test_an_arm_short_of_seeds_is_not_mixed_with_those_that_have_enough(study: Study) -> None:
    lead = finding(study(n_seeds=3, tier="T0c", states={("set", 1): "failed"})).lead
    assert "Nothing is claimed about arms with fewer than three paired seeds" in lead
    assert "95 % interval" in lead


def test_tiers_have_their_fixed_sentences() -> None:
    assert tier_sentence("T0") == "tier T0: shows the path, judges nothing"
    assert tier_sentence("T0c") == "tier T0c: shows spreads, does not judge the paper"


@pytest.mark.parametrize(("train", "labels"), [(0.9899, ("underfit",)), (0.99, ()), (1.0, ())])
def test_underfit_is_judged_by_the_dense_runs(study: Study, train: float, labels: tuple[str, ...]) -> None:
    view = study(train=train)
    assert finding(view).labels == labels
    assert bool(underfit_sentence(view)) == bool(labels)


def test_controls_name_what_was_and_was_not_run(study: Study) -> None:
    with_static, without = finding(study()).controls, finding(study(methods=("set",))).controls
    assert "Controls run: static" in with_static
    assert "Controls run: none" in without
    assert "pruned dense" in without


def test_controls_are_known_by_their_settings_whatever_they_are_called(study: Study) -> None:
    view = study(methods=("dense", "set"))
    entry = {"name": "static", "source": {"label": "dense", "masks": "magnitude"}}
    others = [
        entry,
        {"name": "dense", "narrow": True, "source": None},
        {"name": "dense", "training": {"weight_decay": 0.1}},
    ]
    base = [run for run in view.runs if run.method == "set"]
    runs = [replace(run, method=f"m{i}", settings={"method": other}) for i, other in enumerate(others) for run in base]
    assert (
        "Controls run: pruned dense, narrow dense, weight-decay"
        in finding(replace(view, runs=[*view.runs, *runs])).controls
    )


def test_an_unfinished_study_says_so(study: Study) -> None:
    none = {(m, s): "planned" for m in ("dense", "static", "set", "rigl") for s in range(2)}
    assert "No run has finished" in finding(study(states=none)).lead
    only_dense = {key: "failed" for key in none if key[0] != "dense"}
    assert "no pair" in finding(study(states=only_dense)).lead
    assert "No corruption was evaluated" in finding(replace(study(), common=[])).lead

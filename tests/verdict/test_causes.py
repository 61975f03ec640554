"""Controls and several references: whose effect it is, and that none is passed over."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

STATIC = {"name": "static"}
PULSE = {"name": "pulse"}
RIGL = {"name": "rigl"}
#: The method beats dense by 2 points; what the controls do is up to each test.
GAIN = {"controls": ["static", "pulse"]}
DYNAMICS = {"against": ["static", "pulse"]}


@pytest.fixture
def study(made, around):
    """A study of RigL beside dense, static and pulse, by their (mean, sd) over the seeds minus dense training."""

    def make(claim, methods=("dense", RIGL, STATIC, PULSE), seeds=5, skip=(), **effects):
        made_ = made(seeds=seeds, claim=claim, methods=list(methods))
        dense = 60 + around(0, 0.4, seeds, 99)
        points = {"dense": dense}
        for k, label in enumerate(label for label in made_.labels if label != "dense"):
            points[label] = dense + around(*effects.get(label, (0.0, 0.2)), seeds, k)
        for run in made_.runs:
            state = {"state": "failed", "result": None} if (run.label, run.settings.seeds.init) in skip else {}
            value = float(points[run.label][run.settings.seeds.init])
            made_.write(run, {} if state else dict.fromkeys(made_.cells, value), **state)
        return made_

    return make


def test_the_cause_is_separated_where_the_method_beats_every_control(study, claim_of) -> None:
    arm = claim_of(study(GAIN, rigl=(2.0, 0.2), static=(0.5, 0.2))).arms[0]
    assert (arm.value, arm.cause) == ("supported", "cause separated")
    assert (arm.same_effect, arm.not_run) == ((), ())
    assert {one.reference for one in arm.controls} == {"static", "pulse"}
    assert "Controls shown to be lower: static and pulse." in arm.sentence


def test_a_control_shows_the_same_effect_unless_it_is_shown_to_be_lower(study, claim_of) -> None:
    equal = claim_of(study(GAIN, rigl=(2.0, 0.2), static=(2.0, 0.2))).arms[0]
    unsure = claim_of(study(GAIN, rigl=(2.0, 0.2), static=(1.7, 1.0))).arms[0]
    higher = claim_of(study(GAIN, rigl=(2.0, 0.2), static=(4.0, 0.2))).arms[0]
    for arm in (equal, unsure, higher):
        assert (arm.value, arm.cause, arm.same_effect) == ("supported", "cause not separated", ("static",))
        assert "Controls not shown to be lower: static." in arm.sentence


def test_a_control_that_was_not_run_leaves_the_cause_open_and_is_named(study, claim_of) -> None:
    claim = {"controls": ["static", "narrow", "l1"]}
    found = claim_of(study(claim, rigl=(2.0, 0.2)))
    arm = found.arms[0]
    assert (arm.value, arm.cause, arm.same_effect) == ("supported", "cause not separated", ())
    assert arm.not_run == ("a narrower dense network of equal weights", "dense training with an L1 penalty")
    for words in arm.not_run:
        assert words in arm.sentence
        assert words in found.settle


def test_a_control_whose_runs_all_failed_was_not_run_and_is_named_once(study, claim_of) -> None:
    skip = [("static", seed) for seed in range(5)]
    arm = claim_of(study(GAIN, rigl=(2.0, 0.2), skip=skip)).arms[0]
    assert (arm.cause, arm.same_effect) == ("cause not separated", ())
    assert arm.not_run == ("a static random mask of equal layer densities",)


def test_a_control_with_fewer_seeds_than_the_claim_asks_for_separates_nothing(study, claim_of) -> None:
    skip = [("static", 0)]
    arm = claim_of(study(GAIN, rigl=(2.0, 0.1), static=(-3.0, 0.1), skip=skip)).arms[0]
    assert (arm.cause, arm.same_effect) == ("cause not separated", ("static",))


def test_controls_are_one_family(study, claim_of) -> None:
    """t = 3.1 with 4 degrees of freedom is p = 0.036; of two such controls each has 0.072 after Holm."""
    lower = (1.0, 5**0.5 / 3.1)
    arm = claim_of(study(GAIN, rigl=(2.0, 1e-4), static=lower, pulse=lower)).arms[0]
    p = 2 * stats.t.sf(3.1, 4)
    assert [one.p for one in arm.controls] == pytest.approx([p, p], rel=1e-2)
    assert [one.p_holm for one in arm.controls] == pytest.approx([2 * p, 2 * p], rel=1e-2)
    assert all(one.low > 0 for one in arm.controls)
    assert (arm.cause, set(arm.same_effect)) == ("cause not separated", {"static", "pulse"})
    alone = claim_of(study({"controls": ["static"]}, rigl=(2.0, 1e-4), static=lower))
    assert alone.arms[0].cause == "cause separated"


def test_without_support_there_is_no_cause(study, claim_of) -> None:
    arm = claim_of(study(GAIN, rigl=(0.0, 0.1))).arms[0]
    assert (arm.value, arm.cause, arm.controls) == ("equivalent", "", ())


def test_a_method_must_beat_all_it_is_compared_with(study, claim_of) -> None:
    def value(**effects):
        return claim_of(study(DYNAMICS, **effects)).arms[0].value

    assert value(rigl=(2.0, 0.2)) == "supported"
    assert value(rigl=(2.0, 0.2), static=(4.0, 0.2)) == "refuted"
    assert value(rigl=(2.0, 0.1), static=(2.0, 0.1)) == "equivalent"
    assert value(rigl=(2.0, 0.2), static=(2.0, 2.0)) == "inconclusive"
    assert value(rigl=(2.0, 0.1), static=(2.0, 0.1), pulse=(4.0, 0.1)) == "refuted"


def test_references_are_a_family_of_their_own_for_each_method(study, claim_of, verdict) -> None:
    methods = ["dense", RIGL, {"name": "set"}, STATIC, PULSE]
    made_ = study(DYNAMICS, methods, rigl=(2.0, 0.3), set=(1.0, 0.3), static=(0.2, 0.3), pulse=(0.4, 0.3))
    for arm in claim_of(made_).arms:
        p = [one.p for one in arm.comparisons]
        assert sorted(one.p_holm for one in arm.comparisons) == pytest.approx(
            sorted([2 * min(p), max(2 * min(p), max(p))])
        )
        assert {one.family for one in arm.comparisons} == {f"controls of {arm.arm}: 2"}
    assert verdict(made_).families == 2


def test_each_reference_is_what_scipy_says(study, claim_of) -> None:
    made_ = study(DYNAMICS, rigl=(2.0, 0.3), static=(0.2, 0.3))
    arm = claim_of(made_).arms[0]
    assert {one.reference for one in arm.comparisons} == {"static", "pulse"}
    for one in arm.comparisons:
        fit = stats.ttest_1samp(np.array(one.by_seed), 0)
        assert [one.p, one.low, one.high] == pytest.approx([fit.pvalue, *fit.confidence_interval(0.95)])


def test_missing_seeds_of_one_reference_do_not_hide_what_another_says(study, claim_of) -> None:
    few = [("pulse", seed) for seed in range(1, 5)]
    found = claim_of(study(DYNAMICS, rigl=(2.0, 0.2), static=(4.0, 0.2), skip=few)).arms[0]
    assert found.value == "refuted"
    some = [("pulse", 0)]
    assert claim_of(study(DYNAMICS, rigl=(2.0, 0.2), static=(4.0, 0.2), skip=some)).arms[0].value == "refuted"


def test_support_needs_seeds_against_every_reference(study, claim_of) -> None:
    few = [("pulse", seed) for seed in range(1, 5)]
    found = claim_of(study(DYNAMICS, rigl=(2.0, 0.2), skip=few)).arms[0]
    assert (found.value, found.cause) == ("inconclusive", "")
    assert "others have too few" in found.reason


def test_references_that_were_not_planned_leave_the_cause_open(study, claim_of) -> None:
    claim = {"against": ["static", "pulse", "pruned"]}
    found = claim_of(study(claim, rigl=(2.0, 0.2))).arms[0]
    assert (found.value, found.cause) == ("supported", "cause not separated")
    assert found.not_run == ("magnitude pruning after dense training",)


def test_a_sweep_is_one_comparison_each(study, claim_of) -> None:
    """Several arms of a role: the method must beat every one of them."""
    decays = [{"name": "dense", "label": f"decay{k}", "training": {"weight_decay": k / 1000}} for k in (1, 2, 4)]
    methods = ["dense", RIGL, *decays]
    claim = {"against": ["weight_decay", "narrow"]}
    good = claim_of(study(claim, methods, rigl=(2.0, 0.2))).arms[0]
    assert [one.reference for one in good.comparisons] == ["decay1", "decay2", "decay4"]
    assert good.value == "supported"
    assert claim_of(study(claim, methods, rigl=(2.0, 0.2), decay4=(4.0, 0.2))).arms[0].value == "refuted"


def test_a_label_names_an_arm_and_a_role_names_all_of_its_kind(study, claim_of) -> None:
    methods = ["dense", RIGL, {"name": "set"}, STATIC, PULSE]
    by_label = claim_of(study({"groups": ["set"], "against": ["static"]}, methods, set=(2.0, 0.2)))
    assert [(arm.arm, arm.comparisons[0].reference) for arm in by_label.arms] == [("set", "static")]
    by_role = claim_of(study({"groups": ["dst"]}, methods))
    assert [arm.arm for arm in by_role.arms] == ["rigl", "set"]


def test_an_arm_that_only_has_the_name_of_a_role_does_not_stand_for_it(study, claim_of) -> None:
    """A static mask trained at another rate is called static, and is not the control of equal training."""
    methods = ["dense", RIGL, {"name": "static", "training": {"lr": 0.5}}, PULSE]
    arm = claim_of(study(GAIN, methods, rigl=(2.0, 0.2))).arms[0]
    assert {one.reference for one in arm.controls} == {"pulse"}
    assert arm.not_run == ("a static random mask of equal layer densities",)


def test_the_words_of_the_page_say_which_controls_there_were(study, verdict) -> None:
    found = verdict(study(GAIN, skip=[("pulse", seed) for seed in range(5)]))
    assert found.controls_run == ["a static random mask of equal layer densities"]
    assert "dense training with pulsed zeroing" in found.controls_not_run
    assert "a static mask chosen at initialisation (SNIP)" in found.controls_not_run

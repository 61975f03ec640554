"""Findings beside the tests: each number beside one that is computed here in another way."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from regrow import corruptions, files
from regrow.verdict import Evidence

STATIC = {"name": "static"}


def named(claim, name):
    return [found for found in claim.evidence if found.name == name]


def test_the_best_of_several_is_set_beside_chance(filled, claim_of) -> None:
    """Of three equal normals the largest is expected 0.8463 standard deviations up."""
    claim = claim_of(filled({"a": (1.0, 0.5), "b": (0.2, 0.5), "c": (0.1, 0.5)}))
    (found,) = named(claim, "the best of several")
    assert found.numbers["arm"] == "a"
    assert found.numbers["best"] == pytest.approx(1.0)
    assert found.numbers["expected_by_chance"] == pytest.approx(0.8463 * 0.5 / 5**0.5, abs=1e-4)
    assert not named(claim_of(filled({"a": (1.0, 0.5)})), "the best of several")


def failing(study, failed=(), unfinished=(), value=lambda run: 60.0):
    for run in study.runs:
        if run.name in failed:
            study.write(run, {}, state="failed", result=None, reason="killed")
        elif run.name in unfinished:
            study.write(run, {}, state="running", result=None)
        else:
            study.write(run, dict.fromkeys(study.cells, value(run)))


def test_failed_runs_count_as_missing_and_once_with_the_worst_value(made, claim_of, verdict) -> None:
    study = made(seeds=6)
    value = {run.name: 60 + (run.label == "a") * 2 + 0.3 * run.settings.seeds.init for run in study.runs}
    value["a-s0.5-seed0"] -= 0.5
    failing(study, ["a-s0.5-seed5"], value=lambda run: value[run.name])
    claim = claim_of(study)
    assert claim.arms[0].comparisons[0].seeds == (0, 1, 2, 3, 4)
    (found,) = named(claim, "failed runs")
    rest = [value[f"a-s0.5-seed{k}"] - value[f"dense-s0-seed{k}"] for k in range(5)]
    left = [value[name] for name in value if name != "a-s0.5-seed5"]
    assert found.numbers["without"] == pytest.approx(np.mean(rest))
    assert found.numbers["least"] == pytest.approx(np.mean([*rest, min(left) - value["dense-s0-seed5"]]))
    assert found.numbers["greatest"] == pytest.approx(np.mean([*rest, max(left) - value["dense-s0-seed5"]]))
    assert "1 run of 12 failed: a-s0.5-seed5. They count as missing." in verdict(study).problems


def test_runs_that_are_not_finished_have_no_worst_value(made, claim_of) -> None:
    study = made(seeds=6)
    failing(study, unfinished=["a-s0.5-seed5"])
    assert not named(claim_of(study), "failed runs")


def test_what_is_not_worse_may_be_equal(filled, claim_of) -> None:
    claim = claim_of(filled({"a": (0.1, 0.2), "b": (1.0, 0.2)}, claim={"direction": "not_below", "margin": 0.5}))
    near, far = named(claim, "equivalence")
    for found, mean, is_equal in ((near, 0.1, True), (far, 1.0, False)):
        se = 0.2 / 5**0.5
        p = max(stats.t.sf((mean + 0.5) / se, 4), stats.t.cdf((mean - 0.5) / se, 4))
        assert found.numbers["p"] == pytest.approx(p)
        assert (p < 0.05) == is_equal == ("not inside" not in found.text)
    assert claim.value == "supported"


@pytest.fixture
def fifteen(made):
    """A study on the whole common set with cells by a function of run and cell."""

    def make(claim, value, methods=("dense", {"name": "set", "label": "a"}), **more):
        study = made(claims=[claim], methods=list(methods), evaluation={"corruptions": ["common"]}, **more)
        for run in study.runs:
            study.write(run, {cell: value(run, cell) for cell in study.cells})
        return study

    return make


def test_relative_robustness_is_corrupted_over_clean(fifteen, claim_of) -> None:
    claim = claim_of(
        fifteen(
            "C2", lambda run, cell: (80.0 if cell[1] == 0 else 40.0 + 20 * (run.label == "a")) + run.settings.seeds.init
        )
    )
    (found,) = named(claim, "relative robustness")
    seeds = np.arange(5)
    assert found.numbers == pytest.approx(
        {"a": np.mean((60 + seeds) / (80 + seeds)), "dense": np.mean((40 + seeds) / (80 + seeds))}
    )
    (line,) = named(claim, "effective robustness")
    assert line.text.startswith("Not computed")


def test_a_run_on_the_line_of_dense_networks_has_no_effective_robustness(fifteen, claim_of) -> None:
    """Dense and narrow networks lie on a line of the logits by construction; the method half a logit above it."""
    rng = np.random.default_rng(0)
    clean = {}

    def value(run, cell):
        x = clean.setdefault(run.name, rng.uniform(0.5, 1.5) - (run.label == "narrow"))
        y = 0.3 * x - 0.2 + 0.5 * (run.label == "a")
        return 100 / (1 + np.exp(-(x if cell[1] == 0 else y)))

    methods = ["dense", {"name": "set", "label": "a"}, {"name": "dense", "label": "narrow", "narrow": True}]
    (found,) = named(claim_of(fifteen("C2", value, methods)), "effective robustness")
    assert found.numbers["mean"] == pytest.approx(0.5)
    assert found.numbers["slope"] == pytest.approx(0.3)


def test_the_contrast_of_families_is_told_without_headroom_too(fifteen, claim_of) -> None:
    """The same shift of one logit in every cell is no contrast, though it is one in points."""

    def value(run, cell):
        name = cell[0]
        low = -1.0 if name != "clean" and corruptions.get(name).family == "noise" else 2.0
        shift = 1.0 * (run.label == "a") + 0.01 * run.settings.seeds.init * (run.label == "a")
        return 100 / (1 + np.exp(-(low + shift)))

    claim = claim_of(fifteen("C3", value))
    assert claim.arms[0].comparisons[0].mean > 5
    (found,) = named(claim, "without headroom")
    assert found.numbers["mean"] == pytest.approx(0.0, abs=1e-6)


def test_the_contrast_is_told_relative_to_the_error_and_at_matched_accuracy(fifteen, claim_of) -> None:
    """Errors a tenth smaller everywhere: no contrast relative to the error, and none where errors are equal.

    Types of noise are twice as hard, so that noise at severity k has the accuracy of others at severity 2 k.
    """

    def value(run, cell):
        if cell[0] == "clean":
            return 90.0
        error = 10.0 * cell[1] * (2 if corruptions.get(cell[0]).family == "noise" else 1) / 2 + 20
        jitter = 0.01 * run.settings.seeds.init * (run.label == "a")
        return 100 - error * (0.9 if run.label == "a" else 1.0) + jitter

    claim = claim_of(fifteen("C3", value))
    assert claim.arms[0].comparisons[0].mean == pytest.approx(
        1.5, abs=0.01
    )  # 30 points of error against 15 at severity 3
    (relative,) = named(claim, "relative to the error")
    assert relative.numbers["mean"] == pytest.approx(0.0, abs=0.02)
    (matched,) = named(claim, "at matched accuracy")
    severities = matched.numbers["severities"]
    assert severities["fog"] == 2 * severities["shot_noise"]
    assert matched.numbers["mean"] == pytest.approx(0.0, abs=1e-6)


def test_gains_are_ranked_against_the_high_frequencies_added_or_taken(fifteen, claim_of) -> None:
    """By the geometric mean over severities; a severity that has no ratio is left out."""
    names = corruptions.common_names()
    ratio = {name: 2.0 ** (k - 7) for k, name in enumerate(names)}
    gains = dict(zip(names, np.random.default_rng(1).permutation(15) / 10, strict=True))

    def value(run, cell):
        return 50 + (run.label == "a") * gains.get(cell[0], 0.0) + 0.01 * run.settings.seeds.init

    study = fifteen("C3", value)
    (found,) = named(claim_of(study), "gain against high frequencies")
    assert found.text.startswith("Not computed")
    content = json.loads((study.folder / "study.json").read_text())
    rows = [
        {"corruption": n, "severities": [{"high_power_ratio": v} for v in (r / 3, 3 * r, None)]}
        for n, r in ratio.items()
        for n, r in ratio.items()
    ]
    content["analyses"] = {"corruption_spectra": {"rows": rows}}
    files.write_json(study.folder / "study.json", content)
    (found,) = named(claim_of(study), "gain against high frequencies")
    rho = stats.spearmanr([ratio[n] for n in names], [gains[n] for n in names]).statistic
    assert found.numbers["rho"] == pytest.approx(rho)
    assert found.numbers["gains"] == pytest.approx(gains)
    assert found.numbers["ratios"] == pytest.approx(ratio)


def test_each_control_says_how_much_of_the_gap_it_closes(fifteen, claim_of) -> None:
    """q = (53 - 51.56) / (52.58 - 51.56) = 1.411765 where every seed has the same gaps."""
    level = {"dense": 51.56, "a": 52.58, "l1": 53.0}
    methods = ["dense", {"name": "set", "label": "a"}, {"name": "dense", "label": "l1", "training": {"l1": 1e-5}}]
    wiggle = np.random.default_rng(2).normal(size=5)
    claim = claim_of(fifteen("C7", lambda run, cell: level[run.label] + 0.1 * wiggle[run.settings.seeds.init], methods))
    (found,) = named(claim, "gap closure")
    assert found.numbers["q"] == pytest.approx(1.411765, abs=1e-6)
    (without,) = named(claim, "without weight decay")
    assert without.text == "Not run: dynamic sparse training without weight decay."


def test_figures_without_bounds_are_null_in_the_file(filled, verdict, tmp_path) -> None:
    found = verdict(filled({"a": (1.0, 0.5)}))
    odd = Evidence("odd", "no bounds", {"low": -math.inf, "both": (math.nan, 1.0), "fine": 2})
    claims = (replace(found.claims[0], evidence=(odd,)),)
    files.write_json(tmp_path / "verdict.json", replace(found, claims=claims).as_json())
    stored = files.read_json(tmp_path / "verdict.json")
    assert stored["claims"][0]["evidence"][0]["numbers"] == {"low": None, "both": [None, 1.0], "fine": 2}


def test_the_gain_without_weight_decay_is_shown(fifteen, claim_of) -> None:
    no_decay = {"name": "set", "label": "free", "training": {"weight_decay": 0.0}}
    l1 = {"name": "dense", "label": "l1", "training": {"l1": 1e-5}}
    methods = ["dense", {"name": "set", "label": "a"}, no_decay, l1]
    noise = np.random.default_rng(3).normal(size=(4, 5)) / 10

    def value(run, cell):
        k = ["dense", "a", "free", "l1"].index(run.label)
        return 50 + [0, 1, 0.2, 0.1][k] + noise[k, run.settings.seeds.init]

    (found,) = named(claim_of(fifteen("C7", value, methods)), "without weight decay")
    fit = stats.ttest_1samp(0.2 + noise[2] - noise[0], 0)
    assert [found.numbers["mean"], found.numbers["low"]] == pytest.approx(
        [np.mean(0.2 + noise[2] - noise[0]), fit.confidence_interval().low]
    )


def spatial(z: float, p: float, value: float) -> dict:
    """What `spatial_summary` leaves of the network as a whole, with rows that must not be taken for it."""
    row = {"layers": 3, "n_weights": 100, "value": value, "null_mean": 0.0, "null_sd": 1.0, "null_masks": 200}
    rows = [
        {"of": "mass", "by": "output", **row, "z": 99.0, "p": 0.9},
        {"of": "count", "by": "input", **row, "z": -99.0, "p": 0.9},
        {"of": "count", "by": "output", **row, "z": z, "p": p},
    ]
    return {"spatial": {"network": rows, "concentration": {"output": value, "input": 0.0, "kernel": None}}}


@pytest.fixture
def masks(made):
    """A study judged by the concentration of its masks: label -> (z, p, value) of each seed."""

    def make(labels, kinds, seeds=4, **claim):
        methods = ["dense", *kinds]
        study = made(claims=[{"id": "C4", **claim}], methods=methods, seeds=seeds)
        for run in study.runs:
            own = labels.get(run.label)
            analyses = {} if own is None else spatial(*own[run.settings.seeds.init])
            study.write(run, dict.fromkeys(study.cells, 60.0), analyses=analyses)
        return study

    return make


def test_masks_are_set_against_chance(masks, claim_of) -> None:
    z = [(4.0, 0.005, 0.9), (5.0, 0.005, 1.0), (6.0, 0.005, 1.1), (1.0, 0.3, 0.95)]
    near = [(0.1, 0.4, 0.02), (-0.1, 0.6, 0.0), (0.2, 0.4, 0.03), (0.0, 0.5, 0.01)]
    study = masks({"set": z, "rigl": near, "static": near}, [{"name": "set"}, {"name": "rigl"}, STATIC])
    claim = claim_of(study)
    assert [arm.value for arm in claim.arms] == ["supported", "inconclusive"]
    far, close = named(claim, "z against random masks")
    assert far.numbers["z"] == pytest.approx(4.0)
    assert far.numbers["p"] == pytest.approx((3 * 0.005 + 0.3) / 4)
    assert far.numbers["z_of_runs"] == [4.0, 5.0, 6.0, 1.0]
    assert "(p < 0.05) in 3 of them" in far.text
    assert (close.numbers["arm"], close.numbers["z"]) == ("rigl", pytest.approx(0.05))
    assert "(p < 0.05) in 0 of them" in close.text


def test_the_grouping_of_the_claim_decides_which_z(masks, claim_of) -> None:
    rows = [(1.0, 0.2, 0.5 + 0.1 * k) for k in range(4)]
    study = masks(
        {"set": rows, "static": rows}, [{"name": "set"}, STATIC], metrics=[{"kind": "concentration", "by": "input"}]
    )
    (found,) = named(claim_of(study), "z against random masks")
    assert found.numbers["z"] == -99.0


def test_masks_without_a_null_say_so(masks, claim_of) -> None:
    none = [(None, None, 0.5 + 0.1 * k) for k in range(4)]
    (found,) = named(
        claim_of(masks({"set": none, "static": none}, [{"name": "set"}, STATIC])), "z against random masks"
    )
    assert found.text == "set: not computed."


def curves(accuracy: float, clean: float) -> dict:
    """Radius curves of which those with a hard edge and unclipped pixels are the registered ones; they come last."""
    from regrow import analysis

    low, high = analysis.registered_radii(32)

    def rows(radii, registered):
        return [{"radius": r, "accuracy": accuracy + r / 1000 if registered else 0.1} for r in radii]

    ways = [(edge, clip) for edge in (2.0, "hard") for clip in (True, False)]

    return {
        "radius_curves": {
            "clean_accuracy": clean,
            "curves": [
                {"convention": c, "edge": edge, "clip": clip, "n": 9}
                | {"low": rows(low, (edge, clip) == ways[-1]), "high": rows(high, (edge, clip) == ways[-1])}
                for c in ("follow", "keep_dc")
                for edge, clip in ways
            ],
        }
    }


@pytest.fixture
def filtered(made):
    """A study judged by accuracy on filtered images, with a heat map and a gradient by a function of the run."""

    def make(claim, accuracy, bands=None, share=None, clean=lambda run: 0.8):
        study = made(claims=[claim])
        for run in study.runs:
            analyses = curves(accuracy(run), clean(run))
            if bands is not None:
                error = {name: {"mean": value, "cells": 5} for name, value in bands(run).items()}
                analyses |= {"heat_map": {"summary": {"error": error, "layers": {}}}}
                analyses |= {"gradients": {"input_gradient": {"share": share(run)}}}
            study.write(run, dict.fromkeys(study.cells, 60.0), analyses=analyses)
        return study

    return make


def test_the_radius_metric_is_the_loss_at_the_registered_radii(filtered, claim_of) -> None:
    noise = np.random.default_rng(4).normal(size=(2, 5)) / 100

    def accuracy(run):
        return 0.5 + 0.1 * (run.label == "a") + noise[int(run.label == "a"), run.settings.seeds.init]

    def clean(run):
        return 0.8 + 0.02 * (run.label == "a")

    for claim in ("C5a", "C5b"):
        found = claim_of(filtered(claim, accuracy, clean=clean))
        for one in found.arms[0].comparisons:
            assert list(one.by_seed) == pytest.approx(100 * (0.1 - 0.02 + noise[1] - noise[0]))
        assert found.value == ("supported" if claim == "C5a" else "refuted")


def test_bands_of_the_heat_map_and_the_gradient_s_share_are_paired_differences(filtered, claim_of) -> None:
    rng = np.random.default_rng(5)
    table = {(label, k): rng.uniform(0, 1, 4) for label in ("dense", "a") for k in range(5)}

    def of(run):
        return table[run.label, run.settings.seeds.init]

    def bands(run):
        return dict(zip(("low", "middle", "high"), of(run)[:3].tolist(), strict=True))

    claim = claim_of(filtered("C5a", lambda run: 0.5 + 0.01 * of(run)[3], bands, lambda run: float(of(run)[3])))
    names = [
        "heat map, low frequencies",
        "heat map, middle frequencies",
        "heat map, high frequencies",
        "input gradient",
    ]
    for k, name in enumerate(names):
        (found,) = named(claim, name)
        d = 100 * np.array([table["a", s][k] - table["dense", s][k] for s in range(5)])
        interval = stats.ttest_1samp(d, 0).confidence_interval()
        assert [found.numbers[key] for key in ("mean", "low", "high")] == pytest.approx([d.mean(), *interval])
        assert "a minus dense" in found.text


def test_without_heat_maps_the_evidence_says_so(filtered, claim_of) -> None:
    claim = claim_of(filtered("C5b", lambda run: 0.5 + 0.01 * run.settings.seeds.init))
    (found,) = named(claim, "heat map and input gradient")
    assert found.text.startswith("Not computed")

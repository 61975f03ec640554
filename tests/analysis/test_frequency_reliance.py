"""Which frequencies networks go by: statements that follow the numbers, and networks of which the answer is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from regrow import analysis, data, models
from regrow.analysis.frequency_reliance import MEASURES
from regrow.data.batches import normalise
from regrow.errors import InputError

RHO = np.hypot(*np.meshgrid(np.arange(-16, 16), np.arange(-16, 16), indexing="ij"))


def outputs(low: float, high: float) -> dict[str, dict[str, Any]]:
    """What the analyses would give of a network with these two sides by every measure (low + high = 1)."""
    curve = {
        "low": [{"radius": r, "accuracy": 0.9 - high} for r in (4.0, 8.0)],
        "high": [{"radius": r, "accuracy": 0.9 - low} for r in (1.0, 6.0)],
    }
    styles = [("keep_dc", "hard", False), ("follow", 1.0, False), ("follow", "hard", True), ("follow", "hard", False)]
    flat = {side: [{"radius": 2.0, "accuracy": 0.0}] for side in ("low", "high")}
    curves = [
        {"convention": c, "edge": e, "clip": k, **(curve if i == len(styles) - 1 else flat)}
        for i, (c, e, k) in enumerate(styles)
    ]
    error = np.where(RHO <= 4, low, np.where(RHO > 8, high, 0.123)).tolist()
    return {
        "reliance": {"low": low, "high": high, "other": 0.0, "n": 100},
        "radius_curves": {"n": 100, "clean_accuracy": 0.9, "curves": curves},
        "heat_map": {"image": [32, 32], "shape": [32, 32], "error": error, "layers": {}},
        "gradients": {"input_gradient": {"share": high}},
        "spatial": {"what": "is not looked at"},
    }


def arm(*lows: float) -> dict[int, dict[str, dict[str, Any]]]:
    return {seed: outputs(low, 1 - low) for seed, low in enumerate(lows)}


def test_sides_are_those_that_the_analyses_measured() -> None:
    found = analysis.frequency_sides(outputs(0.7, 0.3))
    assert list(found) == list(MEASURES)
    for sides in found.values():
        assert sides == pytest.approx((0.7, 0.3))
        assert sides.balance == pytest.approx(0.4)


def test_statements_follow_the_interval_of_the_mean_balance() -> None:
    lows = {"low": (0.8, 0.9, 0.7), "high": (0.1, 0.3, 0.2), "unsure": (0.4, 0.6, 0.55), "two": (0.9, 0.8)}
    report = analysis.reliance_report({name: arm(*values) for name, values in lows.items()}, level=0.9)
    said = {"low": "low", "high": "high", "unsure": "undecided", "two": "undecided"}
    for name, values in lows.items():
        balance = [2 * low - 1 for low in values]
        found = report["arms"][name]
        assert list(found["measures"]) == list(MEASURES)
        for row in found["measures"].values():
            assert (row["low"], row["high"]) == pytest.approx((np.mean(values), 1 - np.mean(values)))
            assert row["balance"] == pytest.approx(np.mean(balance))
            assert row["n"] == len(values)
            assert row["statement"] == said[name]
            if name == "two":
                assert row["interval"] is None
            else:
                sem = np.std(balance, ddof=1) / math.sqrt(len(balance))
                assert row["interval"] == pytest.approx(stats.t.interval(0.9, 2, np.mean(balance), sem))
        agreement = found["agreement"]
        assert agreement["statement"] == said[name]
        assert agreement[said[name]] == list(MEASURES)
        assert sum(len(agreement[side]) for side in ("low", "high", "undecided")) == len(MEASURES)


def test_pairs_are_compared_within_seeds_and_by_welch_without_common_ones() -> None:
    a, b = (0.8, 0.9, 0.7), (0.75, 0.86, 0.67)
    arms = {"a": arm(*a), "b": arm(*b), "c": {seed + 10: one for seed, one in arm(*b).items()}}
    report = analysis.reliance_report(arms)
    pairs = {(pair["first"], pair["second"]): pair for pair in report["pairs"]}
    assert list(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
    difference = 2 * (np.array(a) - np.array(b))
    sem = np.std(difference, ddof=1) / math.sqrt(3)
    row = pairs["a", "b"]["measures"]["heat_map"]
    assert row["interval"] == pytest.approx(stats.t.interval(0.95, 2, difference.mean(), sem))
    assert (row["test"], row["n"], row["statement"]) == ("paired", 3, "low")
    row = pairs["a", "c"]["measures"]["heat_map"]
    assert row["difference"] == pytest.approx(difference.mean())
    assert (row["test"], row["n"], row["statement"]) == ("welch", 3, "undecided")
    assert pairs["a", "b"]["agreement"]["statement"] == "low"
    assert pairs["a", "c"]["agreement"]["statement"] == "undecided"


def test_measures_that_contradict_are_said_to_and_those_that_do_not_see_the_truth_are_named() -> None:
    runs = arm(0.8, 0.9, 0.7)
    for seed, one in enumerate(runs.values()):
        one["gradients"]["input_gradient"]["share"] = 0.9 + 0.01 * seed
        one["reliance"] |= {"low": 0.4 + 0.1 * seed, "high": 0.5}
    report = analysis.reliance_report({"trained low": runs, "trained high": arm(0.2, 0.1, 0.15)})
    agreement = report["arms"]["trained low"]["agreement"]
    assert agreement == {
        "statement": "mixed",
        "low": ["radius_curves", "heat_map"],
        "high": ["input_gradient"],
        "undecided": ["cue_splits"],
    }
    assert analysis.unseen(report, {"trained low": "low", "trained high": "high"}) == {
        "trained low": ["cue_splits", "input_gradient"],
        "trained high": [],
        "trained low against trained high": ["input_gradient"],
    }
    assert analysis.unseen(report, {"trained high": "low"}) == {"trained high": list(MEASURES)}
    with pytest.raises(InputError, match="trained lou"):
        analysis.unseen(report, {"trained lou": "low"})


def test_what_was_not_measured_is_left_out() -> None:
    runs = arm(0.8, 0.9, 0.7)
    runs[0]["gradients"]["input_gradient"]["share"] = None  # flat everywhere
    for one in runs.values():
        del one["reliance"], one["spatial"]
        one["heat_map"] |= {"shape": [5, 5], "error": [[0.5] * 5] * 5}  # the middle has no high frequencies
    report = analysis.reliance_report({"a": runs, "b": arm(0.2, 0.1, 0.15)})
    assert {name: row["n"] for name, row in report["arms"]["a"]["measures"].items()} == {
        "radius_curves": 3,
        "input_gradient": 2,
    }
    pair = report["pairs"][0]["measures"]
    assert set(pair) == {"radius_curves", "input_gradient"}
    without = analysis.reliance_report({"a": arm(0.8, 0.9, 0.7)}, convention="keep_dc")
    assert without["arms"]["a"]["measures"]["radius_curves"]["low"] == pytest.approx(0.9)


@pytest.mark.parametrize("arms", [{}, {"a": {}}])
def test_arms_without_networks_are_refused(arms: Mapping[str, Any]) -> None:
    with pytest.raises(InputError, match="arms"):
        analysis.reliance_report(arms)


def trained(options: Mapping[str, float], seed: int, steps: int = 300) -> torch.nn.Module:
    """A small network, trained for seconds."""
    images = data.load_images("cues", "train", options=options, n=1000)
    x, labels = normalise(torch.from_numpy(images.images), images.spec), torch.from_numpy(images.labels)
    torch.manual_seed(seed)
    model = models.build("resnet8", 10, width=8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
    random = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        some = torch.randint(len(x), (16,), generator=random)
        optimizer.zero_grad()
        F.cross_entropy(model(x[some]), labels[some]).backward()
        optimizer.step()
        rate.step()
    return model.eval()


def analysed(model: torch.nn.Module) -> dict[str, Any]:
    """The four analyses on images that hold both cues, whatever the network was trained on."""
    conflict, test = data.load_images("cues", "conflict", n=200), data.load_images("cues", "test", n=200)
    spec, truth = test.spec, test.labels
    with torch.no_grad():
        answers = model(normalise(torch.from_numpy(conflict.images), spec)).argmax(1).numpy()
    x = normalise(torch.from_numpy(test.images), spec)
    return {
        "reliance": data.reliance(answers, conflict),
        "radius_curves": analysis.radius_curves(model, x, truth, conventions=["follow"]),
        "heat_map": analysis.heat_map(
            model, test.images, truth, mean=spec.mean, std=spec.std, eps=4.0, images_per_bin=12
        ),
        "gradients": {"input_gradient": analysis.input_gradients(model, x, truth, std=spec.std)},
    }


@pytest.mark.slow
def test_networks_trained_without_a_cue_are_reported_to_go_by_the_other() -> None:
    absent = {"low": {"train_high": 0.0}, "high": {"train_low": 0.0}}
    arms = {cue: {seed: analysed(trained(options, seed)) for seed in range(3)} for cue, options in absent.items()}
    report = analysis.reliance_report(arms)
    assert analysis.unseen(report, {"low": "low", "high": "high"}) == {"low": [], "high": [], "low against high": []}
    least = {"cue_splits": 0.6, "radius_curves": 0.3, "heat_map": 0.2, "input_gradient": 0.5}
    for measure, bound in least.items():
        assert report["arms"]["low"]["measures"][measure]["balance"] > bound
        assert report["arms"]["high"]["measures"][measure]["balance"] < -bound

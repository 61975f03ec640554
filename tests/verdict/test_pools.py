"""Which runs are set against which: sparsities pooled, axes apart, cells weighted, seeds and images paired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from regrow import corruptions
from regrow.study.load import load_study
from regrow.study.view import CLEAN
from regrow.verdict import judge

EVALUATION = {
    "corruptions": [
        *("gaussian_noise", "shot_noise", "defocus_blur", "motion_blur"),
        *("fog", "frost", "contrast", "pixelate"),
    ],
    "severities": [2, 5],
}


def seed_of(run) -> int:
    return run.settings.seeds.init


def in_cells(study, value) -> None:
    """Fill a study with ``value(run, cell)`` in points."""
    for run in study.runs:
        study.write(run, {cell: value(run, cell) for cell in study.cells})


def test_sparsities_are_pooled_before_the_test(made, claim_of) -> None:
    study = made(claim={"sparsity": [0.1, 0.5]}, sparsity=[0.1, 0.3, 0.5, 0.9])
    rng = np.random.default_rng(0)
    table = {run.name: 60 + rng.normal() + 2 * (run.label == "a") for run in study.runs}
    in_cells(study, lambda run, cell: table[run.name])
    arm = claim_of(study).arms[0]
    (one,) = arm.comparisons
    pooled = [np.mean([table[f"a-s{s}-seed{k}"] for s in (0.1, 0.3, 0.5)]) for k in range(5)]
    fit = stats.ttest_rel(pooled, [table[f"dense-s0-seed{k}"] for k in range(5)])
    assert [one.p, one.low, one.high] == pytest.approx([fit.pvalue, *fit.confidence_interval()])
    assert arm.sparsities == (0.1, 0.3, 0.5)
    assert one.family == "methods: 1"  # one test, not one a sparsity
    assert "at sparsity 0.1, 0.3 and 0.5" in arm.sentence


def test_a_seed_without_one_of_its_sparsities_does_not_count(made, claim_of, verdict) -> None:
    study = made(seeds=6, sparsity=[0.3, 0.5])
    rng = np.random.default_rng(1)
    for run in study.runs:
        gone = run.name == "a-s0.3-seed2"
        fields = {"state": "failed", "result": None} if gone else {}
        study.write(run, {} if gone else dict.fromkeys(study.cells, 60 + rng.normal()), **fields)
    (one,) = claim_of(study).arms[0].comparisons
    assert one.seeds == (0, 1, 3, 4, 5)
    assert any("1 run of 18 failed: a-s0.3-seed2" in line for line in verdict(study).problems)


def test_controls_are_pooled_over_the_same_sparsities(made, claim_of) -> None:
    """The static mask is far better at the sparsity of which the claim does not speak."""
    study = made(claim={"against": ["static"], "sparsity": [0.1, 0.5]}, controls=["static"], sparsity=[0.3, 0.5, 0.8])
    rng = np.random.default_rng(2)
    table = {run.name: 60 + 0.1 * rng.normal() + 9 * (run.settings.sparsity == 0.8) for run in study.runs}
    in_cells(study, lambda run, cell: table[run.name])
    (one,) = claim_of(study).arms[0].comparisons
    expected = [
        np.mean([table[f"a-s{s}-seed{k}"] - table[f"static-s{s}-seed{k}"] for s in (0.3, 0.5)]) for k in range(5)
    ]
    assert list(one.by_seed) == pytest.approx(expected)


def test_a_control_that_lacks_one_of_the_sparsities_is_no_control(made) -> None:
    study = made(claim={"against": ["static"]}, controls=["static"], sparsity=[0.3, 0.5])
    study.fill({"dense": np.arange(5.0), "a": np.arange(5.0) ** 1.1, "static": np.arange(5.0)})
    view = load_study(study.folder)
    (whole,) = judge(view).claims
    assert whole.arms[0].comparisons[0].n == 5
    (short,) = judge(replace(view, runs=[r for r in view.runs if (r.method, r.sparsity) != ("static", 0.3)])).claims
    assert short.value == "not testable"
    assert short.why_not == "nothing to compare with: a static random mask of equal layer densities was not run"


@pytest.mark.parametrize("state", ["running", "failed", "planned"])
def test_cells_of_a_run_that_is_not_done_do_not_count(made, claim_of, state: str) -> None:
    """It was trained once and is being trained again: what lies there is of the first time."""
    study = made(seeds=6)
    for run in study.runs:
        again = {"state": state} if run.name == "a-s0.5-seed2" else {}
        study.write(run, dict.fromkeys(study.cells, 60.0 + seed_of(run) ** 1.1 * (run.label == "a")), **again)
    assert claim_of(study).arms[0].comparisons[0].seeds == (0, 1, 3, 4, 5)


def test_an_arm_outside_the_range_of_the_claim_cannot_be_judged(made, claim_of) -> None:
    study = made(claim={"sparsity": [0.1, 0.5]}, sparsity=[0.7])
    study.fill({"dense": np.arange(5.0), "a": np.arange(5.0)})
    claim = claim_of(study)
    assert claim.value == "not testable"
    assert claim.why_not == "no arm has a sparsity of 0.1 to 0.5, which the claim speaks of"


def test_combinations_of_axes_are_judged_within_their_own(made, claim_of) -> None:
    study = made(axes={"training.lr": [0.1, 0.2]})
    rng = np.random.default_rng(3)
    level = {0.1: 40.0, 0.2: 80.0}
    gain = {0.1: 2.0, 0.2: -2.0}
    table = {}
    for run in study.runs:
        lr = run.axes["training.lr"]
        table[run.label, lr, seed_of(run)] = level[lr] + gain[lr] * (run.label == "a") + 0.1 * rng.normal()
    in_cells(study, lambda run, cell: table[run.label, run.axes["training.lr"], seed_of(run)])
    claim = claim_of(study)
    assert [(arm.arm, arm.value) for arm in claim.arms] == [("a lr=0.1", "supported"), ("a lr=0.2", "refuted")]
    assert [arm.comparisons[0].reference for arm in claim.arms] == ["dense lr=0.1", "dense lr=0.2"]
    for arm, lr in zip(claim.arms, (0.1, 0.2), strict=True):
        expected = [table["a", lr, k] - table["dense", lr, k] for k in range(5)]
        assert list(arm.comparisons[0].by_seed) == pytest.approx(expected)
    assert claim.value == "inconclusive"


def test_a_lost_run_of_a_study_with_axes_stays_in_its_combination(made, claim_of, verdict) -> None:
    study = made(seeds=6, axes={"training.lr": [0.1, 0.2]})
    rng = np.random.default_rng(4)
    in_cells(study, lambda run, cell: 60 + 2 * (run.label == "a") + 0.1 * rng.normal())
    (study.folder / "runs" / "a-s0.5-lr=0.2-seed1.json").unlink()
    claim = claim_of(study)
    assert [(arm.arm, arm.comparisons[0].seeds) for arm in claim.arms] == [
        ("a lr=0.1", (0, 1, 2, 3, 4, 5)),
        ("a lr=0.2", (0, 2, 3, 4, 5)),
    ]
    assert [line for line in verdict(study).problems if "not started" in line] == [
        "1 run of 24 not started: a-s0.5-lr=0.2-seed1. They count as missing."
    ]


def test_only_common_seeds_are_compared(made, claim_of, verdict) -> None:
    study = made(seeds=8)
    rng = np.random.default_rng(5)
    table = {run.name: 60 + rng.normal() for run in study.runs}
    for run in study.runs:
        if run.name not in ("dense-s0-seed7", "a-s0.5-seed0", "a-s0.5-seed1"):
            study.write(run, dict.fromkeys(study.cells, table[run.name]))
    (one,) = claim_of(study).arms[0].comparisons
    assert one.seeds == (2, 3, 4, 5, 6)
    assert list(one.by_seed) == pytest.approx(
        [table[f"a-s0.5-seed{k}"] - table[f"dense-s0-seed{k}"] for k in range(2, 7)]
    )
    said = " ".join(verdict(study).problems)
    assert "dense (7 of 8)" in said
    assert "a 0.5 (6 of 8)" in said
    assert "the seeds that both arms have" in said


def test_without_common_seeds_all_runs_are_compared_and_nothing_is_judged(made, claim_of) -> None:
    study = made(seeds=8)
    rng = np.random.default_rng(6)
    table = {run.name: 60 + rng.normal() + 5 * (run.label == "a") for run in study.runs}
    for run in study.runs:
        if (seed_of(run) < 4) == (run.label == "a"):
            study.write(run, dict.fromkeys(study.cells, table[run.name]))
    claim = claim_of(study)
    (one,) = claim.arms[0].comparisons
    fit = stats.ttest_ind(
        [table[f"a-s0.5-seed{k}"] for k in range(4)],
        [table[f"dense-s0-seed{k}"] for k in range(4, 8)],
        equal_var=False,
    )
    assert (claim.value, one.n) == ("not testable", 0)
    assert [one.welch.p, one.welch.low, one.welch.high] == pytest.approx([fit.pvalue, *fit.confidence_interval()])


def test_a_contrast_of_families_needs_every_type_of_them(made, claim_of) -> None:
    """Two types a family were tested; the registered families have three or four."""
    metric = {"of": ["noise"], "minus": ["blur", "weather", "digital"], "severities": [2, 5]}
    study = made(claim={"metrics": [metric]}, evaluation=EVALUATION)
    study.fill({"dense": np.arange(5.0), "a": np.arange(5.0) ** 1.1})
    claim = claim_of(study)
    assert claim.value == "not testable"
    for name in ("impulse_noise", "glass_blur", "zoom_blur", "snow", "jpeg_compression"):
        assert name in claim.why_not


def test_families_types_and_clean_images_are_weighted_as_the_claim_says(made, verdict) -> None:
    """The whole of the fifteen types at five severities, against means written out."""
    common = corruptions.common_names()
    kinds = {name: corruptions.get(name).family for name in common}
    metrics = {
        "noise minus the rest": {"of": ["noise"], "minus": ["blur", "weather", "digital"]},
        "common": {"of": ["common"]},
        "clean": {"of": ["clean"]},
        "fog and contrast at 4 and 5": {"of": ["fog", "contrast"], "severities": [4, 5]},
        "common minus clean": {"of": ["common"], "minus": ["clean"]},
    }

    def mean(cells, names, severities=(1, 2, 3, 4, 5)):
        return np.mean([cells[name, s] for name in names for s in severities])

    def family(cells, which):
        return mean(cells, [name for name in common if kinds[name] == which])

    expected = {
        "noise minus the rest": lambda c: (
            family(c, "noise") - np.mean([family(c, f) for f in ("blur", "weather", "digital")])
        ),
        "common": lambda c: mean(c, common),
        "clean": lambda c: c[CLEAN],
        "fog and contrast at 4 and 5": lambda c: mean(c, ["fog", "contrast"], (4, 5)),
        "common minus clean": lambda c: mean(c, common) - c[CLEAN],
    }
    claims = [{"id": f"m{k}", "title": name, "metrics": [m]} for k, (name, m) in enumerate(metrics.items())]
    study = made(evaluation={"corruptions": ["common"]}, claims=claims, seeds=3)
    rng = np.random.default_rng(8)
    table = {run.name: {cell: rng.uniform(20, 90) for cell in study.cells} for run in study.runs}
    in_cells(study, lambda run, cell: table[run.name][cell])
    for found in verdict(study).claims:
        of = expected[found.title]
        differences = [of(table[f"a-s0.5-seed{k}"]) - of(table[f"dense-s0-seed{k}"]) for k in range(3)]
        assert list(found.arms[0].comparisons[0].by_seed) == pytest.approx(differences), found.title


def test_the_paper_s_claim_is_over_all_fifteen_types_and_five_severities(made, claim_of) -> None:
    def why(names, severities):
        study = made(claims=["C1"], evaluation={"corruptions": names, "severities": severities})
        study.fill({"dense": np.arange(5.0), "a": np.arange(5.0)})
        return claim_of(study).why_not

    assert why(["common"], [1, 2, 3, 4, 5]) == ""
    assert "severities 2, 4" in why(["common"], [1, 3, 5])
    all_but_fog = [name for name in corruptions.common_names() if name != "fog"]
    assert why(all_but_fog, [1, 2, 3, 4, 5]).endswith("types fog")


def test_a_run_without_one_cell_has_no_mean(made, claim_of, verdict) -> None:
    study = made(claims=["C1"], seeds=6, evaluation={"corruptions": ["common"]})
    rng = np.random.default_rng(9)
    for run in study.runs:
        cells = {cell: 60 + rng.normal() for cell in study.cells}
        if run.name == "a-s0.5-seed3":
            del cells["fog", 2]
        study.write(run, cells)
    (one,) = claim_of(study).arms[0].comparisons
    assert one.seeds == (0, 1, 2, 4, 5)
    assert any("a-s0.5-seed3 (75 of 76)" in line for line in verdict(study).problems)


def test_the_crossed_interval_is_over_images_of_the_very_metric(made, claim_of) -> None:
    """Two-way mean squares of the per-image contrast, written out for 5 seeds x 40 images and two sparsities."""
    metric = {"kind": "accuracy", "of": ["gaussian_noise"], "minus": ["clean"], "severities": [3]}
    study = made(claim={"metrics": [metric]}, sparsity=[0.3, 0.5])
    rng = np.random.default_rng(10)
    hard = rng.normal(size=40)
    right = {(run.name, cell): hard + rng.normal(size=40) > 0 for run in study.runs for cell in study.cells}
    for run in study.runs:
        study.write_answers(run, {cell: right[run.name, cell] for cell in study.cells})
    (one,) = claim_of(study).arms[0].comparisons

    def of(name):
        return 100.0 * (right[name, ("gaussian_noise", 3)].astype(float) - right[name, CLEAN])

    d = np.array([(of(f"a-s0.3-seed{k}") + of(f"a-s0.5-seed{k}")) / 2 - of(f"dense-s0-seed{k}") for k in range(5)])
    s, n = d.shape
    rows, columns, grand = d.mean(1), d.mean(0), d.mean()
    ms_s, ms_i = n * np.var(rows, ddof=1), s * np.var(columns, ddof=1)
    rest = d - rows[:, None] - columns + grand
    ms_r = (rest**2).sum() / ((s - 1) * (n - 1))
    v = max(ms_s + ms_i - ms_r, ms_s, ms_i)
    df = v**2 / (ms_s**2 / (s - 1) + ms_i**2 / (n - 1) + ms_r**2 / ((s - 1) * (n - 1)))
    half = stats.t.ppf(0.975, df) * (v / d.size) ** 0.5
    assert one.mean == pytest.approx(grand)
    assert [one.crossed.low, one.crossed.high, one.crossed.df, one.crossed.n] == pytest.approx(
        [grand - half, grand + half, df, 40]
    )


def test_without_answers_or_with_other_images_there_is_no_crossed_interval(made, claim_of, verdict) -> None:
    rng = np.random.default_rng(11)
    study = made()

    def fill(images=lambda run: "same", n=lambda run: 40):
        for run in study.runs:
            right = {cell: rng.normal(size=n(run)) > 0 for cell in study.cells}
            study.write_answers(run, right, images=dict.fromkeys(study.cells, images(run)))
        return claim_of(study).arms[0].comparisons[0].crossed, " ".join(verdict(study).problems)

    crossed, said = fill()
    assert crossed is not None
    assert said == ""
    for how in ({"images": lambda run: run.label}, {"n": lambda run: 40 + 8 * (run.label == "a")}):
        crossed, said = fill(**how)
        assert crossed is None
        assert (
            "Cells that runs were tested on with other images, or unequal numbers of them: clean and gaussian_noise 3"
            in said
        )
    study.fill({"dense": np.arange(5.0), "a": np.arange(5.0) ** 1.1})
    assert claim_of(study).arms[0].comparisons[0].crossed is None


def test_all_metrics_of_a_claim_must_hold(made, claim_of) -> None:
    metrics = [{"of": ["gaussian_noise"], "severities": [3]}, {"of": ["clean"]}]
    study = made(claim={"metrics": metrics})
    rng = np.random.default_rng(12)

    def value(gain, clean_gain):
        in_cells(
            study,
            lambda run, cell: 60 + 0.1 * rng.normal() + (run.label == "a") * (clean_gain if cell == CLEAN else gain),
        )
        return claim_of(study).value

    assert value(2, 2) == "supported"
    assert value(2, -2) == "refuted"
    assert value(-2, 2) == "refuted"
    assert value(2, 0) == "equivalent"

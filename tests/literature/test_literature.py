"""The published figures: complete, sourced, and consistent with each other and with the references of the scores."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from statistics import fmean
from typing import get_args

import pytest

from regrow import corruptions, literature
from regrow.cli import run
from regrow.evaluation import imagenet_c, robustbench
from regrow.literature import WHOLE, Figure

FIGURES = literature.figures()
COMMON = corruptions.common_names()
#: Rounding to two places, of each of several values and of their mean.
ROUNDING = 0.0101


def one(**asked: str) -> float:
    (figure,) = literature.figures(**asked)
    return figure.value


def by_type(**asked: str) -> dict[str, float]:
    """Values by corruption, where the part is the name of one."""
    known = set(corruptions.names(None)) | set(robustbench.ALEXNET_3DCC)
    return {f.part: f.value for f in literature.figures(**asked) if f.part in known}


def test_every_figure_says_where_it_comes_from_and_is_not_ours() -> None:
    assert len(FIGURES) > 250
    for figure in FIGURES:
        assert figure.ours is False
        assert figure.row()["ours"] is False
        assert figure.source.title
        assert figure.source.paper.startswith("arXiv:")
        assert figure.where
        assert figure.obtained in literature.OBTAINED
        assert figure.version >= 1
        if figure.obtained in ("read", "computed"):
            assert len(figure.source.commit) >= 7
            assert figure.source.dated


def test_every_way_of_obtaining_is_explained() -> None:
    assert set(literature.OBTAINED) == set(get_args(literature.Obtained))
    assert {f.obtained for f in FIGURES} <= set(literature.OBTAINED)


def test_every_value_is_possible() -> None:
    units = {"accuracy": "%", "error": "%", "mCE": "%", "mPC": "%", "rPC": "%", "gain over dense": "points"}
    for figure in FIGURES:
        assert figure.unit == units[figure.metric] or (figure.unit, figure.metric) == ("share", "error")
        assert 0 < figure.value <= (1 if figure.unit == "share" else 100)
        assert figure.upper is None or figure.upper > figure.value
        assert figure.spread is None or 0 < figure.spread < 1
        assert figure.sparsity is None or 0 < figure.sparsity < 1
        assert all(isinstance(v, str) for v in (figure.data, figure.test, figure.model, figure.method, figure.note))


def test_no_figure_is_there_twice() -> None:
    keys = Counter(
        (f.source.key, f.where, f.data, f.test, f.model, f.method, f.metric, f.part, f.sparsity) for f in FIGURES
    )
    assert [key for key, n in keys.items() if n > 1] == []


def test_figures_and_sources_cannot_be_changed() -> None:
    for thing in (FIGURES[0], FIGURES[0].source, literature.findings()[0]):
        with pytest.raises(dataclasses.FrozenInstanceError):
            thing.version = 2  # type: ignore[union-attr]


def test_parts_are_corruptions_families_severities_or_the_whole() -> None:
    known = {WHOLE, "noise", "blur", "weather", "digital", *(f"severity {s}" for s in range(1, 6))}
    known |= set(corruptions.names(None)) | set(robustbench.ALEXNET_3DCC)
    assert {f.part for f in FIGURES} <= known


TABLES = [
    ("cifar10-c", "standard", "WRN-28-10"),
    ("cifar100-c", "AugMix", "WRN-40-2"),
    ("imagenet-c", "standard", "ResNet-50"),
]


@pytest.mark.parametrize(("test", "method", "model"), TABLES)
def test_means_of_the_types_are_the_printed_family_means_and_the_overall_mean(
    test: str, method: str, model: str
) -> None:
    types = by_type(test=test, method=method, model=model, metric="accuracy")
    assert sorted(types) == COMMON
    families = corruptions.families()
    for family in ("noise", "blur", "weather", "digital"):
        mean = fmean(value for name, value in types.items() if families[name] == family)
        assert mean == pytest.approx(
            one(test=test, method=method, model=model, metric="accuracy", part=family), abs=ROUNDING
        )
    overall = one(test=test, method=method, model=model, metric="accuracy", part=WHOLE)
    assert fmean(types.values()) == pytest.approx(overall, abs=ROUNDING)


@pytest.mark.parametrize(
    ("test", "method", "model"),
    [
        *TABLES,
        ("cifar10-c", "AugMix", "WRN-40-2"),
        ("cifar10-c", "LRR", "WRN-18-2"),
        ("imagenet-c", "AugMix", "ResNet-50"),
    ],
)
def test_means_over_families_and_over_severities_agree_with_the_overall_mean(
    test: str, method: str, model: str
) -> None:
    asked = {"test": test, "method": method, "model": model, "metric": "accuracy"}
    overall = one(**asked, part=WHOLE)
    n_types = {"noise": 3, "blur": 4, "weather": 4, "digital": 4}
    assert sum(n * one(**asked, part=family) for family, n in n_types.items()) / 15 == pytest.approx(
        overall, abs=ROUNDING
    )
    severities = [one(**asked, part=f"severity {s}") for s in range(1, 6)]
    assert fmean(severities) == pytest.approx(overall, abs=ROUNDING)
    assert severities == sorted(severities, reverse=True)


def test_the_overall_means_that_are_known() -> None:
    assert one(test="cifar10-c", model="WRN-28-10", part=WHOLE) == 73.46
    assert one(data="imagenet", test="imagenet-3dcc", model="ResNet-50", method="standard", metric="mCE") == 73.16


def test_alexnet_errors_are_those_of_the_scores_and_their_mean_is_known() -> None:
    errors = by_type(test="imagenet-c", model="AlexNet", metric="error")
    assert fmean(errors[name] for name in COMMON) == pytest.approx(0.788993, abs=5e-7)
    for name in COMMON:
        assert errors[name] == pytest.approx(fmean(imagenet_c.ALEXNET[name]), abs=5e-7)
    assert sorted(set(errors) - set(COMMON)) == ["gaussian_blur", "saturate", "spatter", "speckle_noise"]


def test_the_mce_of_the_standard_resnet50_follows_from_its_types() -> None:
    accuracy = by_type(test="imagenet-c", method="standard", model="ResNet-50", metric="accuracy")
    alexnet = by_type(test="imagenet-c", model="AlexNet", metric="error")
    mce = 100 * fmean((1 - accuracy[name] / 100) / alexnet[name] for name in COMMON)
    assert round(mce, 2) == 76.37
    printed = literature.figures(test="imagenet-c", method="standard", model="ResNet-50", metric="mCE")
    assert sorted(figure.value for figure in printed) == [76.38, 76.7]


def test_3dcc_types_give_the_overall_figures_of_both_networks() -> None:
    for model in ("ResNet-50", "AlexNet"):
        types = by_type(test="imagenet-3dcc", model=model)
        assert set(types) == set(robustbench.ALEXNET_3DCC)
        overall = one(test="imagenet-3dcc", method="standard", model=model, metric="accuracy", part=WHOLE)
        assert fmean(types.values()) == pytest.approx(overall, abs=ROUNDING)
    alexnet = by_type(test="imagenet-3dcc", model="AlexNet")
    for name, error in robustbench.ALEXNET_3DCC.items():
        assert alexnet[name] == pytest.approx(100 * (1 - error), abs=0.0051)
    resnet = by_type(test="imagenet-3dcc", model="ResNet-50")
    mce = 100 * fmean((100 - resnet[n]) / (100 - alexnet[n]) for n in resnet)
    assert mce == pytest.approx(73.16, abs=0.02)


def test_errors_of_c_bar_follow_from_their_types() -> None:
    bar = by_type(test="imagenet-c-bar", metric="error")
    assert set(bar) == set(corruptions.names("c-bar")) & set(bar)
    assert len(bar) == 10
    asked = {"method": "standard", "metric": "error", "part": WHOLE}
    assert fmean(bar.values()) == pytest.approx(one(test="imagenet-c-bar", **asked), abs=0.06)
    cifar = by_type(test="cifar10-c", model="WRN-40-2", metric="error")
    (figure,) = [f for f in literature.figures(test="cifar10-c", model="WRN-40-2", **asked) if f.source.key == "c-bar"]
    assert fmean(cifar[name] for name in COMMON) == pytest.approx(figure.value, abs=figure.spread)


def test_two_sources_agree_on_augmix() -> None:
    for test in ("cifar10-c", "cifar100-c"):
        (error,) = literature.figures(test=test, method="AugMix", model="WRN-40-2", obtained="known")
        accuracy = one(test=test, method="AugMix", model="WRN-40-2", part=WHOLE, metric="accuracy")
        assert 100 - accuracy == pytest.approx(error.value, abs=0.051)


def test_rpc_is_mpc_over_clean_accuracy() -> None:
    for figure in literature.figures(metric="rPC"):
        clean = one(data="mini_kinetics", model=figure.model, test="clean")
        mpc = one(data="mini_kinetics", model=figure.model, metric="mPC")
        assert 100 * mpc / clean == pytest.approx(figure.value, abs=0.15)


def test_figures_of_the_claim_itself_are_second_hand_and_single_runs() -> None:
    dst = [f for f in FIGURES if f.source.key == "dst"]
    assert {f.obtained for f in dst} == {"reviews"}
    assert all(f.spread is None for f in dst)
    accuracies = {(f.test, f.model, f.method): f.value for f in dst if f.metric == "accuracy"}
    assert accuracies["imagenet-c", "ResNet-50", "dense"] == 38.38
    assert max(v for (t, _, m), v in accuracies.items() if t == "imagenet-c" and m != "dense") == 38.72
    gain = one(test="cifar100-c", metric="gain over dense")
    sparse, dense = (
        accuracies["cifar100-c", "ResNet-34", "best of the sparse"],
        accuracies["cifar100-c", "ResNet-34", "dense"],
    )
    assert math.isclose(sparse - dense, gain, abs_tol=1e-9)


@pytest.mark.parametrize("name", ["resnet50", "ResNet-50", "timm:resnet50", "torchvision:resnet50"])
def test_a_network_is_found_under_its_names(name: str) -> None:
    assert (
        literature.figures(model=name, data="imagenet") == literature.figures(model="ResNet-50", data="imagenet") != []
    )


def test_lookups_take_all_that_is_given() -> None:
    found = literature.figures(data="imagenet", method="augmix", metric="MCE")
    assert {(f.data, f.method, f.metric) for f in found} == {("imagenet", "AugMix", "mCE")}
    assert sorted(f.value for f in found) == [64.17, 64.64, 65.3]
    assert literature.figures(data="imagenet", model="resnet8") == []


def test_beside_a_study_stand_the_overall_figures_of_its_data_set() -> None:
    for data in ("cifar10", "cifar100", "imagenet", "ucf101"):
        found = literature.beside(data)
        assert found
        assert {(f.data, f.part) for f in found} == {(data, WHOLE)}
        assert all(isinstance(f, Figure) for f in found)
    assert literature.beside("cues") == []


def test_findings_bear_on_claims() -> None:
    assert {claim for f in literature.findings() for claim in f.claims} <= {f"C{i}" for i in range(1, 8)}
    assert all(f.paper.startswith("arXiv:") and f.finding and f.bearing for f in literature.findings())
    assert all(f.obtained in literature.OBTAINED for f in literature.findings())
    assert "Diffenderfer et al. 2021" in {f.work for f in literature.findings("C6")}
    assert all("C6" in f.claims for f in literature.findings("C6"))


def test_the_command_line_lists_the_overall_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "literature", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"accuracy 73.46 %", "accuracy 38.72 %", "mCE 76.7 %"} <= {row["figure"] for row in rows}
    assert len(rows) == sum(f.part == WHOLE for f in FIGURES)
    assert all(
        f"({how})" in row["source"]
        for row, how in zip(rows, (f.obtained for f in FIGURES if f.part == WHOLE), strict=True)
    )
    assert run(["list", "literature"]) == 0
    table = capsys.readouterr().out
    assert "cifar10-c" in table

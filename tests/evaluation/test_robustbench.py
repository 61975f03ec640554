"""RobustBench's protocol: what it takes, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from regrow.corruptions import common_names
from regrow.errors import DataError, InputError
from regrow.evaluation import robustbench

#: Mean of the published five errors of AlexNet on all 50,000 images; its errors on the 5,000 are near them.
FULL = {"gaussian_noise": 0.886428, "brightness": 0.564592, "jpeg_compression": 0.6065}


@pytest.mark.parametrize("errors", [robustbench.ALEXNET_C, robustbench.ALEXNET_3DCC])
def test_alexnets_own_errors_give_100(errors: dict[str, float]) -> None:
    spread = (-0.02, -0.01, 0.0, 0.01, 0.02)
    accuracy = {(name, s): 1 - error - spread[s - 1] for name, error in errors.items() for s in range(1, 6)}
    mean, mce = robustbench.scores(accuracy, 5000, is_imagenet=True)
    assert mce.value == pytest.approx(100)
    assert mean.value == pytest.approx(100 - 100 * np.mean(list(errors.values())))
    assert f"{len(errors)} types" in mean.over
    assert "5000 images" in mean.over
    assert all(score.name.startswith("RobustBench") and score.formula for score in (mean, mce))


def test_the_tables_are_complete_and_plausible() -> None:
    assert sorted(robustbench.ALEXNET_C) == common_names()
    assert len(robustbench.ALEXNET_3DCC) == 12
    for name, error in FULL.items():
        assert abs(robustbench.ALEXNET_C[name] - error) < 0.01


def test_cifar_is_the_mean_over_all_images_and_fifteen_types() -> None:
    accuracy = {(name, s): s / 10 for name in common_names() for s in range(1, 6)} | {("saturate", 1): 1.0}
    (mean,) = robustbench.scores(accuracy, 10_000, is_imagenet=False)
    assert mean.value == pytest.approx(30)  # the extra type does not enter
    with pytest.raises(InputError, match="takes 10000 images a cell, these are 1000"):
        robustbench.scores(accuracy, 1000, is_imagenet=False)
    del accuracy["fog", 3]
    with pytest.raises(InputError, match="severities 1 to 5"):
        robustbench.scores(accuracy, 10_000, is_imagenet=False)


def test_other_sets_are_refused() -> None:
    with pytest.raises(InputError, match=r"1 of its types are not there, e\.g\. fog"):
        robustbench.wanted([name for name in common_names() if name != "fog"], is_imagenet=False)
    with pytest.raises(InputError, match="11 of its types"):
        robustbench.wanted(["flash", "plasma_noise"], is_imagenet=True)
    assert robustbench.wanted([*common_names(), "spatter"], is_imagenet=True) == list(robustbench.ALEXNET_C)


def test_a_list_of_images_is_read_and_checked(tmp_path: Path) -> None:
    lines = [f"n0{i % 7}/ILSVRC2012_val_{i:08d}.JPEG {i}" for i in range(6000)]
    (tmp_path / "ids").write_text("\n".join(lines))
    names = robustbench.read_ids(tmp_path / "ids")
    assert (len(names), names[0], names[-1]) == (5000, "ILSVRC2012_val_00000000", "ILSVRC2012_val_00004999")
    (tmp_path / "short").write_text("\n".join(lines[:4999]))
    with pytest.raises(DataError, match="4999 names, the protocol needs 5000"):
        robustbench.read_ids(tmp_path / "short")
    (tmp_path / "twice").write_text("\n".join([*lines[:10], lines[3], *lines[10:]]))
    with pytest.raises(DataError, match="ILSVRC2012_val_00000003 twice"):
        robustbench.read_ids(tmp_path / "twice")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("binary", "absent"):
        with pytest.raises(DataError, match="cannot be read"):
            robustbench.read_ids(tmp_path / name)

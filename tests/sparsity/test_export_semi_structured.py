"""2:4: every group of four counted one by one, shapes, and the plain word where there is no such GPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regrow.errors import InputError
from regrow.sparsity.export.semi_structured import check_2_4, convert_2_4, hardware_problem


def two_of_four(rows: int, columns: int) -> torch.Tensor:
    """Two active weights at random places of each group."""
    order = torch.rand(rows, columns // 4, 4).argsort(2)
    return (order < 2).reshape(rows, columns)


@pytest.mark.parametrize("shape", [(3, 8), (5, 10), (4, 3, 3, 3), (2, 1)])
def test_groups_are_counted_along_the_rows(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    weight = torch.randn(shape) * (torch.rand(shape) < 0.6)
    bad = 0
    for row in weight.reshape(shape[0], -1).tolist():
        bad += sum(sum(v != 0 for v in row[i : i + 4]) > 2 for i in range(0, len(row), 4))
    row = check_2_4({"w": weight})[0]
    assert row.violations == bad
    assert row.groups == shape[0] * -(-weight[0].numel() // 4)
    assert row.problem


def test_fitting_layers_have_no_problem_and_others_are_named() -> None:
    good = two_of_four(32, 64)
    spoilt = good.clone()
    spoilt[3, :3] = True
    conv, small = two_of_four(32, 64)[..., None, None], two_of_four(32, 60)
    rows = check_2_4({"good": good, "spoilt": spoilt, "bias": torch.ones(3), "conv": conv, "small": small})
    problems = {row.name: row.problem for row in rows}
    assert problems.keys() == {"good", "spoilt", "conv", "small"}
    assert problems["good"] == ""
    assert problems["spoilt"] == "1 of 512 groups of four have more than two weights"
    assert "convolution" in problems["conv"]
    assert "32 x 60 is no multiple of 32 x 64" in problems["small"]
    assert check_2_4({"w": two_of_four(32, 32)}, dtype=torch.float32)[0].problem == ""
    with pytest.raises(InputError, match="float16"):
        check_2_4({}, dtype=torch.float64)


def test_a_layer_that_breaks_the_pattern_is_named() -> None:
    net = nn.Sequential(nn.Linear(64, 32))
    with pytest.raises(InputError, match=r"0\.weight: 512 of 512 groups"):
        convert_2_4(net, {"0.weight": torch.ones(32, 64, dtype=torch.bool)})


@pytest.mark.skipif(hardware_problem() == "", reason="this machine has a GPU that multiplies 2:4")
def test_without_such_a_gpu_it_says_so() -> None:
    net, mask = nn.Sequential(nn.Linear(64, 32)), two_of_four(32, 64)
    net[0].weight.data.masked_fill_(~mask, 0)
    with pytest.raises(InputError, match=r"CUDA|compute capability"):
        convert_2_4(net, {"0.weight": mask})


@pytest.mark.skipif(hardware_problem() != "", reason=hardware_problem() or "-")
def test_on_such_a_gpu_outputs_are_equal() -> None:
    net, mask = nn.Sequential(nn.Linear(64, 32)), two_of_four(32, 64)
    net[0].weight.data.masked_fill_(~mask, 0)
    converted, rows = convert_2_4(net, {"0.weight": mask})
    assert rows[0].problem == ""
    x = torch.randn(64, 64)
    assert torch.allclose(converted(x.half().cuda()).float().cpu(), net(x), atol=1e-2)

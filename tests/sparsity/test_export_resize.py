"""A smaller network is loaded into the large one's class: same outputs, sizes told by the modules."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from regrow.errors import InputError
from regrow.sparsity.export.compaction import compact
from regrow.sparsity.export.resize import fit_to_state


def network(groups: int, out: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.Sigmoid(),
        nn.Conv2d(8, out, 3, groups=groups, bias=False),
        nn.Tanh(),
        nn.Conv2d(out, 4, 1, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3, bias=False),
    ).eval()


@pytest.mark.parametrize(("groups", "out"), [(1, 6), (4, 8), (8, 8), (8, 16)])
def test_a_state_made_smaller_comes_back(groups: int, out: int) -> None:
    large, x = network(groups, out), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        large[0].weight[:2] = 0
        large[3].weight[: 2 * out // 8] = 0
        large[5].weight[1] = 0
    before = copy.deepcopy(large.state_dict())
    small, report = compact(large, example=x)
    assert report.parameters_after < report.parameters_before
    back = fit_to_state(large, small.state_dict()).eval()
    assert torch.equal(back(x), small(x))
    for one, two in zip(small.modules(), back.modules(), strict=True):
        assert repr(one) == repr(two) or isinstance(one, nn.Sequential)
    assert all(torch.equal(before[name], value) for name, value in large.state_dict().items())


def test_a_state_of_another_network_is_refused() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    for other in (nn.Sequential(nn.Linear(4, 8)), nn.Sequential(nn.Conv1d(4, 8, 1), nn.ReLU(), nn.Linear(8, 2))):
        with pytest.raises(InputError, match="not one of this network"):
            fit_to_state(net, other.state_dict())

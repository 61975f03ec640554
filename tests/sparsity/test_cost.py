"""Costs against sums done by hand."""

import pytest
import torch
from torch import nn

from regrow.errors import InputError
from regrow.sparsity import cost


def test_operations_of_a_small_network() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),  # 8 x 8 x 8 outputs of 27 products
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4),  # 8 x 4 x 4 outputs of 18
        nn.ConvTranspose2d(8, 4, 2, stride=2),  # 8 x 4 x 4 inputs to 16 each
        nn.Flatten(),
        nn.Linear(256, 10),
    )
    before = {k: v.clone() for k, v in model.state_dict().items()}
    got = cost.flops(model, (3, 8, 8), {"0.weight": 0.5, "5.weight": 0.25})
    by_hand = [2 * 512 * 27, 2 * 128 * 18, 2 * 128 * 16, 2 * 2560]
    assert [row["dense"] for row in got["layers"]] == by_hand
    assert got["dense"] == sum(by_hand)
    assert got["sparse"] == by_hand[0] / 2 + by_hand[1] + by_hand[2] + by_hand[3] / 4
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training


def test_shared_layers_count_at_each_use_and_unfit_input_is_refused() -> None:
    layer = nn.Linear(6, 6)
    assert cost.flops(nn.Sequential(layer, layer), (6,))["dense"] == 2 * 2 * 36
    with pytest.raises(InputError, match=r"does not run on one sample of shape \(5,\)"):
        cost.flops(layer, (5,))


def test_training_factor_of_the_published_example() -> None:
    factor = cost.training_flops(1.0, 0.2418, interval=100, needs_gradient=True) / cost.training_flops(1.0, 1.0)
    assert round(factor, 4) == round((3 * 0.2418 * 100 + 2 * 0.2418 + 1) / 101 / 3, 4) == 0.2443
    assert cost.training_flops(1.0, 0.2418, interval=100) == 3 * 0.2418

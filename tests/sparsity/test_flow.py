"""Dead filters: by masks alone, against gradients of a network without biases, where dead is seen."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from regrow import models
from regrow.sparsity.flow import dead_filters


class Residual(nn.Module):
    """Two branches that are added, a concatenation, a depthwise and a grouped convolution, and a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.one = nn.Conv2d(6, 4, 3, padding=1, bias=False)
        self.two = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.depth = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
        self.group = nn.Conv2d(6, 8, 1, groups=2, bias=False)
        self.side = nn.Conv2d(6, 3, 1, bias=False)
        self.head = nn.Linear(11 * 4, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.two(self.one(x)) + x
        y = torch.cat([self.group(self.depth(x)), self.side(x)], 1)
        y = F.adaptive_avg_pool2d(y, 2)
        return self.head(torch.flatten(y, 1))


def random_masks(model: nn.Module, density: float, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(p.shape, generator=generator) < density
        for name, p in model.named_parameters()
        if p.ndim in (2, 4)
    }


def dead_by_gradient(model: nn.Module, masks: dict[str, torch.Tensor], example: torch.Tensor) -> dict[str, list[bool]]:
    """A filter is alive if its output is not 0 and has a gradient.

    Weights and images are positive, and there are neither biases nor activations: no paths cancel.
    """
    generator = torch.Generator().manual_seed(1)
    outputs: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_((torch.rand(p.shape, generator=generator) + 0.5) * masks[name])
    model.double()

    def keep(name: str):
        def hook(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            output.retain_grad()
            outputs[name] = output

        return hook

    handles = [
        m.register_forward_hook(keep(n)) for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)
    ]
    model((example.double().abs() + 1).requires_grad_()).sum().backward()
    for handle in handles:
        handle.remove()
    found = {}
    for name, output in outputs.items():
        over = [d for d in range(output.ndim) if d != 1]
        signal = output.detach().abs().sum(over) > 0
        reaches = output.grad.abs().sum(over) > 0
        found[f"{name}.weight"] = (~(signal & reaches)).tolist()
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("density", [0.06, 0.15])
def test_dead_filters_are_those_that_carry_nothing(density: float, seed: int) -> None:
    model = Residual()
    masks = random_masks(model, density, seed)
    found = dead_filters(model, masks)
    expected = dead_by_gradient(model, masks, torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(2)))
    assert {name: flags.dead.tolist() for name, flags in found.items()} == expected
    for name, flags in found.items():
        empty = ~masks[name].flatten(1).any(1)
        assert torch.equal(flags.without_inputs, empty)
        assert not (flags.without_inputs & ~flags.dead).any()
        assert not (flags.without_outputs & ~flags.dead).any()


def test_the_examples_are_not_all_dead_or_alive() -> None:
    model = Residual()
    found = [dead_filters(model, random_masks(model, 0.1, seed)) for seed in range(6)]
    seen = torch.cat([flags.dead for one in found for flags in one.values()])
    assert 0.1 < seen.float().mean() < 0.9


def test_a_filter_is_unread_where_no_later_layer_has_a_weight_for_it() -> None:
    model = Residual()
    masks = {name: torch.ones_like(mask) for name, mask in random_masks(model, 1.0, 0).items()}
    assert not any(flag.any() for flags in dead_filters(model, masks).values() for flag in flags)
    masks["two.weight"][:, 2] = False  # the only reader of one's filter 2
    masks["side.weight"][:, 5] = False  # the stem's channel 5 still has other readers
    masks["head.weight"][:, 4 * 9 : 4 * 10] = False  # side's filter 1, after the flatten
    found = dead_filters(model, masks)
    assert found["one.weight"].without_outputs.nonzero().flatten().tolist() == [2]
    assert found["side.weight"].without_outputs.nonzero().flatten().tolist() == [1]
    assert not found["stem.weight"].without_outputs.any()
    assert not found["head.weight"].dead.any()  # outputs are read by whoever uses the network


def test_what_is_dead_spreads_along_a_chain() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    masks = {f"{i}.weight": torch.eye(4, dtype=torch.bool) for i in (3,)}
    masks |= {"0.weight": torch.ones(4, 3, dtype=torch.bool), "5.weight": torch.ones(2, 4, dtype=torch.bool)}
    masks["0.weight"][0] = False
    masks["5.weight"][:, 3] = False
    found = dead_filters(model, masks)
    assert found["3.weight"].dead.tolist() == [True, False, False, True]
    assert found["3.weight"].without_inputs.tolist() == [False] * 4
    assert found["0.weight"].dead.tolist() == [True, False, False, True]
    assert found["0.weight"].without_outputs.tolist() == [False] * 4


def test_a_use_of_the_shape_reads_no_channel() -> None:
    class Viewed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 3, 3), nn.Linear(3 * 4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return self.head(x.view(x.size(0), -1))

    masks = {"head.weight": torch.ones(2, 12, dtype=torch.bool)}
    masks["head.weight"][:, 4:8] = False
    assert dead_filters(Viewed(), masks)["conv.weight"].without_outputs.tolist() == [False, True, False]


def test_a_real_residual_network_has_no_dead_filters_when_dense_and_all_below_a_cut() -> None:
    model = models.build("resnet8", 10, image_size=32, width=4)
    assert not any(flag.any() for flags in dead_filters(model, {}).values() for flag in flags)
    names = [name for name, p in model.named_parameters() if p.ndim == 4]
    parameters = dict(model.named_parameters())
    found = dead_filters(model, {names[0]: torch.zeros_like(parameters[names[0]], dtype=torch.bool)})
    assert all(flags.dead.all() for flags in found.values())  # nothing of the image passes the stem

"""A moving average against closed forms; masks stay exact in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from regrow import models, sparsity
from regrow.errors import InputError
from regrow.training.averaging import Average, find_classifier, watched


class Line(nn.Module):
    """One weight matrix, and buffers of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4, bias=False)
        self.register_buffer("place", torch.tensor([5, 7]))
        self.register_buffer("mean", torch.zeros(()))


class Unmasked:
    """A sparsifier of a dense network."""

    def mask(self, model: nn.Module) -> None:
        """Nothing to do."""


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_average_of_a_linear_sequence_has_its_closed_form(decay: float) -> None:
    """A_1 = 1, A_t = d A_(t-1) + (1 - d) t gives A_n = n - d / (1 - d) (1 - d^(n - 1))."""
    line = Line()
    average = Average(line, decay, Unmasked())  # type: ignore[arg-type]
    n = 40
    for t in range(1, n + 1):
        nn.init.constant_(line.layer.weight, t)
        line.mean.fill_(2.0 * t)
        average.update()
    expected = n - decay / (1 - decay) * (1 - decay ** (n - 1))
    average.install()
    assert line.layer.weight.detach().numpy() == pytest.approx(expected, rel=1e-4)
    assert float(line.mean) == pytest.approx(2 * expected, rel=1e-4)  # statistics are averaged as weights are
    assert line.place.tolist() == [5, 7]


def test_a_restored_average_goes_on_to_the_bit() -> None:
    line = Line()
    whole, cut = (Average(line, 0.9, Unmasked()) for _ in range(2))  # type: ignore[arg-type]
    for t in range(6):
        nn.init.normal_(line.layer.weight)
        whole.update()
        cut.update()
        if t == 2:
            state = {key: value.clone() for key, value in cut.state_dict().items()}
            cut = Average(line, 0.9, Unmasked())  # type: ignore[arg-type]
            cut.load_state_dict(state)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, cut.state_dict()[key])


def test_an_average_never_holds_a_weight_that_is_masked_now_and_regrowth_starts_from_zero() -> None:
    torch.manual_seed(0)
    net = models.build("resnet8", 10, image_size=32, width=4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    method = sparsity.methods.get("rigl")(0.5, timing=sparsity.Every(2))
    sparsifier = sparsity.attach(net, optimizer, method, total_steps=12)
    average, before, decay, grown = Average(net, 0.8, sparsifier), sparsifier.masks, 0.8, 0
    for step in range(8):
        loss = nn.functional.cross_entropy(net(torch.randn(8, 3, 32, 32)), torch.arange(8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update()
        masks, held = sparsifier.masks, {k.removeprefix("module."): v for k, v in average.state_dict().items()}
        for name, mask in masks.items():
            assert not held[name][~mask].any()
            fresh = mask & ~before[name]  # inactive one step ago, so zero in the average then
            if step:
                weight = net.get_parameter(name).detach()
                torch.testing.assert_close(held[name][fresh], (1 - decay) * weight[fresh])
                grown += int(fresh.sum())
        before = masks
    assert grown > 0


def test_the_classifier_is_the_last_linear_layer_with_an_output_a_class() -> None:
    net = models.build("resnet8", 7, image_size=32, width=4)
    found = find_classifier(net, 7)
    assert isinstance(found, nn.Linear)
    assert found.out_features == 7
    both = nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 7), nn.Identity())
    assert find_classifier(both, 7) is both[2]
    with pytest.raises(InputError, match=r"nn\.Linear with 7 outputs; Sequential has none") as caught:
        find_classifier(nn.Sequential(nn.Linear(3, 5), nn.Conv2d(5, 7, 1)), 7)
    assert "\n" not in str(caught.value)


def test_features_are_what_goes_into_the_classifier_and_hooks_leave_no_trace() -> None:
    net = models.build("resnet8", 7, image_size=32, width=4).eval()
    classifier = find_classifier(net, 7)
    x = torch.randn(3, 3, 32, 32)
    with watched(classifier) as seen:
        logits = net(x)
    assert len(seen) == 1
    torch.testing.assert_close(classifier(seen[0]), logits)
    net(x)
    assert len(seen) == 1
    with watched(None) as nothing:
        net(x)
    assert nothing == []


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize(("name", "side"), [("timm:test_vit", 160), ("timm:test_resnet", 32)])
def test_the_classifier_of_timm_s_networks_is_found(name: str, side: int) -> None:
    net: Any = models.build(name, 7, image_size=side)
    assert find_classifier(net, 7) is net.get_classifier()

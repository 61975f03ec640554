"""The channel graph: known by hand for small networks, and checked by cutting channels out of real ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regrow import models
from regrow.errors import InputError
from regrow.sparsity.channels import ChannelGroup, channel_groups


def by_producer(model: nn.Module) -> dict[str, ChannelGroup]:
    return {name: group for group in channel_groups(model) for name in group.producers}


def test_a_residual_add_ties_its_branches_and_the_norms_over_them() -> None:
    groups = channel_groups(models.build("resnet8", 10, width=4))
    stem = groups[0]
    assert stem.producers == ("conv1.weight", "layer1.0.conv2.weight")
    assert stem.norms == ("bn1", "layer1.0.bn2")
    assert {name for name, _, _ in stem.consumers} == {
        "layer1.0.conv1.weight", "layer2.0.conv1.weight", "layer2.0.downsample.0.weight"
    }  # fmt: skip
    assert [g.prunable for g in groups] == [True] * 6 + [False]
    assert groups[-1].reason == "it is an output of the model"


@pytest.mark.parametrize("how", ["operator", "inplace", "function", "method"])
def test_every_spelling_of_an_add_ties(how: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3), nn.Conv2d(5, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            a, b = self.a(x), self.b(x)
            if how == "operator":
                y = a + b
            elif how == "inplace":
                a += b
                y = a
            else:
                y = torch.add(a, b) if how == "function" else a.add_(b)
            return self.c(y)

    group = channel_groups(Net())[0]
    assert group.producers == ("a.weight", "b.weight")
    assert group.biases == ("a.bias", "b.bias")
    assert group.consumers == (("c.weight", 0, 1),)


def test_a_linear_layer_after_a_flatten_reads_blocks_of_columns() -> None:
    class Net(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.conv, self.head, self.how = nn.Conv2d(3, 4, 3), nn.Linear(4 * 9, 2), how

        def forward(self, x: Tensor) -> Tensor:
            x = F.max_pool2d(F.relu(self.conv(x)), 2)
            if self.how == "view":
                x = x.view(x.size(0), -1)
            elif self.how == "reshape":
                x = x.reshape(x.shape[0], -1)
            else:
                x = torch.flatten(x, 1)
            return self.head(x)

    for how in ("view", "reshape", "flatten"):
        assert channel_groups(Net(how))[0].consumers == (("head.weight", 0, 9),), how


def test_a_concatenation_gives_offsets_in_norms_and_consumers() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 7, 3)
            self.norm, self.c = nn.BatchNorm2d(12), nn.Conv2d(12, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.norm(torch.cat([self.a(x), self.b(x)], dim=1)))

    first, second, _ = channel_groups(Net())
    assert (first.size, first.norm_offsets, first.consumers) == (5, (0,), (("c.weight", 0, 1),))
    assert (second.size, second.norm_offsets, second.consumers) == (7, (5,), (("c.weight", 5, 1),))


def test_a_depthwise_convolution_is_a_producer_of_the_group_it_reads() -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 2, 1))
    group = channel_groups(net)[0]
    assert group.producers == ("0.weight", "2.weight")
    assert group.consumers == (("3.weight", 0, 1),)
    assert group.prunable


def test_mlp_with_batch_norm_and_dropout() -> None:
    net = nn.Sequential(nn.Linear(9, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 6), nn.Linear(6, 3))
    assert [(g.size, g.prunable) for g in channel_groups(net)] == [(8, True), (6, True), (3, False)]
    assert channel_groups(net)[0].norms == ("1",)


def shuffled(_: Reshaped, __: Tensor, y: Tensor) -> Tensor:
    n, c, h, w = y.shape
    return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


#: What stands between a convolution (its input x, its output y) and the next.
BETWEEN: dict[str, Callable[[Reshaped, Tensor, Tensor], Tensor]] = {
    "option A": lambda net, x, y: F.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 0, 0)),
    "permute": lambda net, x, y: net.head(y.permute(0, 2, 3, 1)),
    "rows": lambda net, x, y: net.head(y.view(-1, 4)),
    "parameter": lambda net, x, y: y * net.scale,
    "input": lambda net, x, y: y + x,
    "twice": lambda net, x, y: net.conv(y),
    "shuffle": shuffled,
    "count": lambda net, x, y: y / y.size(1),
    "functional": lambda net, x, y: F.conv2d(y, net.next.weight),
    "tensor": lambda net, x, y: y * net.conv.weight.mean(),
    "softmax": lambda net, x, y: y.softmax(1),
    "one map": lambda net, x, y: y * net.one(x),
    "other axis": lambda net, x, y: y + net.fc(y.mean((2, 3))),
    "wrong dimension": lambda net, x, y: torch.cat([y, y], 2),
}


class Reshaped(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv, self.next = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.head, self.how = nn.Linear(4, 2), how
        self.one, self.fc = nn.Conv2d(4, 1, 3, padding=1), nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.next(BETWEEN[self.how](self, x, y) if self.how in BETWEEN else y)


@pytest.mark.parametrize("how", BETWEEN)
def test_what_is_not_understood_is_not_prunable(how: str) -> None:
    group = by_producer(Reshaped(how))["conv.weight"]
    assert not group.prunable
    assert group.reason
    assert by_producer(Reshaped("plain"))["conv.weight"].prunable


@pytest.mark.parametrize("read", ["weight", "size", "shape", "batch"])
def test_what_is_read_beside_the_path_of_the_channels_counts(read: str) -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.next = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            factors = {"weight": lambda: self.conv.weight.mean(), "size": lambda: y.size(1), "batch": lambda: y.size(0)}
            return self.next(y) * factors.get(read, lambda: y.shape[1])()

    assert by_producer(Beside())["conv.weight"].prunable == (read == "batch")


@pytest.mark.parametrize(
    "layer",
    [
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4),
        nn.PReLU(4),
        nn.ConvTranspose2d(4, 4, 1),
        nn.Conv2d(4, 4, 1, groups=2),
        nn.Conv2d(4, 8, 1, groups=4),
        nn.Softmax(dim=1),
        nn.Upsample(scale_factor=2),
        nn.LayerNorm([5, 5]),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_unknown_modules_are_not_prunable(layer: nn.Module) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.Conv2d(8 if getattr(layer, "out_channels", 0) == 8 else 4, 2, 1))
    assert not by_producer(net)["0.weight"].prunable


def test_a_model_that_cannot_be_traced_is_refused_and_left_in_its_mode() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) if x.sum() > 0 else x

    model = Branch().train()
    model.fc.eval()
    with pytest.raises(InputError, match="cannot trace Branch"):
        channel_groups(model)
    assert model.training
    assert not model.fc.training


def test_wrappers_are_looked_through() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    plain = channel_groups(net)
    assert channel_groups(torch.compile(net, backend="eager")) == plain
    wrapper = nn.Module()
    wrapper.module = net
    assert channel_groups(wrapper) == plain


def zero_channel(model: nn.Module, group: ChannelGroup, channel: int, value: float) -> None:
    """Make the channel's value ``value`` wherever a convolution, bias and batch norm make it."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in group.producers:
            parameters[name][channel] = 0
        for name in group.biases:
            parameters[name][channel] = value
        for name, offset in zip(group.norms, group.norm_offsets, strict=True):
            parameters[f"{name}.weight"][offset + channel] = 0
            parameters[f"{name}.bias"][offset + channel] = value


NETWORKS = ["resnet8", "vgg11", "timm:resnet50", "torchvision:resnet18", "torchvision:densenet121"]


@pytest.mark.parametrize(
    "name", [n if n in ("resnet8", "vgg11") else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS]
)
def test_a_dead_channel_reaches_nothing_but_its_consumers_columns(name: str, libraries: None) -> None:
    """Once a channel is constant, whatever its constant, zeroed columns in the consumers hide it from the output."""
    torch.manual_seed(0)
    model = models.build(name, 10, image_size=32, **({"width": 4} if ":" not in name else {})).eval()
    x = torch.randn(2, 3, 32, 32)
    groups = [group for group in channel_groups(model) if group.prunable]
    assert len(groups) > 4
    parameters = dict(model.named_parameters())
    for group in groups[:: max(1, len(groups) // 6)]:
        channel = group.size // 2
        with torch.no_grad():
            for weight, first, columns in group.consumers:
                parameters[weight][:, first + channel * columns : first + (channel + 1) * columns] = 0
            zero_channel(model, group, channel, 0.0)
            one = model(x)
            zero_channel(model, group, channel, 3.0)
            two = model(x)
        assert torch.equal(one, two), group


@pytest.mark.slow
def test_attention_is_not_prunable_but_the_layers_between_are(libraries: None) -> None:
    groups = by_producer(models.build("timm:vit_tiny_patch16_224", 10, image_size=224))
    for name, group in groups.items():
        assert group.prunable == name.endswith("mlp.fc1.weight"), name
    assert groups["blocks.0.mlp.fc1.weight"].consumers == (("blocks.0.mlp.fc2.weight", 0, 1),)

"""Compaction: surviving channels worked out by hand on small networks; equal outputs on real ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regrow import models
from regrow.errors import InputError, RegrowError
from regrow.sparsity.channels import channel_groups
from regrow.sparsity.export import compaction
from regrow.sparsity.export.compaction import Compaction, compact, zero_dead_norms


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def images(n: int = 2, side: int = 8, channels: int = 3) -> Tensor:
    return torch.randn(n, channels, side, side)


def kill(layer: nn.Module, *rows: int) -> None:
    """Zero the filters of a layer; its bias stays."""
    with torch.no_grad():
        layer.weight[list(rows)] = 0


def shapes(report: Compaction) -> dict[str, tuple[int, ...]]:
    return {row.name: row.after for row in report.layers}


def conv_pair(padding: int, bias: float, *, mode: str = "zeros", act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    net = nn.Sequential(nn.Conv2d(3, 6, 3), act(), nn.Conv2d(6, 4, 3, padding=padding, padding_mode=mode))
    kill(net[0], 1, 4)
    with torch.no_grad():
        net[0].bias[[1, 4]] = bias
    return net.eval()


@pytest.mark.parametrize(
    ("padding", "bias", "mode", "survivors"),
    [
        (0, -0.5, "zeros", 4),  # ReLU makes it 0
        (1, -0.5, "zeros", 4),
        (1, 0.0, "zeros", 4),
        (0, 0.7, "zeros", 4),  # folded into the next bias
        (1, 0.7, "zeros", 5),  # the border sees less of it: one channel speaks for both
        (1, 0.7, "reflect", 4),
        (1, 0.7, "circular", 4),
        (1, 0.7, "replicate", 4),
    ],
)
def test_dead_filters_go_where_their_constant_can(padding: int, bias: float, mode: str, survivors: int) -> None:
    small, report = compact(conv_pair(padding, bias, mode=mode), example=images())
    assert (small[0].out_channels, small[2].in_channels) == (survivors, survivors)
    assert shapes(report) == {"0.weight": (survivors, 3, 3, 3), "2.weight": (4, survivors, 3, 3)}
    assert report.max_difference < 1e-6
    kept = report.groups[0]
    assert (kept.removed, kept.kept_idle) == (6 - survivors, survivors - 4)
    assert ("padding" in kept.reason) == (survivors == 5)


def test_why_a_constant_stays_before_padding() -> None:
    """Folding it all the same would be wrong at the border and right inside."""
    net = conv_pair(1, 0.7)
    wrong = copy.deepcopy(net)
    with torch.no_grad():
        wrong[2].bias += (wrong[2].weight[:, [1, 4]] * 0.7).sum((1, 2, 3))
        wrong[2].weight[:, [1, 4]] = 0
        x = images()
        difference = (net(x) - wrong(x)).abs()
    assert float(difference[..., 1:-1, 1:-1].max()) < 1e-6
    assert float(difference.max()) > 0.01


def test_a_layer_without_bias_gets_one_when_a_constant_is_folded() -> None:
    net = nn.Sequential(nn.Linear(5, 6), nn.Sigmoid(), nn.Linear(6, 3, bias=False))
    kill(net[0], 2)
    small, _ = compact(net, example=torch.randn(4, 5))
    assert small[2].bias is not None
    assert torch.allclose(small[2].bias, net[2].weight[:, 2] * torch.sigmoid(net[0].bias[2]))


@pytest.mark.parametrize(("beta", "survivors"), [(-0.3, 5), (0.0, 5), (0.8, 6)])
def test_batch_norm_decides_whether_a_dead_filter_is_zero(beta: float, survivors: int) -> None:
    """Its constant is beta - gamma * mean / sqrt(var + eps); here the mean is 0."""
    net = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 3, padding=1))
    kill(net[0], 3)
    with torch.no_grad():
        net[1].bias.fill_(0.1)
        net[1].bias[3] = beta
    small, _ = compact(net.eval(), example=images())
    assert small[0].out_channels == small[1].num_features == len(small[1].running_mean) == survivors


def test_the_running_mean_counts() -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 3, padding=1))
    kill(net[0], 3)
    net[1].running_mean[3] = -1.0  # the constant is +1 / sqrt(1 + eps)
    assert compact(net.eval(), example=images())[0][0].out_channels == 6
    net[1].running_mean[3] = 1.0  # -1: ReLU makes it 0
    assert compact(net, example=images())[0][0].out_channels == 5


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.branch = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.inner, self.head = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 4)
        with torch.no_grad():
            for layer in (self.stem, self.branch, self.inner):
                layer.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x + self.branch(F.relu(self.inner(x))))
        return self.head(x.mean((2, 3)))


def test_channels_of_an_add_leave_when_dead_in_all_branches() -> None:
    net = Residual().eval()
    kill(net.stem, 0, 2)
    small, report = compact(net, example=images())
    assert small.stem.out_channels == 6  # the branch still writes to them
    assert report.groups[0].reason == "a filter of the same add is alive"
    kill(net.branch, 2, 3)
    small, report = compact(net, example=images())
    assert (small.stem.out_channels, small.branch.out_channels, small.inner.in_channels) == (5, 5, 5)
    assert small.head.in_features == 5
    assert report.max_difference < 1e-6


def test_constants_of_an_add_are_summed() -> None:
    """-1 (after ReLU: 0) and +0.5 make 0.5, which the mean and the linear layer carry exactly."""
    net = Residual().eval()
    kill(net.stem, 2)
    kill(net.branch, 2)
    with torch.no_grad():
        net.stem.bias[2], net.branch.bias[2] = -1.0, 0.5
    small, _ = compact(net, example=images())
    assert small.stem.out_channels == 5
    assert torch.allclose(small.head.bias, net.head.bias + 0.5 * net.head.weight[:, 2])


def test_filters_that_nobody_reads_go_back_to_the_start() -> None:
    """A fixed point: the last layer reads nothing of channel 1, so its filter goes, so what only it read goes."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 3)).eval()
    with torch.no_grad():
        net[4].weight[:, 1] = 0
        net[2].weight[:, 3] = 0
        net[2].weight[1, 3] = 1.0
    small, report = compact(net, example=images())
    assert (small[0].out_channels, small[2].out_channels) == (3, 4)
    assert report.max_difference < 1e-6


def test_dead_filters_make_the_next_ones_constant() -> None:
    """All that filter 0 of the second layer reads is 0, so it is its bias, which ReLU makes 0."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 3, padding=1))
    kill(net[0], 1)
    with torch.no_grad():
        net[0].bias[1] = -1
        net[2].weight[0] = 0
        net[2].weight[0, 1] = 1.0
        net[2].bias[0] = -1
    small, _ = compact(net.eval(), example=images())
    assert (small[0].out_channels, small[2].out_channels) == (3, 4)


def test_depthwise_channels_go_whole() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 6, 1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU6(),
        nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 4, 1),
    ).eval()
    kill(net[0], 0, 5)
    kill(net[3], 2)
    small, report = compact(net, example=images())
    assert (small[0].out_channels, small[3].in_channels, small[3].out_channels, small[3].groups) == (3, 3, 3, 3)
    assert small[5].in_channels == small[4].num_features == 3
    assert report.max_difference < 1e-6


class Concat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 7, 3)
        self.norm, self.c = nn.BatchNorm2d(12), nn.Conv2d(12, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.norm(torch.cat([self.a(x), self.b(x)], 1))))


def test_concatenated_channels_are_cut_at_their_offsets() -> None:
    net = Concat().eval()
    kill(net.a, 4)
    kill(net.b, 0, 6)
    with torch.no_grad():
        net.norm.bias.copy_(torch.randn(12))
        net.norm.running_mean.copy_(torch.randn(12))
    small, report = compact(net, example=images())
    assert (small.a.out_channels, small.b.out_channels, small.norm.num_features, small.c.in_channels) == (4, 5, 9, 9)
    keep = [0, 1, 2, 3, 6, 7, 8, 9, 10]
    assert torch.equal(small.norm.running_mean, net.norm.running_mean[keep])
    assert report.max_difference < 1e-6


def test_a_flattened_channel_is_a_block_of_columns() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 5)).eval()
    kill(net[0], 1)
    small, report = compact(net, example=images())
    assert small[4].in_features == 27
    assert torch.equal(small[4].weight, net[4].weight[:, [*range(9), *range(18, 36)]])
    assert report.max_difference < 1e-6


def test_padded_averages_keep_zero_but_no_other_constant() -> None:
    def survivors(bias: float, pool: nn.Module) -> int:
        net = nn.Sequential(nn.Conv2d(3, 4, 3), pool, nn.Flatten(), nn.LazyLinear(2))
        net(images())
        kill(net[0], 1)
        with torch.no_grad():
            net[0].bias[1] = bias
        return compact(net.eval(), example=images())[0][0].out_channels

    assert survivors(0.0, nn.AvgPool2d(2, padding=1)) == 3
    assert survivors(0.5, nn.AvgPool2d(2, padding=1)) == 4
    assert survivors(0.5, nn.AvgPool2d(2, padding=1, count_include_pad=False)) == 3
    assert survivors(0.5, nn.MaxPool2d(2, padding=1)) == 3


def test_one_channel_always_stays_and_a_wholly_dead_network_still_runs() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()
    kill(net[0], 0, 1, 2, 3)
    small, report = compact(net, example=images())
    assert small[0].out_channels == 1
    assert report.max_difference < 1e-6


def test_one_channel_speaks_for_constants_that_a_padded_layer_reads() -> None:
    """With the weights sum_i (c_i / c) W_i; the channel of the largest constant, 0.8, is the one that stays."""
    net = conv_pair(1, 0.4)
    with torch.no_grad():
        net[0].bias[4] = 0.8
    small, report = compact(net, example=images())
    assert small[2].in_channels == 5
    weight = net[2].weight.detach()
    assert torch.allclose(small[2].weight[:, 3], weight[:, 4] + 0.5 * weight[:, 1], atol=1e-7)
    assert torch.equal(small[2].weight[:, [0, 1, 2, 4]], weight[:, [0, 2, 3, 5]])
    assert torch.equal(small[2].bias, net[2].bias)
    assert report.max_difference < 1e-6


def test_a_speaker_must_be_heard_by_every_reader() -> None:
    """Two readers see other constants of one group: after a sum, and before it."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 1)
            self.c, self.d = nn.Conv2d(6, 2, 3, padding=1), nn.Conv2d(6, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            one = self.a(x)
            return self.c(one) + self.d(F.relu(one + self.b(x)))

    net = Two().eval()
    kill(net.a, 0, 1, 2)
    kill(net.b, 0, 1, 2)
    with torch.no_grad():
        net.a.bias[:3] = torch.tensor([0.9, 0.5, 0.2])
        net.b.bias[:3] = torch.tensor([-2.0, 0.1, 0.3])  # seen by d: 0, 0.6, 0.5
    small, report = compact(net, example=images())
    assert small.a.out_channels == 4  # channel 1, and the living ones
    assert torch.allclose(small.a.bias[0], torch.tensor(0.5))
    assert report.max_difference < 1e-6
    with torch.no_grad():
        net.a.bias[:3] = torch.tensor([0.9, 0.0, 0.0])
        net.b.bias[:3] = torch.tensor(
            [-2.0, 0.1, 0.3]
        )  # c sees 0.9, 0, 0; d sees 0, 0.1, 0.3: nobody can speak to both
    small, report = compact(net, example=images())
    assert small.a.out_channels == 6
    assert report.groups[0].kept_idle == 3


def grouped(groups: int, out: int) -> nn.Sequential:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, out, 3, groups=groups, padding=1),
        nn.BatchNorm2d(out),
        nn.ReLU(),
        nn.Conv2d(out, 2, 1),
    )
    with torch.no_grad():
        net[3].bias.zero_()
    return net.eval()


@pytest.mark.parametrize(("groups", "out"), [(4, 8), (2, 12), (8, 16)])
def test_group_convolutions_lose_whole_groups(groups: int, out: int) -> None:
    """All but the last filter of group 0 and all of group 1 are dead: group 1 leaves."""
    net, width = grouped(groups, out), out // groups
    with torch.no_grad():
        net[3].weight[: 2 * width] = 0
        net[3].weight[width - 1] = 1.0
    small, report = compact(net, example=images())
    assert (small[3].groups, small[3].in_channels, small[3].out_channels) == (
        groups - 1,
        8 - 8 // groups,
        out - width,
    )
    assert small[0].out_channels == 8 - 8 // groups
    assert small[6].in_channels == out - width
    assert report.max_difference < 1e-6
    assert report.groups[0].reason == report.groups[1].reason * bool(report.groups[0].kept_idle)
    assert report.groups[1].reason == "it is tied through a group convolution"


def test_a_group_convolution_whose_input_must_stay_stays_whole() -> None:
    class Seen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.grouped, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.first(x)
            return y, self.last(self.grouped(y))

    net = Seen().eval()
    kill(net.first, 0, 1)
    kill(net.grouped, 0, 1)
    small, report = compact(net, example=images())
    assert (small.first.out_channels, small.grouped.out_channels, small.grouped.groups) == (4, 4, 2)
    assert [row.removed for row in report.groups] == [0, 0, 0]


def test_a_group_without_input_is_constant_and_leaves() -> None:
    """The first layer's dead filters fill group 0; without bias its outputs are 0."""
    net = grouped(4, 8)
    kill(net[0], 0, 1, 2)
    with torch.no_grad():
        net[0].bias[[0, 1, 2]] = -1.0
    small, report = compact(net, example=images())
    assert (small[3].groups, small[0].out_channels, small[6].in_channels) == (3, 6, 6)
    assert report.groups[0].kept_idle == 1
    assert report.max_difference < 1e-6


@pytest.mark.parametrize("gate", [nn.Sigmoid, nn.Hardsigmoid])
def test_a_gate_of_zero_times_anything_is_zero(gate: type[nn.Module]) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc, self.gate, self.head = (
                nn.Conv2d(3, 4, 1),
                nn.Conv2d(4, 4, 1),
                gate(),
                nn.Conv2d(4, 2, 3, padding=1),
            )

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.conv(x))
            return self.head(x * self.gate(self.fc(F.adaptive_avg_pool2d(x, 1))))

    net = Gated().eval()
    kill(net.conv, 2)
    with torch.no_grad():
        net.conv.bias[2] = -1
    small, _ = compact(net, example=images())
    assert (small.conv.out_channels, small.fc.in_channels, small.fc.out_channels, small.head.in_channels) == (3,) * 4


def test_an_in_place_activation_changes_what_later_readers_see() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act, self.head = nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            self.act(y)
            return self.head(y)

    net = InPlace().eval()
    kill(net.conv, 1)
    with torch.no_grad():
        net.conv.bias[1] = -2.0
    small, report = compact(net, example=images())
    assert small.conv.out_channels == 3
    assert report.max_difference < 1e-6


def test_the_given_model_and_its_mode_are_left_alone_and_masks_are_applied() -> None:
    net = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3)).train()
    net[3].eval()
    before = copy.deepcopy(net.state_dict())
    mask = torch.ones(6, 5, dtype=torch.bool)
    mask[[0, 3]] = False
    small, _ = compact(net, {"0.weight": mask}, example=torch.randn(4, 5))
    assert small[0].out_features == 4
    assert [m.training for m in small.modules()] == [m.training for m in net.modules()]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    with pytest.raises(InputError, match="fits no weight"):
        compact(net, {"9.weight": mask}, example=torch.randn(4, 5))


def test_a_wrong_cut_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_fold", lambda *_: None)
    with pytest.raises(RegrowError, match="outputs differ"):
        compact(conv_pair(0, 0.7), example=images())


def trained(name: str, image_size: int = 32, steps: int = 3, **options: int) -> nn.Module:
    """A network after a few steps, so that batch norm's statistics, gammas and betas are nothing special."""
    model = models.build(name, 10, image_size=image_size, **options)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.bias is not None:
                module.bias.normal_(0, 0.2)
                module.weight.uniform_(0.5, 1.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        x, y = torch.randn(8, 3, image_size, image_size), torch.randint(0, 10, (8,))
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def channel_masks(model: nn.Module, density: float, choose: Callable[[int], Tensor]) -> dict[str, Tensor]:
    """Masks that take the same channels from all producers of each prunable group."""
    parameters = dict(model.named_parameters())
    masks = {name: torch.ones(p.shape, dtype=torch.bool) for name, p in parameters.items() if p.ndim > 1}
    for group in channel_groups(model):
        dead = choose(group.size)[: round((1 - density) * group.size)]
        for name in group.producers if group.prunable else ():
            masks[name][dead] = False
    return masks


SMALL = [("resnet20", {"width": 8}), ("resnet18", {"width": 8}), ("vgg11", {"width": 8})]
LIBRARY = ["torchvision:resnet18", "timm:resnet50", "torchvision:mobilenet_v3_small", "torchvision:densenet121"]
LIBRARY += ["torchvision:resnext50_32x4d"]


@pytest.mark.parametrize(("name", "options"), SMALL, ids=[name for name, _ in SMALL])
def test_networks_shrink_and_keep_their_outputs(name: str, options: dict[str, int]) -> None:
    check_network(trained(name, **options))


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARY)
def test_networks_of_the_libraries_shrink_and_keep_their_outputs(name: str, libraries: None) -> None:
    check_network(trained(name, 64))


def check_network(model: nn.Module) -> None:
    masks = channel_masks(model, 0.5, torch.randperm)
    example = torch.randn(2, 3, 64, 64)
    _, careful = compact(model, masks, example=example)
    assert careful.max_difference <= 1e-5 * careful.output_scale
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in masks:
                parameter.masked_fill_(~masks[name], 0)
    zeroed = zero_dead_norms(model, masks, example=example)
    assert zeroed.channels
    assert zeroed.max_change is not None
    assert zeroed.max_change > 1e-3
    small, report = compact(model, masks, example=example)
    assert report.parameters_after < careful.parameters_after < report.parameters_before
    parameters, wanted = dict(small.named_parameters()), dict(model.named_parameters())
    for group in channel_groups(model):
        if group.prunable:
            alive = group.size - round(0.5 * group.size)
            assert all(len(parameters[name]) <= alive for name in group.producers), group
    assert type(small) is type(model)
    assert parameters.keys() >= wanted.keys()  # and a bias where a constant went
    assert report.max_difference <= 1e-5 * report.output_scale


def test_resnet18_with_half_its_channels_has_a_quarter_of_its_weights() -> None:
    model = models.build("resnet18", 10, width=16)
    masks = channel_masks(model, 0.5, torch.arange)
    zero_dead_norms(model, masks)
    small, report = compact(model, masks, example=torch.randn(2, 3, 32, 32))
    fresh = models.build("resnet18", 10, width=8)
    assert report.parameters_after == sum(p.numel() for p in fresh.parameters())
    fresh.load_state_dict(small.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(fresh.eval()(x), small.eval()(x))


def test_the_result_trains_and_is_saved(tmp_path: Path) -> None:
    model = trained("resnet8", width=4)
    masks = channel_masks(model, 0.5, torch.arange)
    zero_dead_norms(model, masks)
    small, _ = compact(model, masks, example=torch.randn(2, 3, 32, 32))
    small.train()
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1)
    before = copy.deepcopy(small.state_dict())
    F.cross_entropy(small(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()
    assert all(p.grad is not None for p in small.parameters())
    assert not torch.equal(before["conv1.weight"], small.state_dict()["conv1.weight"])
    torch.save(small.state_dict(), tmp_path / "small.pt")
    assert torch.load(tmp_path / "small.pt", weights_only=True).keys() == before.keys()


def test_channels_last_weights_stay_so() -> None:
    net = conv_pair(0, -1.0).to(memory_format=torch.channels_last)
    small, _ = compact(net, example=images())
    assert small[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_zeroing_dead_norms_touches_dead_channels_of_prunable_groups_alone() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Flatten(), nn.LazyLinear(2)
    )
    net(images())
    kill(net[0], 1)
    kill(net[3], 2)
    kill(net[5], 0)
    before = copy.deepcopy(net.state_dict())
    report = zero_dead_norms(net, example=images())
    assert report.channels == {"1": 1, "3": 1}
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"1.weight", "3.bias"}  # beta was 0 before
    assert (net[1].weight[1].item(), net[3].bias[2].item()) == (0, 0)
    assert report.max_change is not None
    assert report.max_change > 0

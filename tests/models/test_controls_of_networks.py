"""Anti-aliased down-sampling and dropout: what they change, and all that they must not."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch import nn

from regrow import models
from regrow.errors import InputError
from regrow.models.blurpool import antialiased, blur_pool
from regrow.models.dropout import with_dropout

NETWORKS = [
    ("resnet8", {"width": 8}, (3, 32, 32)),
    ("vgg11", {"width": 8}, (3, 32, 32)),
    ("resnet18", {"width": 4, "image_size": 96}, (3, 97, 97)),
    ("wrn-10-1", {}, (3, 33, 33)),
    ("resnet3d18", {"width": 4}, (3, 9, 33, 35)),
    ("i3d", {"width": 8}, (3, 18, 65, 64)),
]


def build(name: str, options: dict) -> nn.Module:
    torch.manual_seed(0)
    return models.build(name, 10, **options)


def maps(model: nn.Module, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Shapes that every layer gives."""
    seen: list[tuple[int, ...]] = []
    model = copy.deepcopy(model).eval()
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda _m, _i, out: seen.append(tuple(out.shape)))
    with torch.no_grad():
        model(torch.zeros(1, *shape))
    return seen


@pytest.mark.parametrize(("name", "options", "shape"), NETWORKS, ids=[n for n, *_ in NETWORKS])
def test_conversion_leaves_parameters_and_the_shapes_of_all_maps(name: str, options: dict, shape) -> None:
    plain, converted = build(name, options), antialiased(build(name, options))
    state = converted.state_dict()
    assert list(state) == list(plain.state_dict())
    assert all(torch.equal(value, state[key]) for key, value in plain.state_dict().items())
    assert maps(converted, shape) == maps(plain, shape)
    strided = (nn.Conv2d, nn.Conv3d, nn.MaxPool2d, nn.MaxPool3d)
    assert all(np.max(m.stride) == 1 for m in converted.modules() if isinstance(m, strided))
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(converted.eval()(x), plain.eval()(x))


@pytest.mark.usefixtures("libraries")
def test_networks_of_timm_keep_their_shapes_too() -> None:
    torch.manual_seed(0)
    plain = models.build("timm:test_efficientnet", 10, image_size=64)
    converted = antialiased(copy.deepcopy(plain))
    assert maps(converted, (3, 64, 64))[-1] == maps(plain, (3, 64, 64))[-1]
    assert [p.shape for p in converted.parameters()] == [p.shape for p in plain.parameters()]


@pytest.mark.parametrize("stride", [2, 3])
def test_the_blur_is_a_triangle_with_repeated_edges_and_then_the_stride(stride: int) -> None:
    x = torch.randn(2, 3, 7, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    taps = np.convolve(np.ones(stride), np.ones(stride)) / stride**2
    slow = x.numpy()
    for axis in (2, 3):
        slow = correlate1d(slow, taps, axis=axis, mode="nearest")
    np.testing.assert_allclose(blur_pool(x, [stride] * 2).numpy(), slow[:, :, ::stride, ::stride], atol=1e-12)
    only = correlate1d(x.numpy(), taps, axis=3, mode="nearest")[:, :, :, ::stride]
    np.testing.assert_allclose(blur_pool(x, [1, stride]).numpy(), only, atol=1e-12)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_sizes_are_those_of_the_strided_layer(ceil_mode: bool) -> None:
    for kernel, stride, n in itertools.product((1, 2, 3, 5), (2, 3, 4), range(5, 15)):
        for padding in range(kernel // 2 + 1):
            x = torch.zeros(1, 1, n, n + 1)
            layers: list[nn.Module] = [nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode)]
            layers += (
                [] if ceil_mode else [nn.Conv2d(1, 1, kernel, stride, padding), nn.Conv2d(1, 1, kernel, (1, stride))]
            )
            for layer in layers:
                assert antialiased(copy.deepcopy(layer))(x).shape == layer(x).shape, (layer, n)


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (1, 2, 5, 6), (1, 2, 4, 5, 6)])
def test_a_constant_map_stays_constant(shape: tuple[int, ...]) -> None:
    blurred = blur_pool(torch.full(shape, 0.3), [2] * (len(shape) - 2))
    assert torch.equal(blurred, torch.full_like(blurred, 0.3))


def test_a_point_convolution_commutes_with_the_blur_and_others_follow_it() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 4, 9, 9)
    point, wide, pool = nn.Conv2d(4, 5, 1, 2, bias=False), nn.Conv2d(4, 5, 3, 2, 1), nn.MaxPool2d(3, 2, 1)
    weight = point.weight.clone()
    expected = [
        blur_pool(nn.functional.conv2d(x, weight), [2, 2]),
        blur_pool(nn.functional.conv2d(x, wide.weight, wide.bias, 1, 1), [2, 2]),
        blur_pool(nn.functional.max_pool2d(x, 3, 1, 1), [2, 2]),
    ]
    for layer, value in zip((point, wide, pool), expected, strict=True):
        torch.testing.assert_close(antialiased(layer)(x), value)


def test_outputs_move_less_when_the_input_is_shifted() -> None:
    """Mean distance of logits of circularly shifted images (Zhang 2019, section 3.1, in its spirit)."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.standard_normal((6, 3, 64, 64)).astype(np.float32))

    def distance(model: nn.Module) -> float:
        model.eval()
        with torch.no_grad():
            base = model(images)
            moved = [model(images.roll((dy, dx), (2, 3))) for dy, dx in ((0, 1), (1, 0), (1, 1), (3, 1))]
        return float(sum((m - base).norm() for m in moved) / base.norm())

    options = {"width": 8, "image_size": 64}
    assert distance(antialiased(build("resnet20", options))) < 0.7 * distance(build("resnet20", options))


def test_conversion_counts_all_operations_of_the_larger_maps() -> None:
    from regrow.sparsity import cost

    conv = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False))
    before = cost.flops(conv, (3, 8, 8))["dense"]
    assert cost.flops(antialiased(conv), (3, 8, 8))["dense"] == 4 * before
    point = nn.Sequential(nn.Conv2d(3, 4, 1, 2, bias=False))
    before = cost.flops(point, (3, 8, 8))["dense"]
    assert cost.flops(antialiased(point), (3, 8, 8))["dense"] == before


@pytest.mark.parametrize(("name", "options", "shape"), NETWORKS[:-1], ids=[n for n, *_ in NETWORKS[:-1]])
def test_dropout_is_before_the_classifier_and_in_training_alone(name: str, options: dict, shape) -> None:
    plain, dropped = build(name, options), with_dropout(build(name, options), 0.5, name)
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(plain.eval()(x), dropped.eval()(x))
    features: list[torch.Tensor] = []
    last = [m for m in dropped.modules() if isinstance(m, nn.Linear)][-1]
    last.register_forward_pre_hook(lambda _m, inputs: features.append(inputs[0].detach()))
    dropped.train()
    torch.manual_seed(3)
    dropped(x)
    reference: list[torch.Tensor] = []
    [m for m in plain.modules() if isinstance(m, nn.Linear)][-1].register_forward_pre_hook(
        lambda _m, inputs: reference.append(inputs[0].detach())
    )
    plain.train()
    plain(x)
    kept, active = features[0] != 0, reference[0] != 0
    torch.testing.assert_close(features[0][kept], 2 * reference[0][kept])
    assert 0.2 < float((active & ~kept).sum() / active.sum()) < 0.8


def test_networks_with_a_dropout_of_their_own_are_refused() -> None:
    for name, model in (("i3d", build("i3d", {"width": 4})), ("timm:resnet18", nn.Linear(2, 2))):
        with pytest.raises(InputError, match=f"{name} is not"):
            with_dropout(model, 0.5, name)

"""Costs of published networks: counts by hand, and the published factors and bytes of sparse ResNet-50."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from regrow.sparsity import Static, Uniform, cost, plan

pytestmark = pytest.mark.usefixtures("libraries")
IMAGE = (3, 224, 224)
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.965)


def torchvision_model(name: str, **options: object) -> nn.Module:
    with torch.device("meta"):
        return getattr(importlib.import_module("torchvision.models"), name)(weights=None, **options)


@pytest.fixture(scope="module")
def resnet50(libraries: None) -> nn.Module:
    """Stride in the 3x3 convolution (v1.5)."""
    return torchvision_model("resnet50")


@pytest.fixture(scope="module")
def resnet50_v1(libraries: None) -> nn.Module:
    """Stride in the first 1x1 convolution, as in He et al. 2015."""
    model = torchvision_model("resnet50")
    for stage in (model.layer2, model.layer3, model.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return model


def hooked(model: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Operations by module name, counted without torch's counter: from what goes into and out of each layer."""
    seen: dict[str, int] = {}

    def counter(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[f"{name}.weight"] = 2 * output.numel() * math.prod(module.weight.shape[1:])

        return count

    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    handles = [m.register_forward_hook(counter(n)) for n, m in layers]
    training = model.training
    model.eval()(torch.empty(1, *shape, device="meta"))
    model.train(training)
    for handle in handles:
        handle.remove()
    return seen


def resnet50_by_hand(*, stride_in_3x3: bool) -> int:
    """Multiply-adds of ResNet-50 at 224 pixels."""
    total = 64 * 3 * 49 * 112**2 + 2048 * 1000
    before = 64
    for blocks, width, side in ((3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7)):
        for block in range(blocks):
            first_side = 2 * side if stride_in_3x3 and block == 0 and width > 64 else side
            total += before * width * first_side**2 + 9 * width**2 * side**2 + 4 * width**2 * side**2
            total += before * 4 * width * side**2 if block == 0 else 0
            before = 4 * width
    return total


def test_vgg16_by_hand() -> None:
    model = torchvision_model("vgg16")
    plane = ((224, 3, 64), (224, 64, 64), (112, 64, 128), (112, 128, 128), (56, 128, 256), (56, 256, 256))
    deep = ((56, 256, 256), (28, 256, 512), (28, 512, 512), (28, 512, 512), *((14, 512, 512),) * 3)
    convolutions = [side**2 * 9 * n_in * n_out for side, n_in, n_out in (*plane, *deep)]
    linear = [25088 * 4096, 4096 * 4096, 4096 * 1000]
    got = cost.flops(model, IMAGE)
    assert [row["dense"] for row in got["layers"]] == [2 * n for n in convolutions + linear]
    assert got["dense"] == 2 * 15_470_264_320
    assert sum(linear) == 123_633_664
    assert sum(p.numel() for p in model.parameters()) == 138_357_544


def test_resnet50_by_hand(resnet50: nn.Module, resnet50_v1: nn.Module) -> None:
    got = cost.flops(resnet50, IMAGE)
    assert got["dense"] == 2 * resnet50_by_hand(stride_in_3x3=True) == 2 * 4_089_184_256
    assert cost.flops(resnet50_v1, IMAGE)["dense"] == 2 * resnet50_by_hand(stride_in_3x3=False) == 2 * 3_857_973_248
    sizes = {row["name"]: resnet50.get_parameter(row["name"]).numel() for row in got["layers"]}
    assert (len(sizes), sum(sizes.values())) == (54, 25_502_912)


@pytest.mark.parametrize("training", [True, False])
def test_deit_small_by_hand(training: bool) -> None:
    with torch.device("meta"):
        model = importlib.import_module("timm").create_model("deit_small_patch16_224").train(training)
    tokens, width, depth = 197, 384, 12
    per_block = {"attn.qkv": 3 * width**2, "attn.proj": width**2, "mlp.fc1": 4 * width**2, "mlp.fc2": 4 * width**2}
    by_hand = {
        "patch_embed.proj.weight": 2 * 196 * 768 * width,
        **{f"blocks.{i}.{n}.weight": 2 * tokens * size for i in range(depth) for n, size in per_block.items()},
        "head.weight": 2 * width * 1000,
    }
    got = cost.flops(model, IMAGE)
    assert {row["name"]: row["dense"] for row in got["layers"]} == by_hand
    assert got["other"] == 2 * depth * 2 * tokens**2 * width
    assert got["dense"] == sum(by_hand.values()) + got["other"] == 2 * 4_598_882_304
    assert sum(p.numel() for p in model.parameters()) == 22_050_664


@pytest.mark.parametrize("training", [True, False])
def test_attention_modules_of_torchvision_s_vision_transformer(training: bool) -> None:
    vit = importlib.import_module("torchvision.models").VisionTransformer
    model = vit(image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=128).train(training)
    tokens, width = 17, 64
    got = cost.flops(model, (3, 32, 32))
    of_block = [
        (row["name"].partition("layer_1.")[2], row["dense"]) for row in got["layers"] if "layer_1." in row["name"]
    ]
    assert of_block == [
        ("self_attention.in_proj_weight", 2 * tokens * 3 * width**2),
        ("self_attention.out_proj.weight", 2 * tokens * width**2),
        ("mlp.0.weight", 2 * tokens * width * 128),
        ("mlp.3.weight", 2 * tokens * width * 128),
    ]
    assert got["other"] == 2 * 2 * 2 * tokens**2 * width


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "resnext50_32x4d"])
def test_torch_s_counter_agrees_with_hooks(name: str) -> None:
    model = torchvision_model(name)
    assert {row["name"]: row["dense"] for row in cost.flops(model, IMAGE)["layers"]} == hooked(model, IMAGE)


def planned(model: nn.Module, sparsity: float, *, uniform: bool) -> list[dict]:
    if uniform:  # RigL's uniform: the first layer is no part of it
        return plan(model, Static(sparsity, allocation=Uniform()), total_steps=1, layers=["!conv1"])["layers"]
    return plan(model, Static(sparsity), total_steps=1)["layers"]


def factor(counted: dict, rows: list[dict]) -> float:
    densities = {row["name"]: row["density"] for row in rows}
    return sum(row["dense"] * densities.get(row["name"], 1) for row in counted["layers"]) / counted["dense"]


def test_inference_factors_of_sparse_resnet50(resnet50: nn.Module, resnet50_v1: nn.Module) -> None:
    """Evci et al. 2020 print 0.42 and 0.24 for ERK, with some operations that are not counted here."""
    erk = {s: planned(resnet50, s, uniform=False) for s in SPARSITIES}
    uniform = {s: planned(resnet50, s, uniform=True) for s in SPARSITIES}
    now, v1 = (cost.flops(model, IMAGE) for model in (resnet50, resnet50_v1))
    assert [round(factor(now, erk[s]), 4) for s in SPARSITIES] == [0.7143, 0.4138, 0.2418, 0.1217, 0.0852]
    assert [round(factor(v1, erk[s]), 4) for s in SPARSITIES] == [0.6993, 0.4011, 0.2363, 0.1189, 0.0833]
    assert [round(factor(now, uniform[s]), 4) for s in SPARSITIES] == [0.5144, 0.2231, 0.1260, 0.0774, 0.0628]
    assert [sum(row["kept_dense"] for row in erk[s]) for s in SPARSITIES] == [32, 8, 1, 0, 0]
    published_erk = {0.8: 0.42, 0.9: 0.24, 0.95: 0.12, 0.965: 0.09}
    published_uniform = {0.8: 0.23, 0.9: 0.13, 0.95: 0.08, 0.965: 0.07}
    for s in published_erk:
        assert abs(factor(now, erk[s]) - published_erk[s]) < 0.012
        assert abs(factor(now, uniform[s]) - published_uniform[s]) < 0.012


def test_training_factor_of_rigl(resnet50: nn.Module) -> None:
    densities = {row["name"]: row["density"] for row in planned(resnet50, 0.9, uniform=False)}
    counted = cost.flops(resnet50, IMAGE, densities)
    trained = cost.training_flops(counted["dense"], counted["sparse"], interval=100, needs_gradient=True)
    assert round(counted["sparse"] / counted["dense"], 4) == 0.2418
    assert round(trained / cost.training_flops(counted["dense"], counted["dense"]), 4) == 0.2443


@pytest.mark.parametrize(
    ("sparsity", "uniform", "megabytes"),
    [
        (0.8, False, 23.683),
        (0.9, False, 13.499),
        (0.95, False, 8.399),
        (0.9, True, 13.532),
        (0.95, True, 8.433),
        (0.965, True, 6.904),
    ],
)
def test_model_bytes_as_published(resnet50: nn.Module, sparsity: float, uniform: bool, megabytes: float) -> None:
    rows = planned(resnet50, sparsity, uniform=uniform)
    sizes, counts = ({row["name"]: row[key] for row in rows} for key in ("n_weights", "n_active"))
    rest = 1000 + 26_560 + (resnet50.conv1.weight.numel() if uniform else 0)  # biases, one vector of each BatchNorm
    assert abs(cost.model_bytes(sizes, counts, rest=rest) / 1e6 - megabytes) < 0.001

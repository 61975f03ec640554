"""Grad-CAM against captum and by hand, integrated gradients against closed forms, and networks left as they were."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional as F

from regrow import analysis, models
from regrow.errors import InputError, UnknownNameError


def images(n: int = 3, side: int = 32, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def captum():
    return pytest.importorskip("captum.attr", reason="captum is not installed (extra regrow[explain])")


def small_cnn(inplace: bool = True) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2),
        nn.ReLU(inplace),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(inplace),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 36, 5),
    )


def resnet8() -> nn.Module:
    torch.manual_seed(2)
    net = models.build("resnet8", 10, width=8)
    net(images(16))  # statistics of batch normalisation that are not 0 and 1
    return net


def state(model: nn.Module):
    """All that an attribution may not change."""
    return (
        [
            (m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in model.modules()
        ],
        [(p.grad, p.requires_grad) for p in model.parameters()],
        {name: value.tolist() for name, value in model.state_dict().items()},
    )


def no_inplace() -> nn.Module:
    return small_cnn(inplace=False)


@pytest.mark.parametrize(
    ("make", "layer"),
    [
        (small_cnn, "3"),
        (small_cnn, "4"),
        (no_inplace, "0"),
        (no_inplace, "2"),
        (resnet8, "layer3"),
        (resnet8, "layer2.0"),
        (resnet8, "layer3.0.conv2"),
    ],
)
def test_grad_cam_is_captum_s(captum, make, layer) -> None:
    net, x, labels = make().eval(), images(), torch.tensor([0, 3, 4])
    found = analysis.grad_cam(net, x, labels, layer=layer, batch_size=2)
    module = net.get_submodule(layer)
    reference = captum.LayerGradCam(net, module).attribute(x, labels, relu_attributions=True)
    reference = F.interpolate(reference, size=(32, 32), mode="bilinear", align_corners=False)[:, 0]
    assert float(reference.detach().max()) > 1e-4
    torch.testing.assert_close(found.maps, reference.detach(), atol=1e-5, rtol=0)
    assert (found.layer, found.targets.tolist()) == (layer, [0, 3, 4])
    assert found.gap is found.change is found.completeness_error is None


def test_what_later_layers_overwrite_is_looked_at_as_the_layer_gave_it() -> None:
    x = images()
    for layer in ("0", "2"):
        plain, overwritten = (analysis.grad_cam(small_cnn(inplace), x, layer=layer).maps for inplace in (False, True))
        torch.testing.assert_close(overwritten, plain, atol=0, rtol=0)


def test_grad_cam_of_a_mean_over_places_is_the_class_activation_map_by_hand() -> None:
    """Behind a mean over places and a linear layer, a_k is the class's weight over the number of places."""
    torch.manual_seed(0)
    body, head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)
    net = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    x = images(2, 8)
    with torch.no_grad():
        expected = F.relu(torch.einsum("k,nkhw->nhw", head.weight[1] / 64, body(x)))
    found = analysis.grad_cam(net, x, np.array([1, 1]))
    assert found.layer == "0"
    torch.testing.assert_close(found.maps, expected, atol=1e-6, rtol=0)


def test_enlarging_is_bilinear() -> None:
    class Corner(nn.Module):
        """One channel of 2 x 2 places, whose sum is the only logit."""

        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(x[:, :1]).sum(dim=(2, 3))

    x = torch.zeros(1, 3, 4, 4)
    x[0, 0, :2, :2] = 1  # the map is 1 in a corner; derivative 1 at each place
    edge = torch.tensor([1.0, 0.75, 0.25, 0.0])
    torch.testing.assert_close(analysis.grad_cam(Corner(), x).maps[0], edge[:, None] * edge)


@pytest.mark.parametrize(
    ("name", "layer"), [("resnet8", "layer3"), ("vgg11", None), ("wrn-10-1", "bn"), ("resnet18", "layer4")]
)
def test_the_last_feature_map_is_found(name: str, layer: str | None) -> None:
    net = models.build(name, 4, width=4)
    found = analysis.spatial_layer(net, images(1, 64))
    with torch.no_grad():
        seen: list[Tensor] = []
        handle = net.get_submodule(found).register_forward_hook(lambda m, i, out: seen.append(out))
        net(images(2, 64))
        handle.remove()
    assert seen[0].ndim == 4
    assert seen[0].shape[2] > 1
    assert layer is None or found == layer


@pytest.mark.parametrize(
    ("name", "options", "layer"),
    [
        ("resnet10t", {}, "layer4"),
        ("convnext_atto", {}, None),
        ("vit_tiny_patch16_224", {"depth": 2, "embed_dim": 24, "num_heads": 2}, "blocks.1.norm1"),
        ("mixer_s32_224", {}, "blocks.7.norm1"),
        ("swin_tiny_patch4_window7_224", {"depths": (1, 1), "num_heads": (1, 2), "embed_dim": 12}, "norm"),
    ],
)
def test_networks_of_timm_have_maps(libraries, name: str, options: dict, layer: str | None) -> None:
    torch.manual_seed(0)
    side = 64 if name in ("resnet10t", "convnext_atto") else 224
    net = models.build(f"timm:{name}", 5, image_size=side, options=options)
    nn.init.normal_(net.get_classifier().weight)  # some begin at 0, where no place speaks for any class
    x = images(2, side)
    found = analysis.grad_cam(net, x)
    assert layer is None or found.layer == layer
    assert found.maps.shape == (2, side, side)
    assert float(found.maps.min()) >= 0
    assert float(found.maps.amax(dim=(1, 2)).min()) > 0
    assert float(found.maps.std(dim=(1, 2)).min()) > 0  # it varies over the image
    assert found.targets.tolist() == net.eval()(x).argmax(1).tolist()


def test_tokens_lie_row_by_row_behind_the_class_token(libraries) -> None:
    torch.manual_seed(4)
    net = models.build(
        "timm:vit_tiny_patch16_224", 3, image_size=224, options={"depth": 1, "embed_dim": 24, "num_heads": 2}
    ).eval()
    x = images(1, 224)
    found = analysis.grad_cam(net, x, [0])
    outputs: list[Tensor] = []
    handle = net.blocks[0].norm1.register_forward_hook(lambda m, i, out: outputs.append(out))
    logit = net(x)[0, 0]
    handle.remove()
    tokens, slope = outputs[0].detach()[0], torch.autograd.grad(logit, outputs[0])[0][0]
    weight = slope[1:].mean(dim=0)
    by_hand = torch.zeros(14, 14)
    for row in range(14):
        for column in range(14):
            by_hand[row, column] = max(0.0, float(weight @ tokens[1 + 14 * row + column]))
    enlarged = F.interpolate(by_hand[None, None], size=(224, 224), mode="bilinear", align_corners=False)[0]
    assert float(enlarged.std()) > 0
    torch.testing.assert_close(found.maps, enlarged, atol=1e-3 * float(enlarged.max()), rtol=0)


@pytest.mark.parametrize("channels", [7, 20])
def test_channels_may_come_last(channels: int) -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1)

    torch.manual_seed(0)
    conv, head = nn.Conv2d(3, channels, 3, stride=4), nn.Linear(channels * 8 * 12, 2)
    x = torch.randn(2, 3, 32, 48)
    first = nn.Sequential(conv, nn.Flatten(), head)
    last = nn.Sequential(conv, Last(), nn.Linear(channels, channels), nn.Flatten(), nn.Linear(channels * 8 * 12, 2))
    with torch.no_grad():
        last[2].weight.copy_(torch.eye(channels))
        last[2].bias.zero_()
        places = head.weight.unflatten(1, (channels, 8, 12)).permute(0, 2, 3, 1)
        last[4].weight.copy_(places.flatten(1))
        last[4].bias.copy_(head.bias)
    found = analysis.grad_cam(last, x, [0, 1])
    assert found.layer == "2"
    torch.testing.assert_close(found.maps, analysis.grad_cam(first, x, [0, 1]).maps, atol=1e-6, rtol=1e-4)


def test_batches_make_no_difference_and_predictions_are_the_network_s_own() -> None:
    net, x = resnet8(), images(5)
    whole = analysis.grad_cam(net, x)
    torch.testing.assert_close(analysis.grad_cam(net, x, batch_size=2).maps, whole.maps, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        assert whole.targets.tolist() == net.eval()(x).argmax(1).tolist()
    torch.testing.assert_close(analysis.grad_cam(net, x, whole.targets).maps, whole.maps, atol=0, rtol=0)


def test_integrated_gradients_of_a_linear_network_are_weight_times_input(captum) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4)).double()
    x, labels, base = images(3, 8, dtype=torch.float64), torch.tensor([3, 0, 1]), (0.5, -1.0, 0.25)
    weight = net[1].weight.detach().view(4, 3, 8, 8)[labels]
    for steps in (1, 7):
        found = analysis.integrated_gradients(net, x, labels, baseline=base, steps=steps, batch_size=2)
        expected = (weight * (x - torch.tensor(base, dtype=torch.float64).view(1, 3, 1, 1))).sum(dim=1)
        torch.testing.assert_close(found.maps, expected, atol=1e-12, rtol=0)
        torch.testing.assert_close(found.change, expected.sum(dim=(1, 2)), atol=1e-12, rtol=0)
        assert float(found.gap.abs().max()) < 1e-12
        assert found.completeness_error < 1e-12


def test_integrated_gradients_of_a_product_are_the_closed_form(captum) -> None:
    """F = the sum over places of r g b: each channel's part is a third of it, and Gauss-Legendre is exact."""

    class Product(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.prod(dim=1).sum(dim=(1, 2))[:, None]

    x = images(2, 4, dtype=torch.float64)
    found = analysis.integrated_gradients(Product(), x, steps=2)
    torch.testing.assert_close(found.maps, x.prod(dim=1), atol=1e-12, rtol=0)


def test_integrated_gradients_are_complete(captum) -> None:
    net, x, labels = resnet8(), images(4, 32), torch.tensor([1, 2, 3, 4])
    coarse = analysis.integrated_gradients(net, x, labels, steps=4)
    fine = analysis.integrated_gradients(net, x, labels, steps=200)
    net.eval()
    with torch.no_grad():
        change = (net(x) - net(torch.zeros_like(x)))[range(4), labels]
    torch.testing.assert_close(fine.change, change, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(fine.maps.sum(dim=(1, 2)) - fine.change, fine.gap, atol=1e-4, rtol=0)
    assert fine.completeness_error < 0.02
    assert fine.completeness_error < coarse.completeness_error
    assert fine.completeness_error == pytest.approx(
        float(fine.gap.abs().mean()) / float(fine.change.abs().mean()), rel=1e-6
    )


WAYS = {
    "grad_cam": analysis.grad_cam,
    "integrated_gradients": lambda *a, **k: analysis.integrated_gradients(*a, steps=3, **k),
    "spatial_layer": lambda net, x, labels: analysis.spatial_layer(net, x),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("frozen", [False, True])
def test_the_network_and_the_images_are_left_as_they_were(captum, way: str, frozen: bool) -> None:
    net, x = resnet8(), images()
    net.layer2.eval()  # modes that differ within one network
    net.requires_grad_(not frozen)
    before, copy = state(net), x.clone()
    with torch.no_grad():
        WAYS[way](net, x, torch.tensor([0, 1, 2]))
    assert state(net) == before
    assert torch.equal(x, copy)
    assert not x.requires_grad


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no")


@pytest.mark.parametrize("way", WAYS)
def test_the_network_is_left_as_it_was_where_it_fails(captum, way: str) -> None:
    net, x = small_cnn(), images()
    net.append(Fails())
    net[0].eval()
    before = state(net)
    with pytest.raises(RuntimeError, match="no"):
        WAYS[way](net, x, torch.tensor([0, 1, 2]))
    assert state(net) == before
    good = small_cnn()
    before = state(good)
    for _ in range(2):
        with pytest.raises(InputError, match=r"targets must lie in 0 \.\. 4"):
            analysis.grad_cam(good, x, torch.tensor([0, 1, 5]))
    assert state(good) == before


def test_inference_mode_of_the_caller_is_no_hindrance(captum) -> None:
    net, x = resnet8(), images()
    expected = analysis.grad_cam(net, x).maps
    with torch.inference_mode():
        torch.testing.assert_close(analysis.grad_cam(net, x).maps, expected)
        analysis.integrated_gradients(net, images(), steps=2)


def test_a_network_without_maps_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="integrated gradients") as caught:
        analysis.grad_cam(models.build("mlp", 3, image_size=8), images(1, 8))
    assert "\n" not in str(caught.value)


def test_impossible_input_is_refused(captum, monkeypatch) -> None:
    net, x = small_cnn(), images(2)
    refused = [
        ({"layer": "6"}, "gives the shape"),
        ({"layer": "5"}, "no map of the image"),
        ({"layer": "9"}, "unknown layer '9'"),
        ({"targets": [0, 1, 2]}, "one class for each of 2 images"),
        ({"targets": [0.0, 1.0]}, "float"),
        ({"targets": [0, -1]}, r"0 \.\. 4"),
        ({"targets": "predicted"}, "Did you mean 'prediction'"),
    ]
    for arguments, words in refused:
        with pytest.raises(InputError, match=words):
            analysis.grad_cam(net, x, **arguments)
    for bad in (x[0], (x * 255).byte(), x[:0], torch.zeros(1, 3, 4, 8, 8)):
        with pytest.raises(InputError, match="float type"):
            analysis.grad_cam(net, bad)
    for arguments, words in (
        ({"steps": 0}, "1 step"),
        ({"baseline": (0.0, 1.0)}, "3 channels"),
        ({"baseline": float("nan")}, "finite"),
    ):
        with pytest.raises(InputError, match=words):
            analysis.integrated_gradients(net, x, **arguments)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(InputError, match=r"regrow\[explain\]"):
        analysis.integrated_gradients(net, x)


def test_a_layer_beside_the_answer_is_refused() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.aside, self.pool = nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            self.aside(x)
            return self.pool(x).flatten(1)

    with pytest.raises(InputError, match="no part in the answer"):
        analysis.grad_cam(Aside(), images(), layer="aside")


def test_similarities_are_those_of_plain_loops() -> None:
    a, b = (images(4, 6, seed)[:, 0].round(decimals=1).relu() for seed in (0, 1))
    for found, single in (
        (analysis.cosine(a, b), lambda u, v: float(u @ v / (u.norm() * v.norm()))),
        (analysis.map_rank_correlation(a, b), lambda u, v: spearmanr(u, v).statistic),
    ):
        expected = [single(u.flatten(), v.flatten()) for u, v in zip(a, b, strict=True)]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    zero = torch.zeros_like(a)
    assert np.isnan(analysis.cosine(a, zero)).all()
    assert np.isnan(analysis.map_rank_correlation(a, zero + 2)).all()


def test_high_share_is_that_of_a_wave_and_its_harmonics() -> None:
    column = torch.arange(32, dtype=torch.float64)
    slow, fast = (1 + torch.cos(2 * np.pi * f * column / 32) for f in (3, 9))
    edge = 1 + torch.cos(2 * np.pi * 8 * column / 32)  # at H / 4 itself, which is not above it
    maps = torch.stack([slow, fast, edge, slow + fast, 2 * slow + fast]).unsqueeze(1).expand(-1, 32, -1)
    np.testing.assert_allclose(analysis.high_share(maps), [0, 1, 0, 0.5, 0.2], atol=1e-12)
    np.testing.assert_allclose(analysis.high_share(maps[:1], radius=2), [1], atol=1e-12)
    assert np.isnan(analysis.high_share(torch.full((1, 8, 8), 3.0))).all()
    negative = -images(1, 16)[:, 0].abs()
    assert np.isnan(analysis.high_share(negative)).all()  # the positive part alone counts


def test_twins_compare_each_network_with_itself(captum) -> None:
    first, second, clean = resnet8(), models.build("resnet8", 10, width=8), images(6)
    corrupted = clean + 0.5 * images(6, seed=9)
    labels = torch.arange(6)
    found = analysis.twins(first, second, clean, corrupted, labels, steps=8, batch_size=4)
    assert [(row["method"], row["network"]) for row in found.rows] == [
        ("grad_cam", "dense"),
        ("grad_cam", "sparse"),
        ("integrated_gradients", "dense"),
        ("integrated_gradients", "sparse"),
    ]
    assert set(found.maps) == {
        f"{row['method']}.{row['network']}.{twin}" for row in found.rows for twin in ("clean", "corrupted")
    }
    direct = analysis.integrated_gradients(second, clean, labels, steps=8).maps
    key = "integrated_gradients.sparse.clean"
    assert found.maps[key].dtype == np.float16
    assert np.abs(found.maps[key]).max(axis=(1, 2)).tolist() == [1] * 6
    again = found.maps[key].astype(np.float64) * found.scales[key][:, None, None]
    np.testing.assert_allclose(again, direct.numpy(), atol=2e-3 * float(direct.abs().max()))
    row = found.rows[1]
    cams = [analysis.grad_cam(second, x, labels).maps for x in (clean, corrupted)]
    ranks = analysis.map_rank_correlation(*cams)
    assert row["layer"] == "layer3"
    assert row["n"] == 6
    assert row["n_compared"] == int(np.isfinite(ranks).sum())
    assert row["rank_correlation"] == pytest.approx(np.nanmean(ranks), abs=1e-6)
    assert row["cosine"] == pytest.approx(np.nanmean(analysis.cosine(*cams)[np.isfinite(ranks)]), abs=1e-6)
    assert row["high_share_corrupted"] == pytest.approx(np.nanmean(analysis.high_share(cams[1])), abs=1e-6)
    assert row["completeness_error_clean"] is None
    assert all(r["completeness_error_corrupted"] > 0 for r in found.rows[2:])


def test_a_picture_and_itself_are_alike_and_predictions_are_of_the_clean_one() -> None:
    net, clean = resnet8(), images(4)
    labels = torch.zeros(4, dtype=torch.int64)
    found = analysis.twins(net, net, clean, clean, labels, methods=("grad_cam",), names=("a", "b"))
    for row in found.rows:
        assert row["cosine"] == pytest.approx(1, abs=1e-9)
        assert row["rank_correlation"] == pytest.approx(1, abs=1e-9)
    own = analysis.twins(net, net, clean, -clean, labels, methods=("grad_cam",), names=("a", "b"), target="prediction")
    seen = analysis.grad_cam(net, clean).targets
    expected = analysis.grad_cam(net, -clean, seen).maps
    key = "grad_cam.a.corrupted"
    np.testing.assert_allclose(
        own.maps[key] * own.scales[key][:, None, None], expected, atol=1e-3 * float(expected.max()) + 1e-9
    )


def test_maps_that_are_nothing_are_told_and_not_averaged() -> None:
    class Against(nn.Module):
        """Every feature speaks against the only class, so that Grad-CAM has nothing to show."""

        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return -self.pool(x.abs()).sum(dim=(1, 2, 3))[:, None]

    x = images(2, 8)
    found = analysis.twins(Against(), Against(), x, x, [0, 0], methods=("grad_cam",))
    assert {(row["n"], row["n_compared"], row["cosine"], row["high_share_clean"]) for row in found.rows} == {
        (2, 0, None, None)
    }
    assert not any(maps.any() for maps in found.maps.values())


def test_both_similarities_are_means_over_the_same_images() -> None:
    """A map that is the same everywhere has a cosine with its twin, and no ranks: it counts in neither."""

    class Bright(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(x.abs()).sum(dim=(1, 2, 3))[:, None]

    clean, corrupted = images(2, 8), images(2, 8, seed=5)
    clean[0] = 1
    (row, _) = analysis.twins(Bright(), Bright(), clean, corrupted, [0, 0], methods=("grad_cam",)).rows
    (alone, _) = analysis.twins(Bright(), Bright(), clean[1:], corrupted[1:], [0], methods=("grad_cam",)).rows
    assert (row["n"], row["n_compared"]) == (2, 1)
    assert row["cosine"] == pytest.approx(alone["cosine"], abs=1e-9)


def test_twins_that_are_none_are_refused() -> None:
    net, x = small_cnn(), images(2)
    for arguments, words in (
        ({"corrupted": x[:1]}, "one shape"),
        ({"names": ("a", "a")}, "two names"),
        ({"methods": ("gradcam",)}, "Did you mean 'grad_cam'"),
        ({"target": "labels"}, "Did you mean 'label'"),
    ):
        with pytest.raises((InputError, UnknownNameError), match=words):
            analysis.twins(
                **{"model_a": net, "model_b": net, "clean": x, "corrupted": x, "labels": [0, 1], **arguments}
            )

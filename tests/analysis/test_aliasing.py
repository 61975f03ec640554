"""Aliasing of waves of known frequency, and of networks with and without blur."""

from __future__ import annotations

import importlib
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from regrow import analysis, models
from regrow.errors import InputError
from regrow.models.blurpool import antialiased, blur, blur_pool

sides = st.tuples(st.integers(2, 9), st.integers(2, 9))


def wave(u, v, side=16, phase=0.3):
    i, j = np.mgrid[:side, :side]
    return torch.from_numpy(np.cos(2 * math.pi * (u * i + v * j) / side + phase))


def images(n=4, side=32, channels=3, seed=0):
    return torch.randn((n, channels, side, side), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("frequency", "strides", "aliases"),
    [
        ((0, 3), (2, 2), False),
        ((3, 3), (2, 2), False),
        ((0, 4), (2, 2), True),  # at the Nyquist frequency its phase is lost
        ((0, 6), (2, 2), True),
        ((6, 0), (2, 2), True),
        ((6, 0), (1, 2), False),
        ((3, 0), (4, 4), True),
        ((1, 1), (4, 4), False),
    ],
)
def test_a_wave_folds_whole_or_not_at_all(frequency, strides, aliases):
    share, error = analysis.aliased(5 + wave(*frequency)[None, None], strides)
    assert float(share) == pytest.approx(float(aliases), abs=1e-12)
    assert float(error) == pytest.approx(float(aliases), abs=1e-7)


def test_two_waves_fold_by_their_energies_over_all_channels():
    maps = torch.stack([wave(0, 2), 3 * wave(0, 7)])[None]
    share, error = analysis.aliased(maps, (2, 2))
    assert float(share) == pytest.approx(9 / 10)
    kept = maps[..., ::2, ::2].square().sum(dim=(2, 3))[0]
    assert float(error) == pytest.approx(float((kept[1] / kept.sum()).sqrt()))


def test_white_noise_has_the_share_of_bins():
    share, error = analysis.aliased(images(200, channels=1).double(), (2, 2))
    assert float(share.mean()) == pytest.approx((32**2 - 15**2) / (32**2 - 1), abs=0.003)
    assert float(error.square().mean()) == pytest.approx((32**2 - 15**2) / (32**2 - 1), abs=0.01)


@settings(deadline=None, max_examples=30)
@given(
    st.tuples(st.integers(2, 9), st.integers(2, 9)), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.integers(0, 9)
)
def test_share_and_error_are_the_definition_over_the_whole_plane(size, strides, seed):
    maps = torch.randn((2, 2, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    share, error = analysis.aliased(maps, strides)
    for item in range(2):
        y = maps[item].numpy() - maps[item].numpy().mean(axis=(1, 2), keepdims=True)
        spectrum = np.fft.fftshift(np.fft.fft2(y), axes=(1, 2))
        for i in range(size[0]):
            for j in range(size[1]):
                u, v = abs(i - size[0] // 2), abs(j - size[1] // 2)
                low = (strides[0] == 1 or 2 * strides[0] * u < size[0]) and (
                    strides[1] == 1 or 2 * strides[1] * v < size[1]
                )
                if low:
                    spectrum[:, i, j] = 0
        high = np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(1, 2))).real
        assert float(share[item]) == pytest.approx((high**2).sum() / (y**2).sum(), abs=1e-12)
        at = (slice(None), slice(None, None, strides[0]), slice(None, None, strides[1]))
        if (y[at] ** 2).sum() > 1e-9:
            assert float(error[item]) == pytest.approx(((high[at] ** 2).sum() / (y[at] ** 2).sum()) ** 0.5, abs=1e-6)


def test_maps_that_do_not_vary_have_no_share():
    share, error = analysis.aliased(torch.full((1, 2, 7, 7), 0.1), (2, 2))
    assert math.isnan(float(share))
    assert math.isnan(float(error))
    assert math.isnan(float(analysis.aliased(torch.ones(1, 2, 1, 1), (2, 2))[0]))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4))
def test_the_blur_at_every_place_holds_what_the_blurred_pool_keeps(height, width, down, across):
    x = images(1)[:, :, :height, :width]
    full = blur(x, (down, across))
    assert full.shape == x.shape
    torch.testing.assert_close(full[..., ::down, ::across], blur_pool(x, (down, across)))


LAYERS = {
    "convolution": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1),
    "grouped": lambda: nn.Conv2d(4, 8, 5, stride=(2, 1), padding=2, groups=4),
    "pointwise": lambda: nn.Conv2d(4, 6, 1, stride=2, bias=False),
    "dilated": lambda: nn.Conv2d(4, 6, 3, stride=3, padding=1, dilation=2),
    "reflected": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, padding_mode="reflect"),
    "max": lambda: nn.MaxPool2d(3, stride=2, padding=1),
    "average": lambda: nn.AvgPool2d(2),
    "power": lambda: nn.LPPool2d(2, 3, stride=2),
}


def means(values):
    return float(values.detach().mean())


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_measured_as_itself_at_stride_one(name):
    torch.manual_seed(0)
    layer, x = LAYERS[name](), images(channels=4)
    full = _full_rate(layer, x)
    strides = layer.stride if isinstance(layer.stride, tuple) else (layer.stride,) * 2
    out = layer(x)
    torch.testing.assert_close(full[..., :: strides[0], :: strides[1]][..., : out.shape[2], : out.shape[3]], out)
    found = analysis.measure_aliasing(nn.Sequential(layer), x)
    share, error = analysis.aliased(full, strides)
    (row,) = found["layers"]
    noise = analysis.aliased(torch.randn(400, 1, *full.shape[2:]), strides)[0]
    assert row["white_share"] == pytest.approx(means(noise), abs=0.005)
    assert (row["layer"], row["kind"], row["blurred"], row["size"]) == (
        "0",
        type(layer).__name__,
        False,
        list(full.shape[2:]),
    )
    assert row["share"]["mean"] == pytest.approx(means(share), rel=1e-5)
    assert row["relative_error"]["mean"] == pytest.approx(means(error), rel=1e-5)
    assert (found["n"], row["share"]["n"]) == (4, 4)
    assert found["share"] == row["share"]["mean"]


def _full_rate(layer, x):
    """The same layer, built again at stride 1 with its weights."""
    if isinstance(layer, nn.Conv2d):
        twin = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
        )
        twin.load_state_dict(layer.state_dict())
        return twin(x)
    if isinstance(layer, nn.MaxPool2d):
        return nn.MaxPool2d(layer.kernel_size, 1, layer.padding)(x)
    if isinstance(layer, nn.AvgPool2d):
        return nn.AvgPool2d(layer.kernel_size, 1)(x)
    return nn.LPPool2d(layer.norm_type, layer.kernel_size, 1)(x)


@pytest.mark.parametrize("name", ["convolution", "grouped", "pointwise", "reflected", "max"])
def test_a_blurred_layer_is_measured_after_its_blur_and_aliases_less(name):
    torch.manual_seed(0)
    layer, x = LAYERS[name](), images(channels=4)
    strides = layer.stride if isinstance(layer.stride, tuple) else (layer.stride,) * 2
    plain = analysis.measure_aliasing(nn.Sequential(layer), x)
    full = _full_rate(layer, blur(x, strides)) if name == "pointwise" else blur(_full_rate(layer, x), strides)
    smooth = antialiased(nn.Sequential(layer))
    torch.testing.assert_close(full[..., :: strides[0], :: strides[1]], smooth(x))
    found = analysis.measure_aliasing(smooth, x)
    (row,) = found["layers"]
    assert row["blurred"]
    assert row["share"]["mean"] == pytest.approx(means(analysis.aliased(full, strides)[0]), rel=1e-5)
    assert found["share"] < plain["share"] / 2
    assert found["relative_error"] < plain["relative_error"]


def test_an_anti_aliased_network_measures_lower_at_every_stride():
    torch.manual_seed(0)
    model = models.build("resnet18", 10, width=8)
    x = images(6)
    plain = analysis.measure_aliasing(model, x)
    smooth = analysis.measure_aliasing(antialiased(model), x)
    assert len(plain["layers"]) == 6  # three stages of a 3 x 3 and a shortcut each
    assert [row["layer"] for row in smooth["layers"]] == [row["layer"] for row in plain["layers"]]
    for before, after in zip(plain["layers"], smooth["layers"], strict=True):
        assert after["blurred"]
        assert after["share"]["mean"] < before["share"]["mean"] / 2
        assert after["relative_error"]["mean"] < before["relative_error"]["mean"]
    assert plain["share"] == pytest.approx(np.mean([row["share"]["mean"] for row in plain["layers"]]))
    assert json.loads(json.dumps(plain)) == plain


def test_batches_do_not_matter_and_a_layer_called_twice_counts_both(network, untouched):
    x = images(7)
    with untouched(network):
        whole = analysis.measure_aliasing(network, x)
    parts = analysis.measure_aliasing(network, iter(x.split(3)))
    assert parts["share"] == pytest.approx(whole["share"], rel=1e-5)
    assert parts["layers"][0]["share"]["sd"] == pytest.approx(whole["layers"][0]["share"]["sd"], rel=1e-4)
    pool = nn.MaxPool2d(2)
    twice = analysis.measure_aliasing(nn.Sequential(pool, nn.ReLU(), pool), x)
    assert [row["share"]["n"] for row in twice["layers"]] == [14]
    assert twice["n"] == 7


def test_what_does_not_sub_sample_by_itself_is_not_listed():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.stride = 2
            self.inner = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.inner(input=x)

    model = nn.Sequential(Block(), nn.ConvTranspose2d(3, 3, 2, stride=2), nn.AdaptiveAvgPool2d(1))
    found = analysis.measure_aliasing(model, images())
    assert found == {"n": 4, "layers": [], "share": None, "relative_error": None}


def test_clips_count_time_as_a_direction():
    torch.manual_seed(0)
    layer = nn.Conv3d(3, 4, 3, stride=(1, 2, 2), padding=1)
    x = torch.randn(2, 3, 4, 16, 16)
    full = nn.functional.conv3d(x, layer.weight, layer.bias, padding=1)
    (row,) = analysis.measure_aliasing(layer, x)["layers"]
    share, _ = analysis.aliased(full, (1, 2, 2))
    assert (row["layer"], row["size"], row["stride"]) == ("", [4, 16, 16], [1, 2, 2])
    assert row["share"]["mean"] == pytest.approx(means(share), rel=1e-5)


def test_a_layer_that_is_never_called_has_no_figures_and_hooks_go_on_an_error(untouched):
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.MaxPool2d(2), nn.MaxPool2d(3)

        def forward(self, x):
            if len(x) == 1:
                raise RuntimeError("one")
            return self.used(x)

    model = Skips()
    found = analysis.measure_aliasing(model, images())
    assert found["layers"][1]["share"] == {"mean": None, "sd": None, "n": 0}
    assert found["share"] == found["layers"][0]["share"]["mean"]
    with untouched(model), pytest.raises(RuntimeError, match="one"):
        analysis.measure_aliasing(model, images(3), batch_size=2)
    with pytest.raises(InputError, match="got none"):
        analysis.measure_aliasing(model, [])


@pytest.mark.parametrize(
    ("name", "options", "kinds"),
    [
        ("resnet18", {}, {"Conv2d", "MaxPool2d"}),
        ("resnet18", {"aa_layer": "BlurPool2d"}, {"Conv2d", "BlurPool2d"}),
        ("tf_mobilenetv3_small_minimal_100", {}, {"Conv2dSame"}),
        ("resnet18d", {}, {"Conv2d", "MaxPool2d", "AvgPool2d"}),
    ],
)
def test_networks_of_timm(libraries, name, options, kinds):
    timm = importlib.import_module("timm")
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=4, **{key: getattr(timm.layers, v) for key, v in options.items()})
    found = analysis.measure_aliasing(model, images(2, 64))
    assert {row["kind"] for row in found["layers"]} == kinds
    for row in found["layers"]:
        assert 0 < row["share"]["mean"] <= 1
        assert row["share"]["n"] == 2


def test_timm_s_own_blur_measures_lower_than_none(libraries):
    timm = importlib.import_module("timm")
    shares = []
    for options in ({}, {"aa_layer": timm.layers.BlurPool2d}):
        torch.manual_seed(0)
        shares.append(
            analysis.measure_aliasing(timm.create_model("resnet18", num_classes=4, **options), images(2, 64))["share"]
        )
    assert shares[1] < shares[0]

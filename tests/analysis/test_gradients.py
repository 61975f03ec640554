"""Input gradients and Jacobians of networks whose derivatives are known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from regrow import analysis
from regrow.errors import InputError

STD = (0.2, 0.25, 0.5)


def images(n=6, side=16, seed=0, dtype=torch.float32):
    return torch.randn((n, 3, side, side), generator=torch.Generator().manual_seed(seed), dtype=dtype)


def linear(side=16, classes=4, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, classes).double())


def wave(u, v, side=16):
    i, j = np.mgrid[:side, :side]
    return torch.from_numpy(np.cos(2 * math.pi * (u * i + v * j) / side))


def test_the_gradient_of_a_linear_network_is_known():
    net, x, labels = linear(), images(dtype=torch.float64), torch.arange(6) % 4
    found = analysis.input_gradients(net, x, labels, std=STD)
    with torch.no_grad():
        off = net(x).softmax(1) - F.one_hot(labels, 4)
        gradient = (off @ net[1].weight).reshape(x.shape) / torch.tensor(STD, dtype=torch.float64).view(3, 1, 1)
    norms = gradient.flatten(1).norm(dim=1)
    assert found["norm"]["mean"] == pytest.approx(float(norms.mean()))
    assert found["norm"]["sd"] == pytest.approx(float(norms.std()))
    assert found["loss"]["mean"] == pytest.approx(F.cross_entropy(net(x), labels).item())
    power = (np.abs(np.fft.fftshift(np.fft.fft2(gradient.numpy()), axes=(2, 3))) ** 2).sum(axis=1)
    rho = np.hypot(*np.meshgrid(np.arange(-8, 8), np.arange(-8, 8), indexing="ij"))
    assert found["radius"] == 4
    assert found["share"] == pytest.approx(power[:, rho > 4].sum() / power[:, rho > 0].sum())
    each = power[:, rho > 4].sum(axis=1) / power[:, rho > 0].sum(axis=1)
    assert found["share_per_image"]["mean"] == pytest.approx(each.mean())
    assert (found["n"], found["flat"]) == (6, 0)
    total = sum(row["bins"] * row["power"] for row in found["profile"])
    assert total == pytest.approx(float(norms.square().mean()))
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(("frequency", "share"), [((0, 3), 0), ((4, 0), 0), ((4, 4), 1), ((8, 0), 1)])
def test_a_network_that_reads_one_wave_has_its_gradient_there(frequency, share):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 2, bias=False).double())
    with torch.no_grad():
        net[1].weight[0] = wave(*frequency).repeat(3, 1, 1).reshape(-1)
        net[1].weight[1] = 0
    found = analysis.input_gradients(net, images(dtype=torch.float64), torch.zeros(6, dtype=torch.int64), std=1)
    assert found["share"] == pytest.approx(share, abs=1e-12)
    assert found["share_per_image"]["mean"] == pytest.approx(share, abs=1e-12)
    top = max(found["profile"], key=lambda row: row["power"])
    assert top["radius"] == math.floor(math.hypot(*frequency) + 0.5)


def test_a_gradient_of_white_noise_has_the_share_of_bins():
    def loss(outputs, labels):
        return (outputs * noise[labels]).sum(dim=(1, 2, 3))

    noise = images(300, seed=3)
    found = analysis.input_gradients(nn.Identity(), torch.zeros_like(noise), torch.arange(300), std=1, loss=loss)
    rho = np.hypot(*np.meshgrid(np.arange(-8, 8), np.arange(-8, 8), indexing="ij"))
    assert found["share"] == pytest.approx((rho > 4).sum() / (rho > 0).sum(), abs=0.005)
    assert found["norm"]["mean"] == pytest.approx(float(noise.flatten(1).norm(dim=1).mean()))


def test_images_count_alike_or_by_their_gradients():
    """One image with a large gradient at a high frequency, three with small ones at a low frequency, one with none."""
    waves = torch.stack([10 * wave(8, 8), wave(0, 2), wave(2, 0), wave(2, 0), torch.zeros(16, 16)])[:, None]

    def loss(outputs, labels):
        return (outputs * waves[labels]).sum(dim=(1, 2, 3))

    x = torch.zeros(5, 1, 16, 16, dtype=torch.float64)
    found = analysis.input_gradients(nn.Identity(), x, torch.arange(5), std=1, loss=loss)
    high, low = float((100 * wave(8, 8) ** 2).sum()), float((wave(0, 2) ** 2).sum())
    assert found["share"] == pytest.approx(high / (high + 3 * low))
    assert found["share_per_image"]["mean"] == pytest.approx(1 / 4)
    assert (found["n"], found["flat"], found["share_per_image"]["n"]) == (5, 1, 4)


def test_where_all_gradients_are_zero_there_is_no_share():
    found = analysis.input_gradients(
        nn.Identity(), images(), torch.zeros(6), std=1, loss=lambda y, t: (0 * y).sum(dim=(1, 2, 3))
    )
    assert (found["share"], found["share_per_image"]["mean"], found["flat"]) == (None, None, 6)
    assert found["norm"] == {"mean": 0, "sd": 0, "n": 6}


def test_gradients_and_jacobians_do_not_depend_on_batches_or_on_what_the_caller_turned_off(network):
    x, labels = images(7), np.arange(7) % 5
    with torch.no_grad():
        whole = analysis.input_gradients(network, x, labels, std=STD)
    parts = analysis.input_gradients(network, iter(x.split(3)), labels, std=STD)
    with torch.inference_mode():
        by_two = analysis.input_gradients(network, x.clone(), labels, std=STD, batch_size=2)
        sizes = analysis.jacobian_norm(network, x.clone(), std=STD, seed=4, batch_size=2)
    for other in (parts, by_two):
        assert other["share"] == pytest.approx(whole["share"], rel=1e-5)
        assert other["norm"]["mean"] == pytest.approx(whole["norm"]["mean"], rel=1e-5)
        assert [row["power"] for row in other["profile"]] == pytest.approx(
            [row["power"] for row in whole["profile"]], rel=1e-4
        )
    same = analysis.jacobian_norm(network, x, std=STD, seed=4)
    assert same["norm"] == pytest.approx(sizes["norm"], rel=1e-5)
    assert analysis.jacobian_norm(network, x, std=STD, seed=4) == same
    assert analysis.jacobian_norm(network, x, std=STD, seed=5)["norm"] != pytest.approx(same["norm"], rel=1e-5)


def test_units_of_pixels():
    """The same function of pixels, normalised otherwise: the same gradients."""
    net, pixels, labels = linear(), images(dtype=torch.float64), torch.arange(6) % 4
    std = torch.tensor(STD, dtype=torch.float64).view(3, 1, 1)
    scaled = nn.Sequential(_Times(std), net)
    plain = analysis.input_gradients(net, pixels, labels, std=1)
    other = analysis.input_gradients(scaled, pixels / std, labels, std=STD)
    assert other["share"] == pytest.approx(plain["share"])
    assert other["norm"]["mean"] == pytest.approx(plain["norm"]["mean"])
    assert analysis.jacobian_norm(scaled, pixels / std, std=STD)["norm"] == pytest.approx(
        analysis.jacobian_norm(net, pixels, std=1)["norm"]
    )


class _Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def test_clips_are_transformed_frame_by_frame():
    x = torch.zeros(2, 3, 4, 16, 16, dtype=torch.float64)
    frames = torch.stack([wave(0, 2), wave(0, 2), wave(0, 2), wave(8, 8) / 2**0.5])
    found = analysis.input_gradients(
        nn.Identity(), x, torch.zeros(2), std=STD, loss=lambda y, t: (y * frames).sum(dim=(1, 2, 3, 4))
    )
    assert found["share"] == pytest.approx(1 / 4)  # (8, 8) has one bin, twice the energy of a wave of its amplitude


def test_the_jacobian_of_orthogonal_rows_is_exact_with_one_projection():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 3, bias=False).double())
    with torch.no_grad():
        net[1].weight.zero_()
        for row, size in enumerate((1.0, 2.0, 3.0)):
            net[1].weight[row, row * 5] = size
    found = analysis.jacobian_norm(net, images(dtype=torch.float64), std=0.5, projections=1)
    assert found["norm"] == pytest.approx(math.sqrt(1 + 4 + 9) / 0.5)
    assert found["squared"]["sd"] == pytest.approx(0, abs=1e-9)
    assert (found["n"], found["projections"]) == (6, 1)


def test_the_jacobian_s_estimate_is_unbiased(network):
    x = images(5)
    single = network.eval()
    exact = []
    for image in x:
        jacobian = torch.autograd.functional.jacobian(lambda one: single(one[None])[0], image)
        exact.append(float((jacobian / torch.tensor(STD).view(3, 1, 1)).square().sum()))
    found = analysis.jacobian_norm(single, x, std=STD, projections=400)
    assert found["squared"]["mean"] == pytest.approx(np.mean(exact), rel=0.1)
    assert found["norm"] == pytest.approx(found["squared"]["mean"] ** 0.5)
    few = [analysis.jacobian_norm(single, x, std=STD, projections=1, seed=s)["squared"]["mean"] for s in range(100)]
    assert np.mean(few) == pytest.approx(np.mean(exact), abs=4 * np.std(few) / 10)


def test_signs_are_signs_and_independent():
    from regrow import seeds

    drawn = analysis.gradients._signs(seeds.bits(0, "noise", 1), 2000, 70)
    assert drawn.unique().tolist() == [-1, 1]
    assert float((drawn.T @ drawn / 2000 - torch.eye(70)).abs().max()) < 0.13


def test_the_network_is_left_as_it_was_even_on_an_error(network, untouched):
    x, labels = images(), torch.arange(6) % 5
    with untouched(network):
        analysis.input_gradients(network, x, labels, std=STD)
        analysis.jacobian_norm(network, x, std=STD)
    with untouched(network), pytest.raises(InputError, match="5 labels and at least 6 images"):
        analysis.input_gradients(network, x, labels[:5], std=STD)
    with untouched(network), pytest.raises(RuntimeError):
        analysis.jacobian_norm(network, images()[:, :2], std=STD[:2])


def test_weights_get_no_gradient_computed(network, monkeypatch):
    """With a layer that refuses to be differentiated in its weight."""

    class Refuse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            return x * weight

        @staticmethod
        def backward(ctx, gradient):
            assert ctx.needs_input_grad == (True, False)
            return gradient, None

    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return Refuse.apply(x, self.weight)

    model = nn.Sequential(Scale(), network)
    analysis.input_gradients(model, images(), torch.arange(6) % 5, std=STD)
    analysis.jacobian_norm(model, images(), std=STD)


def test_impossible_input_is_refused(network):
    x, labels = images(), torch.arange(6) % 5
    for std in ((0.2, 0.2), 0, (1, -1, 1)):
        with pytest.raises(InputError, match="std must hold"):
            analysis.input_gradients(network, x, labels, std=std)
    with pytest.raises(InputError, match="8 labels and 6 images"):
        analysis.input_gradients(network, x, torch.zeros(8), std=1)
    with pytest.raises(InputError, match="got none"):
        analysis.jacobian_norm(network, [], std=1)
    with pytest.raises(InputError, match="float tensor"):
        analysis.jacobian_norm(network, x.to(torch.uint8), std=1)
    with pytest.raises(InputError, match="projections"):
        analysis.jacobian_norm(network, x, std=1, projections=0)
    with pytest.raises(InputError, match="returns logits"):
        analysis.jacobian_norm(nn.Identity(), x, std=1)
    with pytest.raises(InputError, match="one number for each of 6"):
        analysis.input_gradients(network, x, labels, std=1, loss=F.cross_entropy)

"""Fourier heat maps against a plain loop over cells, images and channels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from regrow import analysis, seeds
from regrow.errors import InputError, UnknownNameError

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
NORMAL = {"mean": MEAN, "std": STD}


def pixels(n, height, width, seed=0):
    return torch.rand((n, 3, height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(kind, height, width):
    torch.manual_seed(1)
    if kind == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * height * width, 5)).double().eval()
    layers = (
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.Flatten(),
    )
    return nn.Sequential(*layers, nn.Linear(8 * (height // 2) * (width // 2), 5)).double().eval()


def basis(row, column, height, width):
    other = (
        (height - row) % height if height % 2 == 0 else height - 1 - row,
        (width - column) % width if width % 2 == 0 else width - 1 - column,
    )
    plane = np.zeros((height, width), np.complex128)
    plane[min((row, column), other)] = (1 + 1j) / 2
    plane[max((row, column), other)] = (1 - 1j) / 2
    if other == (row, column):
        plane[row, column] = 1
    image = math.sqrt(height * width) * np.fft.ifft2(np.fft.ifftshift(plane)).real
    return image, min((row, column), other)


def sign(seed, first, height, width, image, channel):
    """Bit 3 image + channel of the stream of the pair's first cell."""
    u, v = first[0] - height // 2, first[1] - width // 2
    number = 3 * image + channel
    word = seeds.raw(seed, "noise", seeds.name_key("analysis.heat_map"), u % height, v % width, n=number // 64 + 1)[-1]
    return 1 if int(word) >> (number % 64) & 1 else -1


def perturbed(x, row, column, eps, clip, seed):
    """Normalised images under one cell's noise, from pixels (n, 3, H, W)."""
    image, first = basis(row, column, *x.shape[2:])
    out = np.empty_like(x)
    for i in range(len(x)):
        for c in range(3):
            noisy = x[i, c] + sign(seed, first, *x.shape[2:], i, c) * eps * image
            out[i, c] = ((noisy.clip(0, 1) if clip else noisy) - MEAN[c]) / STD[c]
    return out


def normalised(x):
    return (x - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize(("kind", "size"), [("linear", (7, 8)), ("convolutions", (8, 6)), ("convolutions", (5, 9))])
def test_the_map_is_that_of_the_plain_loop(kind, size, clip):
    height, width = size
    n, eps, seed = 23, 1.5, 3
    net, x, labels, seen = network(kind, *size), pixels(n, *size), np.arange(n) % 5, []

    def predict(batch):
        seen.append(batch.numpy().copy())
        return net(batch)

    names = [] if kind == "linear" else ["0", "3", "5"]
    found = analysis.heat_map(
        predict, x, labels, **NORMAL, eps=eps, clip=clip, seed=seed, batch_size=n, model=net, layers=names
    )
    assert (found["image"], found["shape"], found["n"]) == ([height, width], [height, width], n)
    assert (found["eps"], found["clip"], found["seed"]) == (eps, clip, seed)
    with torch.no_grad():
        clean = net(torch.from_numpy(normalised(x.numpy()))).argmax(1).numpy()
    assert found["clean_error"] == np.mean(clean != labels)
    np.testing.assert_allclose(seen[0], normalised(x.numpy()), atol=1e-13)
    firsts = 0
    for row in range(height):
        for column in range(width):
            noisy = perturbed(x.numpy(), row, column, eps, clip, seed)
            if basis(row, column, *size)[1] == (row, column):  # one pass for each pair, in row-major order
                firsts += 1
                np.testing.assert_allclose(seen[firsts], noisy, atol=1e-12)
            with torch.no_grad():
                wrong = net(torch.from_numpy(noisy)).argmax(1).numpy() != labels
            assert found["error"][row][column] == pytest.approx(wrong.mean(), abs=1e-6)
            for name in names:
                part = net[: int(name) + 1]
                ratios = []
                for one, before in zip(noisy, normalised(x.numpy()), strict=True):
                    with torch.no_grad():
                        f, g = (part(torch.from_numpy(image[None])) for image in (before, one))
                    ratios.append(float((g - f).norm() / f.norm()))
                assert found["layers"][name][row][column] == pytest.approx(np.mean(ratios), rel=1e-9)
    assert len(seen) == firsts + 1
    json.dumps(found, allow_nan=False)


def test_bytes_are_pixels_over_255_and_float32_is_close_to_double():
    raw = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    raw.flags.writeable = False  # as of a memory map
    seen = {"bytes": [], "double": []}

    def recorder(name):
        return lambda batch: seen[name].append(batch) or torch.zeros(len(batch), 2)

    exact = torch.from_numpy(raw.astype(np.float64) / 255).movedim(-1, 1)
    for name, given in (("bytes", raw), ("double", exact)):
        analysis.heat_map(recorder(name), given, np.zeros(6), **NORMAL, eps=2)
    for single, double in zip(seen["bytes"], seen["double"], strict=True):
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, atol=1e-6, rtol=0)


def test_batches_and_the_size_of_the_map_change_nothing():
    net, x, labels = network("convolutions", 8, 8), pixels(11, 8, 8), torch.arange(11) % 5
    common = {**NORMAL, "eps": 1.0, "model": net, "layers": ["3"]}
    whole = analysis.heat_map(net, x, labels, **common)
    for batch_size in (4, 11, 30):
        other = analysis.heat_map(net, x, labels, **common, batch_size=batch_size)
        assert other["error"] == whole["error"]
        np.testing.assert_allclose(other["layers"]["3"], whole["layers"]["3"], rtol=1e-12)
    middle = analysis.heat_map(net, x, labels, **common, size=5)
    assert (middle["shape"], middle["image"]) == ([5, 5], [8, 8])
    assert middle["error"] == [row[2:7] for row in whole["error"][2:7]]
    np.testing.assert_allclose(middle["layers"]["3"], np.array(whole["layers"]["3"])[2:7, 2:7], rtol=1e-12)


def test_mirrored_cells_are_equal_and_every_cell_is_on_the_same_first_images():
    net, x, labels, sizes = network("convolutions", 8, 8), pixels(40, 8, 8), torch.arange(40) % 5, []

    def predict(batch):
        sizes.append(len(batch))
        return net(batch)

    found = analysis.heat_map(predict, x, labels, **NORMAL, eps=3, images_per_bin=12, batch_size=100)
    assert found["n"] == 12
    assert sum(sizes) == 12 * (1 + 34)  # 64 cells: 4 are their own mirrors, 60 are 30 pairs
    error = np.array(found["error"])
    np.testing.assert_array_equal(error[1:, 1:], error[1:, 1:][::-1, ::-1])
    np.testing.assert_array_equal(error[0, 1:], error[0, 1:][::-1])
    assert found == analysis.heat_map(net, x[:12], labels[:12], **NORMAL, eps=3)
    assert len(np.unique(error)) > 3


def test_32_pixels_take_514_passes_of_an_image():
    sizes = []
    found = analysis.heat_map(
        lambda batch: sizes.append(len(batch)) or torch.zeros(len(batch), 2),
        np.zeros((2, 32, 32, 3), np.uint8),
        np.zeros(2),
        **NORMAL,
    )
    assert found["eps"] == 4
    assert sum(sizes) == 2 * 515
    assert max(sizes) <= 512


def test_a_network_that_reads_one_frequency_errs_in_its_two_cells_alone():
    """It answers 1 where the image's part of the basis image of cell (19, 21) is above 0."""
    image, first = basis(19, 21, 32, 32)
    wave, n = torch.from_numpy(image), 64
    labels = torch.arange(n) % 2
    grey = 0.5 + 0.5 * (2 * labels.double() - 1).view(n, 1, 1, 1) * wave  # its part is 3 x 0.5, the noise 4 a channel
    found = analysis.heat_map(
        lambda x: (x * torch.tensor(STD).view(3, 1, 1) * wave).sum((1, 2, 3)) > 0,
        grey.expand(n, 3, 32, 32),
        labels,
        **NORMAL,
        seed=5,
    )
    error = np.array(found["error"])
    assert np.argwhere(error > 0).tolist() == [[13, 11], [19, 21]]
    signs = np.array([[sign(5, first, 32, 32, i, c) for c in range(3)] for i in range(n)])
    score = 1.5 * (2 * labels.numpy() - 1) + 4 * signs.sum(axis=1)
    expected = np.mean((score > 0) != labels.numpy())
    assert 0.3 < expected < 0.7
    assert error[19, 21] == error[13, 11] == expected
    assert found["clean_error"] == 0


def test_signs_are_fair_and_differ_between_cells_images_and_channels():
    seen = []
    x = torch.full((100, 3, 8, 8), 0.5)
    analysis.heat_map(lambda b: seen.append(b) or torch.zeros(len(b), 2), x, torch.zeros(100), **NORMAL, eps=1,
                      images_per_bin=100, batch_size=100)  # fmt: skip
    corner = torch.stack(seen)[1:, :, :, 0, 0] > (0.5 - torch.tensor(MEAN)) / torch.tensor(STD)
    share = corner.double()
    assert abs(float(share.mean()) - 0.5) < 4 * 0.5 / math.sqrt(share.numel())
    for axis in range(3):
        assert not bool((corner == corner.select(axis, 0).unsqueeze(axis)).all())
    a, b = share[:-1] - 0.5, share[1:] - 0.5
    assert abs(float((a * b).mean()) / 0.25) < 4 / math.sqrt(a.numel())


def test_a_layer_that_is_silent_on_an_image_does_not_count_it():
    relu = nn.Sequential(nn.ReLU(), nn.Flatten()).double()
    x = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    x[1] = 0.9
    common = {"mean": (0.5,) * 3, "std": (0.1,) * 3, "eps": 0.1, "layers": ["0"]}
    both = analysis.heat_map(relu, x, torch.zeros(2), model=relu, **common)
    black = analysis.heat_map(relu, x[:1], torch.zeros(1), model=relu, **common)
    assert black["layers"]["0"] == [[None] * 4] * 4
    # 0.9 +- 0.1 B is never clipped: the layer's change over its size is 0.1 over 0.4 sqrt(16) in every cell
    np.testing.assert_allclose(both["layers"]["0"], 0.1 / (0.4 * 4))
    assert analysis.heat_map_summary(black)["layers"]["0"]["low"] == {"mean": None, "cells": 1}


def test_hooks_are_gone_afterwards_even_after_a_failure():
    net, x = network("convolutions", 8, 8), pixels(4, 8, 8)
    analysis.heat_map(net, x, torch.zeros(4), **NORMAL, eps=1, model=net, layers=["0"])

    def fail(batch):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        analysis.heat_map(fail, x, torch.zeros(4), **NORMAL, eps=1, model=net, layers=["0"])
    assert not any(module._forward_hooks for module in net.modules())


def test_the_summary_is_the_plain_mean_over_rings_and_bands():
    rng = np.random.default_rng(0)
    for shape, side in (((32, 32), 32), ((9, 9), 32), ((7, 12), 7)):
        cells = rng.random(shape)
        found = analysis.heat_map_summary(
            {
                "image": [side, side],
                "shape": list(shape),
                "error": cells.tolist(),
                "layers": {"a": (2 * cells).tolist()},
            }
        )
        rings, bands = {}, {"low": [], "middle": [], "high": []}
        for row in range(shape[0]):
            for column in range(shape[1]):
                rho = math.hypot(row - shape[0] // 2, column - shape[1] // 2)
                rings.setdefault(math.floor(rho + 0.5), []).append(cells[row, column])
                bands["low" if rho <= side / 8 else "high" if rho > side / 4 else "middle"].append(cells[row, column])
        assert [row["radius"] for row in found["error"]["radial"]] == sorted(rings)
        for row in found["error"]["radial"]:
            assert row["mean"] == pytest.approx(np.mean(rings[row["radius"]]))
            assert row["cells"] == len(rings[row["radius"]])
        for name, values in bands.items():
            assert found["error"][name]["cells"] == len(values)
            assert found["error"][name]["mean"] == (pytest.approx(np.mean(values)) if values else None)
            assert found["layers"]["a"][name]["mean"] == (pytest.approx(2 * np.mean(values)) if values else None)
    with pytest.raises(InputError, match="says that it has"):
        analysis.heat_map_summary({"image": [4, 4], "shape": [4, 4], "error": [[0.0]], "layers": {}})


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.act, self.unused = nn.ReLU(), nn.ReLU()
        self.pair, self.turned = Pair(), Turned()

    def forward(self, x):
        x = self.act(self.act(x)) + self.pair(x)[0]
        return self.turned(x.flatten(1)).T[:, :2]


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Turned(nn.Module):
    def forward(self, x):
        return x.T


def test_impossible_input_is_refused():
    net, x, labels = Twice().double(), pixels(5, 8, 8), torch.zeros(5)

    def refused(words, error=InputError, x=x, labels=labels, **changed):
        with pytest.raises(error, match=words):
            analysis.heat_map(net, x, labels, **{**NORMAL, "eps": 1.0, **changed})

    refused("5 images, 4 labels", labels=labels[:4])
    refused("0 images, 0 labels", x=x[:0], labels=labels[:0])
    refused("images_per_bin=0", images_per_bin=0)
    refused(r"\(N, H, W, C\) or float \(N, C, H, W\)", x=x[:, 0])
    refused("torch.int64", x=(255 * x).long())
    refused(r"must lie in \[0, 1\], got", x=2 * x)
    refused("each of 3 channels", mean=(0.5,))
    refused("each of 3 channels", std=(0.5, 0.5, 0.0))
    refused("no eps is known for images of 8 pixels", eps=None)
    for eps in (0, -1, math.nan, math.inf):
        refused("eps must be a number above 0", eps=eps)
    for size in (4, 0, -1, 9):
        refused("size must be odd and from 1 to 8", size=size)
    refused("Did you mean 'act'", UnknownNameError, model=net, layers=["atc"])
    refused("give `model`", layers=["act"])
    refused("'act' was called 2 times", model=net, layers=["act"])
    refused("'unused' was called 0 times", model=net, layers=["unused"])
    refused("'pair' gives tuple", model=net, layers=["pair"])
    refused(
        r"'turned' gives the shape \(192, 6\)", x=pixels(6, 8, 8), labels=torch.zeros(6), model=net, layers=["turned"]
    )

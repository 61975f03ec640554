"""Accuracy against radius: against plain loops over curves, radii and images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from regrow import analysis
from regrow.errors import InputError, UnknownNameError

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def images(n=2, side=32, seed=0, dtype=torch.float64, width=None):
    shape = (n, 3, side, side if width is None else width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def normalised(n, side, width=None):
    mean, std = (torch.tensor(given, dtype=torch.float64).view(3, 1, 1) for given in (MEAN, STD))
    return (images(n, side, width=width).sigmoid() - mean) / std


def network(kind, side, width):
    torch.manual_seed(1)
    if kind == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * side * width, 5)).double().eval()
    layers = (nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.Flatten())
    with torch.no_grad():
        n = nn.Sequential(*layers)(torch.zeros(1, 3, side, width)).shape[1]
    return nn.Sequential(*layers, nn.Linear(n, 5)).double().eval()


def in_pixels(x, keep, radius, convention, edge, clip):
    """Undo the normalisation where pixels are to be clipped; filter the whole complex plane; normalise again."""
    mean, std = (np.reshape(given, (3, 1, 1)) for given in (MEAN, STD))
    plane = np.fft.fft2(x * std + mean if clip else x)
    v, u = (np.fft.fftfreq(side) * side for side in x.shape[:-3:-1])
    rho = np.sqrt(u[:, None] ** 2 + v**2)
    if edge == "hard":
        disc = np.where(rho < radius, 1.0, 0.0)
    else:
        disc = 0.5 - 0.5 * np.sin(np.pi * np.clip((rho - radius) / min(edge, 2 * radius), -0.5, 0.5))
    factor = disc if keep == "low" else 1 - disc
    if convention == "keep_dc":
        factor[0, 0] = 1
    filtered = np.fft.ifft2(plane * factor).real
    return (filtered.clip(0, 1) - mean) / std if clip else filtered


@pytest.mark.parametrize("kind", ["linear", "convolutions"])
@pytest.mark.parametrize("size", [(32, 32), (9, 14)])
def test_all_curves_are_those_of_the_plain_loop(kind, size):
    net, x, labels = network(kind, *size), normalised(24, *size), np.arange(24) % 5
    seen = []

    def predict(batch):
        seen.append(batch.numpy())
        return net(batch)

    switches = {"conventions": ("follow", "keep_dc"), "edges": ("hard", 1.0, 2.0), "clips": (False, True)}
    found = analysis.radius_curves(predict, x, labels, **switches, mean=MEAN, std=STD, radii_low=(1, 2, 4))
    assert found["n"] == 24
    assert found["clean_accuracy"] == np.mean(net(x).argmax(1).numpy() == labels)
    rows = [(c["convention"], c["edge"], c["clip"]) for c in found["curves"]]
    assert rows == [(c, e, clip) for c in ("follow", "keep_dc") for e in ("hard", 1.0, 2.0) for clip in (False, True)]
    expected = [x.numpy()]
    for curve in found["curves"]:
        for keep, radii in (("low", (1, 2, 4)), ("high", analysis.registered_radii(size[0])[1])):
            assert [row["radius"] for row in curve[keep]] == list(radii)
            for row in curve[keep]:
                filtered = np.stack(
                    [
                        in_pixels(one, keep, row["radius"], curve["convention"], curve["edge"], curve["clip"])
                        for one in x.numpy()
                    ]
                )
                right = [
                    int(net(torch.from_numpy(one[None])).argmax()) == label
                    for one, label in zip(filtered, labels, strict=True)
                ]
                assert row["accuracy"] == pytest.approx(np.mean(right), abs=1e-6)
                expected.append(filtered)
    distance = np.array([[np.abs(one - other).max() for other in seen] for one in expected])
    assert distance.min(axis=1).max() < 1e-6  # every image of the definition was seen
    assert distance.min(axis=0).max() < 1e-6  # and no others


def test_each_distinct_filter_is_seen_once_and_each_batch_is_transformed_once(monkeypatch):
    transforms, passes = [], []
    real = torch.fft.rfft2
    monkeypatch.setattr(torch.fft, "rfft2", lambda x: transforms.append(len(x)) or real(x))
    x = images(10, dtype=torch.float32)
    analysis.radius_curves(lambda b: passes.append(len(b)) or torch.zeros(len(b), 2), x, torch.zeros(10), batch_size=6)
    assert transforms == [6, 4]
    # whole; 5 low for both conventions; 5 high, and 4 high that keep the zero frequency: with it, rho >= 1 is all
    assert passes == 15 * [6] + 15 * [4]


def test_one_curve_is_the_one_of_radius_accuracy_whatever_the_batches():
    net, x, labels = network("linear", 32, 32), normalised(23, 32), torch.arange(23) % 5
    found = analysis.radius_curves(net, x.split(5), labels)
    for curve in found["curves"]:
        alone = analysis.radius_accuracy(net, x, labels, convention=curve["convention"])
        shared = {"convention": curve["convention"], "low": curve["low"], "high": curve["high"], "n": found["n"]}
        assert alone == shared
        assert (curve["edge"], curve["clip"]) == ("hard", False)


def test_a_double_spectrum_feeds_the_network_its_own_precision():
    x, seen = 100 + images(4, dtype=torch.float32), []

    def predict(batch):
        seen.append(batch)
        return torch.zeros(len(batch), 2)

    analysis.radius_curves(predict, x, torch.zeros(4), conventions=["follow"], float64=True, radii_low=[])
    assert {batch.dtype for batch in seen} == {torch.float32}
    expected = [analysis.attenuate(x.double(), r, "high").float() for r in analysis.registered_radii(32)[1]]
    for batch, exact in zip(seen[1:], expected, strict=True):
        torch.testing.assert_close(batch, exact, atol=0, rtol=0)


def test_clips_are_filtered_frame_by_frame():
    x = images(6, dtype=torch.float64).view(2, 3, 3, 32, 32) / 4
    seen = []
    analysis.radius_curves(
        lambda b: seen.append(b) or torch.zeros(len(b), 2),
        x,
        torch.zeros(2),
        conventions=["keep_dc"],
        clips=[True],
        mean=MEAN,
        std=STD,
        radii_low=[4],
        radii_high=[],
    )
    for frame in range(3):
        alone = analysis.attenuate(x[:, :, frame], 4, convention="keep_dc", clip=True, mean=MEAN, std=STD)
        torch.testing.assert_close(seen[1][:, :, frame], alone, atol=1e-14, rtol=0)


def test_the_summary_is_the_mean_loss_over_the_registered_radii():
    net, x, labels = network("convolutions", 32, 32), normalised(40, 32), torch.arange(40) % 5
    found = analysis.radius_curves(net, x, labels, radii_low=(2, 4, 6, 8, 10, 12), radii_high=(0, 1, 2, 3, 4, 6))
    for curve in found["curves"]:
        loss = analysis.radius_summary(curve, found["clean_accuracy"], analysis.registered_radii(32))
        low = [row["accuracy"] for row in curve["low"][1:]]
        high = [row["accuracy"] for row in curve["high"][1:]]
        assert loss["high_removed"] == pytest.approx(sum(low) / 5 - found["clean_accuracy"])
        assert loss["low_removed"] == pytest.approx(sum(high) / 5 - found["clean_accuracy"])
    with pytest.raises(InputError, match=r"missing: \[14.0\]"):
        analysis.radius_summary(curve, 0.5, ((4, 14), (1,)))
    with pytest.raises(InputError, match="'high', missing: every one"):
        analysis.radius_summary(curve, 0.5, ((4,), ()))


def test_registered_radii_scale_with_the_image():
    assert analysis.registered_radii(32) == ((4, 6, 8, 10, 12), (1, 2, 3, 4, 6))
    assert analysis.registered_radii(224) == ((28, 42, 56, 70, 84), (7, 14, 21, 28, 42))


def frequency_reader(threshold: float):
    """Class 1 where the image carries a column wave of 6 cycles, class 0 elsewhere."""
    wave = torch.cos(2 * math.pi * 6 * torch.arange(32, dtype=torch.float32) / 32)

    def predict(x: torch.Tensor) -> torch.Tensor:
        score = (x * wave).mean(dim=(1, 2, 3))
        return torch.stack([threshold - score, score - threshold], dim=1)

    return predict, wave


def test_a_network_that_reads_one_frequency_fails_exactly_where_it_is_gone():
    predict, wave = frequency_reader(0.2)
    labels = torch.tensor([0, 1] * 10)
    x = 0.01 * images(20, dtype=torch.float32) + labels.view(-1, 1, 1, 1) * wave
    found = analysis.radius_accuracy(predict, x, labels, radii_low=(4, 6, 8), radii_high=(0, 6, 7))
    assert found["convention"] == "follow"
    assert found["n"] == 20
    assert found["low"] == [
        {"radius": 4.0, "accuracy": 0.5},
        {"radius": 6.0, "accuracy": 0.5},
        {"radius": 8.0, "accuracy": 1.0},
    ]
    assert found["high"] == [
        {"radius": 0.0, "accuracy": 1.0},
        {"radius": 6.0, "accuracy": 1.0},
        {"radius": 7.0, "accuracy": 0.5},
    ]


@pytest.mark.parametrize("convention", ["follow", "keep_dc"])
def test_the_curve_is_the_plain_loop_whatever_the_batches(convention):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 5)).eval()
    x, labels = images(23, dtype=torch.float32) + 0.3, np.arange(23) % 5
    whole = analysis.radius_accuracy(net, x, labels, convention=convention)
    assert analysis.radius_accuracy(net, x, labels, convention=convention, batch_size=7) == whole
    assert analysis.radius_accuracy(net, iter(x.split(4)), labels, convention=convention) == whole
    for keep, radii in zip(("low", "high"), analysis.registered_radii(32), strict=True):
        assert [row["radius"] for row in whole[keep]] == list(radii)
        for row in whole[keep]:
            with torch.no_grad():
                answer = net(analysis.attenuate(x, row["radius"], keep, convention=convention)).argmax(1).numpy()
            assert row["accuracy"] == np.mean(answer == labels)


def test_predict_may_give_classes_and_each_batch_is_transformed_once(monkeypatch):
    calls = []
    real = torch.fft.rfft2
    monkeypatch.setattr(torch.fft, "rfft2", lambda x: calls.append(len(x)) or real(x))
    found = analysis.radius_accuracy(
        lambda x: torch.zeros(len(x), dtype=torch.int64), images(10), torch.zeros(10), batch_size=4
    )
    assert calls == [4, 4, 2]
    assert {row["accuracy"] for row in found["low"] + found["high"]} == {1.0}


def test_one_answer_for_several_views_is_counted_once():
    x, labels = images(12), torch.tensor([0, 1, 1, 0, 1, 0])

    def by_pairs(views):
        return (views[0::2].mean((1, 2, 3)) > views[1::2].mean((1, 2, 3))).long()

    found = analysis.radius_accuracy(by_pairs, x, labels, radii_low=[], radii_high=[0], batch_size=4)
    assert found["n"] == 6
    assert found["high"][0]["accuracy"] == np.mean((by_pairs(x) == labels).numpy())
    with pytest.raises(InputError, match="7 labels and 6"):
        analysis.radius_accuracy(by_pairs, x, torch.zeros(7), batch_size=4)


def test_impossible_input_is_refused():
    x = images(4)
    with pytest.raises(UnknownNameError, match="'keep_dc'"):
        analysis.radius_accuracy(lambda x: x, x, torch.zeros(4), convention="keepdc")
    with pytest.raises(InputError, match="an edge must be"):
        analysis.radius_curves(lambda x: x, x, torch.zeros(4), edges=["soft"])
    with pytest.raises(InputError, match="a mean and a standard deviation"):
        analysis.radius_curves(lambda x: torch.zeros(len(x)), x, torch.zeros(4), clips=[True])
    for labels, words in ((3, "3 labels and 4 images"), (5, "5 labels and 4 images")):
        with pytest.raises(InputError, match=words):
            analysis.radius_accuracy(lambda x: torch.zeros(len(x)), x, torch.zeros(labels))
    for nothing in ([], x[:0]):
        with pytest.raises(InputError, match="0 labels and 0 images"):
            analysis.radius_accuracy(lambda x: x, nothing, torch.zeros(0))

"""Networks for texts and sounds: what they compute, what of them is made sparse, and what is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from regrow import models, sparsity
from regrow.errors import InputError
from regrow.models import byte_transformer, spectrogram_cnn
from regrow.sparsity import cost
from regrow.sparsity.layers import choose

LENGTH = {"byte_transformer": 96, "spectrogram_cnn": 8000}


def build(name: str, n_classes: int = 3, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return models.build(name, n_classes, image_size=LENGTH[name], width=16, options=options)


def inputs(name: str, n: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if name == "byte_transformer":
        texts = torch.randint(32, 127, (n, LENGTH[name]), generator=generator)
        texts[:, 60:] = 0
        return texts.float()
    return torch.randn(n, LENGTH[name], generator=generator) / 10


@pytest.mark.parametrize("name", LENGTH)
def test_logits_have_a_row_for_each_example_and_all_parameters_get_gradients(name: str) -> None:
    network = build(name)
    out = network(inputs(name))
    assert out.shape == (4, 3)
    out.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())
    assert models.modality(name) == ("text" if name == "byte_transformer" else "audio")


def test_embedding_positions_and_norms_of_the_transformer_stay_dense() -> None:
    network = build("byte_transformer", depth=2)
    chosen = {one.name for one in choose(network)}
    expected = {"windows.weight", "head.weight"}
    parts = ("attention.query", "attention.key", "attention.value", "attention.out", "up", "down")
    expected |= {f"blocks.{block}.{part}.weight" for block in range(2) for part in parts}
    assert chosen == expected


def test_what_follows_the_end_of_a_text_changes_nothing() -> None:
    """The same text in a longer row, whose positions beyond the end are never looked at."""
    short = build("byte_transformer").eval()
    long = byte_transformer.ByteTransformer(3, 160, 16, 2, 4, 4).eval()
    weights = copy.deepcopy(short.state_dict())
    weights["position"] = torch.cat([weights["position"], torch.randn(160 // 4 - 96 // 4, 16)])
    long.load_state_dict(weights)
    texts = inputs("byte_transformer")
    with torch.no_grad():
        torch.testing.assert_close(long(torch.nn.functional.pad(texts, (0, 64))), short(texts), rtol=1e-5, atol=1e-6)


def test_attention_is_that_of_torch_with_the_same_weights() -> None:
    torch.manual_seed(2)
    ours, theirs = byte_transformer.Attention(16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, there = torch.randn(3, 10, 16), torch.arange(10) < torch.tensor([[10], [4], [1]])
    expected, _ = theirs(x, x, x, key_padding_mask=~there)
    torch.testing.assert_close(ours(x, there), expected, rtol=1e-5, atol=1e-6)


def test_an_empty_text_has_an_answer_too() -> None:
    network = build("byte_transformer").eval()
    assert bool(network(torch.zeros(2, 96)).isfinite().all())


@pytest.mark.parametrize("width", [5, 16, 23])
def test_any_width_will_do_and_a_wider_one_has_more_weights(width: int) -> None:
    def size(w: int) -> int:
        return sum(p.numel() for p in byte_transformer.ByteTransformer(3, 96, w, 2, 4, 4).parameters())

    assert byte_transformer.ByteTransformer(3, 96, width, 2, 4, 4)(inputs("byte_transformer")).shape == (4, 3)
    assert size(width) < size(width + 1)


@pytest.mark.parametrize("options", [{"depth": 0}, {"heads": 1.5}, {"patch": True}])
def test_impossible_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"option {next(iter(options))}"):
        build("byte_transformer", **options)


def test_the_spectrogram_of_a_tone_is_brightest_in_its_band_and_rises_with_its_power() -> None:
    layer = spectrogram_cnn.LogMel()
    time = torch.arange(8000) / 8000
    mel = 2595 * np.log10(1 + np.array([300.0, 1000.0, 2500.0]) / 700)
    bands = np.rint(mel / (2595 * np.log10(1 + 4000 / 700)) * 41).astype(int) - 1
    for frequency, band in zip((300.0, 1000.0, 2500.0), bands, strict=True):
        seen = layer(torch.sin(2 * torch.pi * frequency * time)[None])
        assert seen.shape == (1, 1, 40, 61)
        assert abs(int(seen.mean(3).argmax()) - band) <= 1
        louder = layer(2 * torch.sin(2 * torch.pi * frequency * time)[None])
        assert float((louder - seen).max()) == pytest.approx(np.log(4), abs=1e-3)


def test_the_spectrogram_is_that_of_torch_s_stft() -> None:
    layer, sounds = spectrogram_cnn.LogMel(), inputs("spectrogram_cnn")
    power = torch.stft(sounds, 256, 128, window=torch.hann_window(256), center=False, return_complex=True).abs() ** 2
    expected = (torch.from_numpy(spectrogram_cnn.mel_bands()) @ power + 1e-8).log()[:, None]
    torch.testing.assert_close(layer(sounds), expected, rtol=1e-4, atol=1e-4)


def test_triangles_of_the_mel_scale_cover_all_frequencies_and_sum_to_one_between_the_first_and_last() -> None:
    bands = spectrogram_cnn.mel_bands()
    assert (bands.max(1) > 0.4).all()
    mel = 2595 * np.log10(1 + np.fft.rfftfreq(256, 1 / 8000) / 700)
    step = 2595 * np.log10(1 + 4000 / 700) / 41
    inside = (mel >= step * 20) & (mel <= step * 40)  # where triangles are wider than a bin
    np.testing.assert_allclose(bands.sum(0)[inside], 1, atol=1e-5)


def test_the_spectrogram_holds_no_weights() -> None:
    network = build("spectrogram_cnn", 5)
    assert not any(name.startswith("spectrogram") for name in network.state_dict())
    layers = [one.name for one in choose(network)]
    assert layers == [*(f"blocks.{k}.0.weight" for k in range(6)), "head.weight"]


@pytest.mark.parametrize("name", LENGTH)
def test_products_are_counted_and_half_as_many_at_half_the_density(name: str) -> None:
    network = build(name)
    names = [one.name for one in choose(network)]
    counted = cost.flops(network, (LENGTH[name],), dict.fromkeys(names, 0.5))
    assert {row["name"] for row in counted["layers"]} >= set(names)
    of_weights = sum(row["dense"] for row in counted["layers"] if row["name"] in names)
    assert counted["dense"] - counted["sparse"] == pytest.approx(of_weights / 2)
    if name == "byte_transformer":
        places, width = 24, 16
        assert {row["name"]: row["dense"] for row in counted["layers"]}[
            "blocks.0.up.weight"
        ] == 2 * places * 4 * width**2


@pytest.mark.parametrize("name", LENGTH)
def test_it_is_trained_sparsely_by_the_engine_as_it_is(name: str) -> None:
    network = build(name)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    sparsifier = sparsity.attach(network, optimizer, sparsity.RigL(0.5), total_steps=12)
    x, y = inputs(name), torch.tensor([0, 1, 2, 0])
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(network(x), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert sparsifier.density == pytest.approx(0.5, abs=0.01)

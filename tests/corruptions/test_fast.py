"""Fast mode: the batched torch forms against exact mode on the same random numbers."""

import copy

import numpy as np
import pytest
import torch

from regrow.corruptions import corrupt, corrupt_set, fast, get, names
from regrow.corruptions.draws import CounterStream
from regrow.corruptions.fast.stream import DeviceStream

NAMES = [name for name in names(None) if fast.find(name, "cuda") is not None]
SAME_BYTES = {"jpeg_compression", "pixelate", "impulse_noise"}
LEVELS = {"glass_blur": 2}  # grey levels; one for all others
SIDES = {"cifar": 32, "tiny": 64, "imagenet": 224}


def parts_of(draws: object) -> tuple[object, ...]:
    return () if draws is None else draws if isinstance(draws, tuple) else (draws,)


def images_of(pictures: np.ndarray) -> np.ndarray:
    """Natural, flat, black-and-white and black ones, and plain noise."""
    side, stream = pictures.shape[1], np.random.RandomState(1)
    flat = np.full((1, side, side, 3), (200, 7, 131), np.uint8)
    sharp = (stream.randint(0, 2, (1, side, side, 3)) * 255).astype(np.uint8)
    noise = stream.randint(0, 256, (1, side, side, 3)).astype(np.uint8)
    return np.concatenate([pictures, flat, sharp, np.zeros_like(flat), noise])


def test_every_published_corruption_has_a_form_for_accelerators():
    assert set(names()) <= set(NAMES)


CELLS = [
    pytest.param(scale, name, s, marks=pytest.mark.slow if scale == "imagenet" and s != 3 else ())
    for scale in SIDES
    for name in NAMES
    if scale in get(name).settings
    for s in range(1, 6)
]


@pytest.mark.parametrize(("scale", "name", "severity"), CELLS)
def test_forms_stay_within_their_levels_of_exact(pictures, stand_in_frost, scale, name, severity):
    images, record = images_of(pictures(SIDES[scale])), get(name)
    params = record.settings[scale][severity - 1]
    if record.prepare is not None:
        params, _ = record.prepare(params, stand_in_frost, images.shape[1])
    draws = None
    if record.draw is not None:
        draws = record.draw(CounterStream(0, name, severity, range(len(images))), images.shape[1:], params)
    exact = record.apply(images, draws, params).astype(int)
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    numbers = fast._tensors(copy.deepcopy(draws))
    made = fast.find(name, "cuda")(planes, numbers, params)
    assert (made.shape, made.dtype) == (planes.shape, torch.uint8)
    np.testing.assert_array_equal(planes.permute(0, 2, 3, 1), images)  # it writes to no input
    for before, after in zip(parts_of(draws), parts_of(numbers), strict=True):
        np.testing.assert_array_equal(after, before)
    away = np.abs(made.permute(0, 2, 3, 1).numpy() - exact)
    assert away.max() <= (0 if name in SAME_BYTES else LEVELS.get(name, 1))
    assert (away > 1).mean() < 1e-3


@pytest.mark.parametrize("name", names(None))
def test_on_a_processor_fast_mode_is_a_form_or_exact_mode(name):
    images = np.random.RandomState(0).randint(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    quick, exact = (corrupt(images, name, 3, seed=4, mode=mode).astype(int) for mode in ("fast", "exact"))
    assert np.abs(quick - exact).max() <= LEVELS.get(name, 1)
    np.testing.assert_array_equal(corrupt_set(images, name, 3, seed=4, mode="fast"), quick)


def test_the_streams_of_a_device_have_the_words_of_the_processors():
    ours = CounterStream(3, "fog", 2, [0, 5, 2**32 - 1])
    other = DeviceStream(3, "fog", 2, [0, 5, 2**32 - 1], torch.device("cpu"))
    for count in (3, 6, 1, 8):
        np.testing.assert_array_equal(other.words(count).numpy(), ours.words(count).view(np.int64))
    np.testing.assert_array_equal(other.uniform((2, 3)).numpy(), ours.uniform((2, 3)))
    np.testing.assert_array_equal(other.integers(-3, 4, (5,), "int8").numpy(), ours.integers(-3, 4, (5,), "int8"))
    np.testing.assert_array_equal(other.permutation(9).numpy(), ours.permutation(9))
    assert other.n == ours.n == 3
    for count in (40, 3):  # many streams are keyed by vector code
        index = range(7, 7 + count)
        many = DeviceStream(2**70, "snow", 5, index, torch.device("cpu"))
        np.testing.assert_array_equal(
            many.words(5).numpy(), CounterStream(2**70, "snow", 5, index).words(5).view(np.int64)
        )
    np.testing.assert_allclose(other.normal((50,)).numpy(), ours.normal((50,)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [n for n in NAMES if "cifar" in get(n).settings])
def test_batches_on_a_device_need_no_draws_of_the_processor(monkeypatch, stand_in_frost, name):
    """The path of an accelerator, run on the processor: draws by the device's stream, in pieces."""
    monkeypatch.setattr(fast, "DEVICE_VALUES", 2 * 3 * 32 * 32)
    images = np.random.RandomState(0).randint(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    planes = torch.from_numpy(images).permute(0, 3, 1, 2)
    record, index = get(name), [9, 0, 3, 4, 5]
    params = record.settings["cifar"][2]
    if record.prepare is not None:
        params, _ = record.prepare(params, stand_in_frost, 32)
    made = fast.on_device(record, 3, fast.find(name, "cuda"), planes, (7, index), params).permute(0, 2, 3, 1).numpy()
    exact = corrupt(images, name, 3, seed=7, index=index, mode="exact", frost=stand_in_frost)
    assert np.abs(made.astype(int) - exact).max() <= LEVELS.get(name, 1)

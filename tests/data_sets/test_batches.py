"""The tensor data path against a slow obvious reference, image by image; and that any step can be made alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow import seeds
from regrow.data import spec
from regrow.data.batches import Batches, eval_batches, normalise
from regrow.errors import InputError

SPEC = replace(spec("cifar10"), mean=(0.1, 0.5, 0.7), std=(0.2, 0.3, 0.25))


def some_images(n: int, height: int = 8, width: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8), rng.integers(0, 10, n)


def slow_normalise(image: np.ndarray) -> np.ndarray:
    """One (H, W, 3) image to (3, H, W), value by value in float32."""
    out = np.empty((3, *image.shape[:2]), np.float32)
    for c in range(3):
        scale, shift = np.float32(1 / (255 * SPEC.std[c])), np.float32(-SPEC.mean[c] / SPEC.std[c])
        for y in range(image.shape[0]):
            for x in range(image.shape[1]):
                out[c, y, x] = np.float32(np.float32(image[y, x, c]) * scale) + shift
    return out


def slow_image(image: np.ndarray, word: int, flip: bool, crop: int, padding: str) -> np.ndarray:
    """Pad, cut a window, mirror, normalise: one image at a time."""
    height, width, _ = image.shape
    top, left = (word >> 1 & 0x7FFFFFFF) % (2 * crop + 1), (word >> 32) % (2 * crop + 1)
    window = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            row, column = y + top - crop, x + left - crop
            if padding == "reflect":
                row = -row if row < 0 else 2 * (height - 1) - row if row >= height else row
                column = -column if column < 0 else 2 * (width - 1) - column if column >= width else column
            if 0 <= row < height and 0 <= column < width:
                window[y, x] = image[row, column]
    return slow_normalise(window[:, ::-1] if flip and word & 1 else window)


@settings(max_examples=25, deadline=None)
@given(
    flip=st.booleans(),
    crop=st.integers(0, 4),
    padding=st.sampled_from(["reflect", "zero"]),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**31),
    step=st.integers(0, 50),
)
def test_a_batch_equals_the_slow_reference_to_the_bit(
    flip: bool, crop: int, padding: str, channels_last: bool, seed: int, step: int
) -> None:
    images, labels = some_images(11)
    batches = Batches(
        images, labels, 4, SPEC, flip=flip, crop=crop, padding=padding, seed=seed, channels_last=channels_last
    )  # type: ignore[arg-type]
    x, y = batches.batch(step)
    epoch, place = divmod(step, 11 // 4)
    chosen = seeds.permutation(seed, "data", 0, epoch, n=11)[place * 4 : place * 4 + 4]
    words = [int(word) for word in seeds.raw(seed, "data", 1, step, n=4)]
    expected = np.stack([slow_image(images[i], w, flip, crop, padding) for i, w in zip(chosen, words, strict=True)])
    assert x.dtype == torch.float32
    assert np.array_equal(x.numpy(), expected)
    assert np.array_equal(y.numpy(), labels[chosen])
    assert x.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_every_flip_and_offset_occurs() -> None:
    images = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1).repeat(3, 3)
    batches = Batches(images.repeat(8, 0), np.zeros(8, np.int64), 8, SPEC, flip=True, crop=2)
    seen = {image.numpy().tobytes() for step in range(120) for image in batches.batch(step)[0]}
    assert len(seen) == 2 * 5 * 5


@given(n=st.integers(1, 40), batch=st.integers(1, 40), seed=st.integers(0, 99), epoch=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_an_epoch_shows_no_image_twice_and_orders_differ(n: int, batch: int, seed: int, epoch: int) -> None:
    if batch > n:
        return
    images, labels = some_images(n, 2, 2)
    batches = Batches(images, labels, batch, SPEC, seed=seed)
    assert batches.steps_per_epoch == n // batch
    first = epoch * batches.steps_per_epoch
    shown = np.concatenate([batches.indices(first + step) for step in range(batches.steps_per_epoch)])
    assert len(set(shown.tolist())) == len(shown) == n // batch * batch
    if n > 20:
        assert not np.array_equal(batches.indices(first), batches.indices(first + batches.steps_per_epoch))


def test_any_step_can_be_made_alone_and_twice() -> None:
    images, labels = some_images(37)
    walked = Batches(images, labels, 5, SPEC, flip=True, crop=2, seed=3)
    steps = [walked.batch(step) for step in range(20)]
    for step in (19, 0, 13, 13):
        x, y = Batches(images, labels, 5, SPEC, flip=True, crop=2, seed=3).batch(step)
        assert torch.equal(x, steps[step][0])
        assert torch.equal(y, steps[step][1])
        assert torch.equal(walked.batch(step)[0], x)


def test_batches_leave_the_images_and_the_global_random_state_alone() -> None:
    images, labels = some_images(9)
    kept, state = images.copy(), torch.random.get_rng_state()
    batches = Batches(images, labels, 3, SPEC, flip=True, crop=3)
    x, _ = batches.batch(0)
    again = x.clone()
    x.zero_()
    assert torch.equal(batches.batch(0)[0], again)
    assert np.array_equal(images, kept)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_padding_is_the_data_sets_own_unless_named() -> None:
    images, labels = some_images(6)
    for name in ("cifar10", "cifar100"):
        own = Batches(images, labels, 6, spec(name), crop=3).batch(1)[0]
        named = Batches(images, labels, 6, spec(name), crop=3, padding=spec(name).padding).batch(1)[0]
        other = "zero" if spec(name).padding == "reflect" else "reflect"
        assert torch.equal(own, named)
        assert not torch.equal(own, Batches(images, labels, 6, spec(name), crop=3, padding=other).batch(1)[0])  # type: ignore[arg-type]


def test_evaluation_shows_every_image_once_in_order() -> None:
    images, _ = some_images(10)
    images.flags.writeable = False  # as a memory map is
    for channels_last in (False, True):
        parts = list(eval_batches(images, SPEC, batch=4, channels_last=channels_last))
        assert [len(part) for part in parts] == [4, 4, 2]
        assert np.array_equal(torch.cat(parts).numpy(), np.stack([slow_normalise(image) for image in images]))
        assert torch.equal(torch.cat(parts), normalise(torch.tensor(images), SPEC, channels_last=channels_last))


def test_what_cannot_be_a_batch_is_refused() -> None:
    images, labels = some_images(10)
    with pytest.raises(InputError, match="batch"):
        Batches(images, labels, 11, SPEC)
    with pytest.raises(InputError, match="batch"):
        Batches(images, labels, 0, SPEC)
    with pytest.raises(InputError, match="crop"):
        Batches(images, labels, 5, SPEC, crop=6)

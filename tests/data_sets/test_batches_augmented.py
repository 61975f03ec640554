"""Batches with augmentation: the same steps as without, plus what the augmentation does to each of their images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from regrow import seeds
from regrow.data import spec
from regrow.data.augmentation import Augmentation, GaussianNoise, augment, words
from regrow.data.augmentation.tensors import Mixing, erase, mix
from regrow.data.batches import Batches, normalise
from regrow.errors import InputError

SPEC = replace(spec("cifar10"), mean=(0.1, 0.5, 0.7), std=(0.2, 0.3, 0.25))
NOISE = Augmentation(noise=GaussianNoise(0.1))


@pytest.fixture
def held() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (19, 8, 6, 3), dtype=np.uint8), rng.integers(0, 10, 19)


def test_images_are_augmented_after_flip_and_crop_each_by_its_own_word(held: tuple[np.ndarray, np.ndarray]) -> None:
    plain = Batches(*held, 4, SPEC, flip=True, crop=2, seed=3)
    x, y = Batches(*held, 4, SPEC, flip=True, crop=2, seed=3, augmentation=NOISE).batch(6)
    before, labels = plain.batch(6)
    assert torch.equal(y, labels)
    std, mean = (torch.tensor(part)[:, None, None] for part in (SPEC.std, SPEC.mean))
    images = ((before * std + mean) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert torch.equal(x, normalise(torch.from_numpy(augment(images, words(3, 6, 4), NOISE)), SPEC))


def test_views_of_a_consistency_loss_share_the_crop_and_begin_with_the_clean_image(
    held: tuple[np.ndarray, np.ndarray],
) -> None:
    three = replace(NOISE, views=3, clean_first=True)
    plain, _ = Batches(*held, 4, SPEC, flip=True, crop=2, seed=1).batch(5)
    batches = Batches(*held, 4, SPEC, flip=True, crop=2, seed=1, augmentation=three)
    x, y = batches.batch(5)
    assert x.shape == (12, 3, 8, 6)
    assert y.shape == (4,)
    assert torch.equal(x[:4], plain)
    tight = Batches(*held, 4, SPEC, flip=True, crop=2, seed=1, augmentation=replace(three, noise=GaussianNoise(1e-6)))
    assert torch.equal(
        tight.batch(5)[0], plain.repeat(3, 1, 1, 1)
    )  # noise far below one level: only the window is left
    assert not torch.equal(x[4:8], x[8:])


def test_views_of_a_contrastive_loss_have_windows_of_their_own(held: tuple[np.ndarray, np.ndarray]) -> None:
    plain = Batches(*held, 4, SPEC, flip=True, crop=2, seed=1)
    x, _ = Batches(*held, 4, SPEC, flip=True, crop=2, seed=1, augmentation=Augmentation(views=2)).batch(2)
    assert torch.equal(x[:4], plain.batch(2)[0])
    padded = np.pad(held[0], [(0, 0), (2, 2), (2, 2), (0, 0)], mode="reflect")
    raw = [int(word) for word in seeds.raw(1, "data", 1, 2, n=8)[4:]]
    for got, i, word in zip(x[4:], plain.indices(2), raw, strict=True):
        top, left = (word >> 1 & 0x7FFFFFFF) % 5, (word >> 32) % 5
        window = padded[i, top : top + 8, left : left + 6]
        window = window[:, ::-1] if word & 1 else window
        assert torch.equal(got, normalise(torch.from_numpy(window[None].copy()), SPEC)[0])


@pytest.mark.usefixtures("libraries")
def test_clean_views_are_not_erased(held: tuple[np.ndarray, np.ndarray]) -> None:
    three = replace(NOISE, views=3, clean_first=True)
    whole, erased = (Batches(*held, 4, SPEC, augmentation=three, erasing=p).batch(0)[0] for p in (0.0, 1.0))
    changed = (whole != erased).any(3).any(2).any(1)
    assert changed.tolist() == [False] * 4 + [True] * 8


@pytest.mark.usefixtures("libraries")
def test_erasing_and_mixing_follow_normalisation(held: tuple[np.ndarray, np.ndarray]) -> None:
    plain, labels = Batches(*held, 4, SPEC, flip=True, seed=2, augmentation=NOISE).batch(7)
    mixing = Mixing(0.8, 1.0)
    x, y = Batches(*held, 4, SPEC, flip=True, seed=2, augmentation=NOISE, erasing=0.5, mixing=mixing).batch(7)
    expected, soft = mix(erase(plain, 0.5, seed=2, step=7), labels, mixing, 10, seed=2, step=7)
    assert torch.equal(x, expected)
    assert torch.equal(y, soft)
    with pytest.raises(InputError, match="batch of 5"):
        Batches(*held, 5, SPEC, mixing=mixing)


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("channels_last", [False, True])
def test_any_step_can_be_made_alone_with_everything_on(
    held: tuple[np.ndarray, np.ndarray], channels_last: bool
) -> None:
    def made() -> Batches:
        kinds = replace(NOISE, randaugment="rand-m9-mstd0.5-inc1", views=3, clean_first=True)
        options = {"erasing": 0.5, "mixing": Mixing(0.8, 1.0), "repeats": 3, "augmentation": kinds}
        return Batches(*held, 4, SPEC, flip=True, crop=1, seed=5, channels_last=channels_last, **options)

    walked = made()
    steps = [walked.batch(step) for step in range(9)]
    for step in (8, 0, 5):
        x, y = made().batch(step)
        assert torch.equal(x, steps[step][0])
        assert torch.equal(y, steps[step][1])
        assert x.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_repeats_keep_the_steps_and_show_a_share_of_the_images(held: tuple[np.ndarray, np.ndarray]) -> None:
    batches = Batches(*held, 4, SPEC, seed=1, repeats=3)
    assert batches.steps_per_epoch == 19 // 4
    for epoch in range(2):
        order = seeds.permutation(1, "data", 0, epoch, n=19)
        shown = np.concatenate([batches.indices(4 * epoch + step) for step in range(4)])
        assert shown.tolist() == [image for image in order for _ in range(3)][:16]


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_a_clip_gets_the_window_of_an_image_in_every_frame(padding: str) -> None:
    rng = np.random.default_rng(0)
    clips, labels = rng.integers(0, 256, (6, 3, 8, 6, 3), dtype=np.uint8), np.arange(6)
    options = {"flip": True, "crop": 2, "seed": 4, "padding": padding}
    x, y = Batches(clips, labels, 4, SPEC, **options).batch(1)
    assert x.shape == (4, 3, 3, 8, 6)
    for frame in range(3):
        images, same = Batches(clips[:, frame], labels, 4, SPEC, **options).batch(1)
        assert torch.equal(x[:, :, frame], images)
        assert torch.equal(y, same)


@pytest.mark.usefixtures("libraries")
def test_clips_are_noised_erased_and_mixed() -> None:
    rng = np.random.default_rng(0)
    clips, labels = rng.integers(0, 256, (6, 3, 8, 6, 3), dtype=np.uint8), np.arange(6)
    options = {"augmentation": NOISE, "erasing": 1.0, "mixing": Mixing(0.5, 0.5)}
    x, y = Batches(clips, labels, 4, SPEC, flip=True, crop=2, **options).batch(0)
    assert x.shape == (4, 3, 3, 8, 6)
    assert y.sum(1) == pytest.approx(1)

"""RandAugment and AugMix against timm's own transforms with the same seeds, and against AugMix's equation."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regrow.data.augmentation import AugMix, words
from regrow.data.augmentation.streams import stream
from regrow.data.augmentation.timm_policies import augmix, rand_augment
from regrow.errors import InputError

pytestmark = pytest.mark.usefixtures("libraries")


def seeded(word: np.uint64, kind: Any, view: int = 0) -> None:
    number = int(stream(word, kind, view).random_raw())
    random.seed(number)
    np.random.seed([number & 0xFFFFFFFF, number >> 32])


@pytest.fixture(autouse=True)
def _restored() -> Any:
    kept = random.getstate(), np.random.get_state()
    yield
    random.setstate(kept[0])
    np.random.set_state(kept[1])


@pytest.mark.parametrize("config", ["rand-m9-mstd0.5-inc1", "rand-m5-n4-p1.0", "rand-m7-tweights", "rand-m9-t3aw"])
def test_randaugment_is_timm_s_with_the_same_seeds(pictures: np.ndarray, config: str) -> None:
    from timm.data.auto_augment import rand_augment_transform

    own, fill = words(1, 0, 7), (120, 110, 100)
    made = rand_augment(pictures, own, config, fill=fill, view=2)
    transform = rand_augment_transform(config, {"img_mean": fill, "translate_const": 9})
    for image, word, ours in zip(pictures, own, made, strict=True):
        seeded(word, "randaugment", 2)
        assert np.array_equal(np.asarray(transform(Image.fromarray(image))), ours)
    assert not np.array_equal(made, pictures)


def test_posterisation_to_no_bit_is_black_whatever_pillow_says(pictures: np.ndarray) -> None:
    many = pictures.repeat(20, 0)
    made = rand_augment(many, words(0, 0, len(many)), "rand-m10-n1-p1-inc1")
    black = ~made.any((1, 2, 3))
    assert black.mean() == pytest.approx(1 / 15, abs=4 / 15 / np.sqrt(len(many) / 15))  # one of fifteen operations
    strong = rand_augment(many, words(1, 0, len(many)), "rand-m9-mstd0.5-inc1")  # reaches 10 at times
    assert strong.shape == many.shape


@pytest.mark.parametrize("config", ["augmix-m3", "rand-x3", "rand-mstdx1-q3"])
def test_what_timm_does_not_know_is_one_line(pictures: np.ndarray, config: str) -> None:
    with pytest.raises(InputError, match=r"no RandAugment in timm's notation.*rand-m9-mstd0\.5-inc1"):
        rand_augment(pictures, words(0, 0, 7), config)


def operations(settings: AugMix, names: list[str]) -> list[Callable[[Any], Any]]:
    from timm.data.auto_augment import augmix_ops

    hparams = {"img_mean": (0, 0, 0), "translate_pct": 1 / 3, "magnitude_std": float("inf")}
    hparams["interpolation"] = Image.Resampling.BILINEAR
    return augmix_ops(settings.severity, hparams, names)


@pytest.mark.parametrize(
    "settings", [AugMix(), AugMix(severity=10, width=1, depth=2, alpha=0.4), AugMix(all_ops=True)], ids=str
)
def test_augmix_is_the_paper_s_mixture_of_chains(pictures: np.ndarray, settings: AugMix) -> None:
    names = ["AutoContrast", "Equalize", "Rotate", "PosterizeIncreasing", "SolarizeIncreasing"]
    names += ["ShearX", "ShearY", "TranslateXRel", "TranslateYRel"]
    if settings.all_ops:
        names += ["ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing"]
    ops, own = operations(settings, names), words(2, 0, 7)
    made = augmix(pictures, own, settings)
    for image, word, ours in zip(pictures, own, made, strict=True):
        seeded(word, "augmix")
        weights = np.random.dirichlet([settings.alpha] * settings.width)
        m = np.random.beta(settings.alpha, settings.alpha)
        mixture = np.zeros(image.shape)
        for weight in weights:
            depth = settings.depth or np.random.randint(1, 4)
            chain = Image.fromarray(image)
            for op in np.random.choice(np.array(ops, dtype=object), depth):
                chain = op(chain)
            mixture += weight * np.asarray(chain)
        expected = (1 - m) * image + m * mixture
        gap = expected - ours
        assert gap.min() > -1  # Pillow's blend cuts towards the image's own value
        assert gap.max() < 2


def test_augmix_leaves_the_mean_colour_where_only_geometry_can_act() -> None:
    """A black image stays black: nothing is added outside it, and no operation shifts its colour."""
    black = np.zeros((20, 16, 16, 3), np.uint8)
    assert not augmix(black, words(0, 0, 20), AugMix(severity=2)).any()

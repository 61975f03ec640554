"""Erasing, Mixup and CutMix on normalised batches: timm's own with the same seeds, and what must hold of any."""

from __future__ import annotations

import importlib
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from regrow import seeds
from regrow.data.augmentation.streams import ERASING, MIXING
from regrow.data.augmentation.tensors import Mixing, erase, mix
from regrow.errors import InputError

pytestmark = pytest.mark.usefixtures("libraries")

B, K = 8, 10


def batch(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*(shape or (B, 3, 12, 16)), generator=generator), torch.arange(B)


def seeded(number: int) -> None:
    random.seed(number)
    np.random.seed([number & 0xFFFFFFFF, number >> 32])
    torch.manual_seed(number)


@pytest.fixture(autouse=True)
def _restored() -> Any:
    kept = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    yield
    random.setstate(kept[0])
    np.random.set_state(kept[1])
    torch.random.set_rng_state(kept[2])


@pytest.mark.parametrize("step", range(6))
@pytest.mark.parametrize("mixing", [Mixing(0.8), Mixing(0.0, 1.0), Mixing(0.8, 1.0, 0.7, 0.5)], ids=str)
def test_mixing_is_timm_s_and_smoothing_commutes_with_it(mixing: Mixing, step: int) -> None:
    from timm.data.mixup import Mixup

    x, y = batch()
    seeded(seeds.torch_seed(5, "data", MIXING, step))
    theirs, smoothed = Mixup(
        mixing.mixup, mixing.cutmix, None, mixing.probability, mixing.switch, label_smoothing=0.1, num_classes=K
    )(x.clone(), y)
    ours, target = mix(x.clone(), y, mixing, K, seed=5, step=step)
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(target * 0.9 + 0.1 / K, smoothed)
    logits = torch.randn(B, K)
    loss = torch.nn.functional.cross_entropy(logits, target, label_smoothing=0.1)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, smoothed))


@pytest.mark.parametrize("step", range(4))
def test_mixup_is_linear_with_the_weights_of_its_targets(step: int) -> None:
    x, y = batch()
    mixed, target = mix(x.clone(), y, Mixing(1.0), K, seed=0, step=step)
    share = target[0, 0]
    assert target.sum(1) == pytest.approx(1)
    torch.testing.assert_close(mixed, share * x + (1 - share) * x.flip(0))
    twice, _ = mix(2 * x + 1, y, Mixing(1.0), K, seed=0, step=step)
    torch.testing.assert_close(twice, 2 * mixed + 1)


@pytest.mark.parametrize("step", range(4))
def test_cutmix_targets_are_the_areas(step: int) -> None:
    y = torch.arange(B)
    x = y[:, None, None, None].float().expand(B, 3, 12, 16).clone()
    mixed, target = mix(x, y, Mixing(0.0, 1.0), K, seed=3, step=step)
    for i in range(B):
        for c in (i, B - 1 - i):
            assert (mixed[i] == c).float().mean() == pytest.approx(float(target[i, c]), abs=1e-6)


@pytest.mark.parametrize("mixing", [Mixing(1.0), Mixing(0.0, 1.0)], ids=str)
def test_views_and_frames_get_one_mixture(mixing: Mixing) -> None:
    x, y = batch()
    alone, target = mix(x.clone(), y, mixing, K, seed=2, step=0)
    three, again = mix(torch.cat([x, x + 1, 2 * x]), y, mixing, K, seed=2, step=0)
    torch.testing.assert_close(three, torch.cat([alone, alone + 1, 2 * alone]))
    assert torch.equal(again, target)
    clips, again = mix(x[:, :, None].repeat(1, 1, 4, 1, 1), y, mixing, K, seed=2, step=0)
    assert torch.equal(clips, alone[:, :, None].expand(-1, -1, 4, -1, -1))
    assert torch.equal(again, target)


def test_unmixed_batches_have_one_hot_targets() -> None:
    x, y = batch()
    for mixing in (Mixing(), Mixing(1.0, probability=0.0)):
        same, target = mix(x.clone(), y, mixing, K, seed=0, step=0)
        assert torch.equal(same, x)
        assert torch.equal(target, torch.eye(K)[:B])


@pytest.mark.parametrize("step", range(3))
def test_erasing_is_timm_s_with_the_same_seeds(step: int) -> None:
    from timm.data.random_erasing import RandomErasing

    x, _ = batch()
    seeded(seeds.torch_seed(4, "data", ERASING, step))
    theirs = RandomErasing(0.6, mode="pixel", device="cpu")(x.clone())
    assert torch.equal(erase(x.clone(), 0.6, seed=4, step=step), theirs)
    assert not torch.equal(theirs, x)


def test_erased_rectangles_spare_clean_views_and_hold_for_all_frames() -> None:
    x, _ = batch(2 * B, 3, 5, 12, 16)
    made = erase(x.clone(), 1.0, seed=0, step=0, skip=B)
    assert torch.equal(made[:B], x[:B])
    changed = made[B:] != x[B:]
    area = changed.float().mean((1, 2, 3, 4))
    assert ((area > 0.01) & (area < 0.36)).all()
    assert torch.equal(changed, changed[:, :1, :1].expand_as(changed))


def test_global_generators_stay_as_they_were_and_steps_differ() -> None:
    x, y = batch()
    seeded(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()
    made = [erase(x.clone(), 1.0, seed=0, step=step) for step in (0, 0, 1)]
    mixed = [mix(x.clone(), y, Mixing(1.0), K, seed=0, step=step)[0] for step in (0, 0, 1)]
    for first, again, other in (made, mixed):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.random.get_rng_state(), before[2])


def test_what_cannot_be_mixed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = batch()
    with pytest.raises(InputError, match="pair the images of a batch, which has 7"):
        mix(x[:7], y[:7], Mixing(1.0), K, seed=0, step=0)
    with pytest.raises(InputError, match="alphas >= 0 and shares"):
        Mixing(-1.0)

    def absent(module: str, package: str | None = None) -> object:
        raise ModuleNotFoundError("gone", name="timm")

    monkeypatch.setattr(importlib, "import_module", absent)
    for call in (lambda: mix(x, y, Mixing(1.0), K, seed=0, step=0), lambda: erase(x, 0.5, seed=0, step=0)):
        with pytest.raises(InputError, match=r"pip install 'regrow\[models\]'"):
            call()

"""Losses against closed forms, hand-computed cases and slow versions in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from torch.nn import functional as F

from regrow.training.objective import hits, jensen_shannon, parts, supervised_contrastive, training_loss
from regrow.training.settings import TrainingSettings


def recipe(**changes: Any) -> TrainingSettings:
    return TrainingSettings.model_validate({"steps": 1, "batch": 8, **changes})


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_equal_views_do_not_diverge_and_disjoint_ones_by_log_of_their_number() -> None:
    one = normal(5, 10)
    assert float(jensen_shannon(one.repeat(3, 1), 3)) == pytest.approx(0, abs=1e-6)
    certain = torch.eye(3).repeat_interleave(4, 0) * 200
    assert float(jensen_shannon(certain, 3)) == pytest.approx(math.log(3))


@given(seed=st.integers(0, 999), scale=st.sampled_from([0.1, 1.0, 30.0]))
@settings(max_examples=20, deadline=None)
def test_divergence_of_two_views_is_scipy_s_and_of_three_the_entropy_difference(seed: int, scale: float) -> None:
    logits = scale * normal(8, 6, seed=seed)
    p = logits.double().softmax(1).numpy()
    expected = np.mean([jensenshannon(p[i], p[4 + i]) ** 2 for i in range(4)])
    assert float(jensen_shannon(logits, 2)) == pytest.approx(expected, rel=1e-3, abs=1e-6)

    def entropy(q: np.ndarray) -> np.ndarray:
        return -(q * np.log(np.maximum(q, 1e-300))).sum(-1)

    logits = scale * normal(9, 6, seed=seed)
    p = logits.double().softmax(1).numpy().reshape(3, 3, 6)
    expected = np.mean(entropy(p.mean(0)) - entropy(p).mean(0))
    assert float(jensen_shannon(logits, 3)) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_divergence_has_finite_gradients_for_certain_predictions() -> None:
    logits = (torch.eye(3).repeat_interleave(2, 0) * 1e4).requires_grad_()
    jensen_shannon(logits, 3).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_contrast_of_two_classes_at_right_angles_by_hand() -> None:
    """Each anchor has one positive at cosine 1 and two negatives at cosine 0: -log(e^(1/t) / (e^(1/t) + 2))."""
    features = torch.tensor([[3.0, 0.0], [0.0, 0.5], [1.0, 0.0], [0.0, 9.0]])
    loss = supervised_contrastive(features, torch.tensor([4, 7]), 0.5)
    assert float(loss) == pytest.approx(-math.log(math.e**2 / (math.e**2 + 2)))


@given(seed=st.integers(0, 999), n=st.integers(1, 5), views=st.integers(2, 3), t=st.sampled_from([0.07, 1.0]))
@settings(max_examples=20, deadline=None)
def test_contrast_equals_equation_2_written_out(seed: int, n: int, views: int, t: float) -> None:
    features, labels = normal(views * n, 4, seed=seed), np.random.default_rng(seed).integers(0, 2, n)
    z = features.double().numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    y, total = np.tile(labels, views), 0.0
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        below = sum(math.exp(z[i] @ z[a] / t) for a in others)
        positive = [p for p in others if y[p] == y[i]]
        total += -sum(math.log(math.exp(z[i] @ z[p] / t) / below) for p in positive) / len(positive)
    ours = supervised_contrastive(features, torch.from_numpy(labels), t)
    assert float(ours) == pytest.approx(total / len(z), rel=1e-4, abs=1e-6)


def test_contrast_does_not_see_lengths_and_has_finite_gradients() -> None:
    features, labels = normal(8, 4), torch.tensor([0, 1, 1, 2])
    scaled = (features * torch.arange(1, 9)[:, None]).requires_grad_()
    loss = supervised_contrastive(scaled, labels, 0.1)
    torch.testing.assert_close(loss, supervised_contrastive(features, labels, 0.1))
    loss.backward()
    assert scaled.grad is not None
    assert torch.isfinite(scaled.grad).all()


def test_plain_training_is_cross_entropy_to_the_bit() -> None:
    logits, labels = normal(8, 10), torch.arange(8)
    for smoothing in (0.0, 0.1):
        ours = training_loss(recipe(label_smoothing=smoothing), logits, labels, None)
        assert torch.equal(ours, F.cross_entropy(logits, labels, label_smoothing=smoothing))


def test_augmix_loss_is_cross_entropy_of_the_clean_view_and_twelve_divergences() -> None:
    logits, labels = normal(24, 10), torch.arange(8)
    expected = F.cross_entropy(logits[:8], labels) + 12 * jensen_shannon(logits, 3)
    torch.testing.assert_close(training_loss(recipe(augment={"augmix": {}}), logits, labels, None), expected)
    one = recipe(augment={"augmix": {"consistency": 0.0}})
    torch.testing.assert_close(training_loss(one, logits[:8], labels, None), F.cross_entropy(logits[:8], labels))


def test_contrast_is_added_to_the_cross_entropy_of_both_views() -> None:
    logits, labels, features = normal(16, 10), torch.arange(8) % 3, normal(16, 5, seed=1)
    expected = (F.cross_entropy(logits[:8], labels) + F.cross_entropy(logits[8:], labels)) / 2
    expected = expected + 0.5 * supervised_contrastive(features, labels, 0.2)
    weighted = recipe(supcon={"weight": 0.5, "temperature": 0.2})
    torch.testing.assert_close(training_loss(weighted, logits, labels, features), expected)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("soft", [False, True])
def test_parts_keep_views_together_and_add_up(n: int, soft: bool) -> None:
    train = recipe(augment={"augmix": {}}, label_smoothing=0.1)
    logits = normal(24, 10)
    targets = normal(8, 10, seed=1).softmax(1) if soft else torch.arange(8)
    total, right, seen = torch.zeros(()), 0, 0
    for part, wanted in parts(logits, targets, n):
        assert len(part) == 3 * len(wanted)
        total += training_loss(train, part, wanted, None) * len(wanted) / 8
        right, seen = right + int(hits(part, wanted)), seen + len(wanted)
    assert seen == 8
    torch.testing.assert_close(total, training_loss(train, logits, targets, None))
    assert right == int(hits(logits, targets))


def test_parts_of_one_view_are_torch_s_chunks_in_the_same_memory() -> None:
    x, y = normal(8, 3, 4, 4).contiguous(memory_format=torch.channels_last), torch.arange(8)
    for (part, wanted), chunk in zip(parts(x, y, 3), x.chunk(3), strict=True):
        assert torch.equal(part, chunk)
        assert part.data_ptr() == chunk.data_ptr()
        assert len(part) == len(wanted)
    for part, _ in parts(x.repeat(2, 1, 1, 1).contiguous(memory_format=torch.channels_last), y, 3):
        assert part.is_contiguous(memory_format=torch.channels_last)


def test_hits_are_counted_in_the_first_view_against_the_larger_share() -> None:
    logits = torch.eye(4).repeat(2, 1)
    logits[4:] = 0  # a second view that is wrong throughout
    assert int(hits(logits, torch.tensor([0, 1, 2, 0]))) == 3
    mixed = torch.tensor([[0.6, 0.4, 0, 0], [0.6, 0.4, 0, 0], [0, 0, 0.9, 0.1], [0, 0, 0, 1.0]])
    assert int(hits(logits, mixed)) == 3

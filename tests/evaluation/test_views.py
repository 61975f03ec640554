"""One answer for the views of a video: the mean of their probabilities, finite wherever one view's is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from regrow import data
from regrow.evaluation.evaluate import averaged, evaluate_cell

SPEC = replace(data.spec("cifar10"), image_size=4, frames=2)


def linear(inputs: Tensor) -> Tensor:
    """Logits of any inputs."""
    weights = torch.linspace(-1, 1, 10 * inputs[0].numel()).view(-1, 10).sin()
    return inputs.flatten(1) @ weights


@pytest.mark.parametrize("views", [1, 2, 5])
def test_answers_are_mean_probabilities(views: int) -> None:
    inputs = torch.randn(3 * views, 7, generator=torch.Generator().manual_seed(0))
    p = linear(inputs).double().softmax(1)
    expected = torch.stack([p[i * views : (i + 1) * views].mean(0) for i in range(3)])
    answer = averaged(linear, views)(inputs)
    assert answer.shape == (3, 10)
    torch.testing.assert_close(answer.softmax(1).double(), expected, atol=1e-6, rtol=1e-5)
    if views > 1:
        torch.testing.assert_close(answer.double(), expected.log(), atol=1e-4, rtol=1e-4)


def test_answers_that_are_all_but_certain_stay_finite() -> None:
    logits = torch.tensor([[0.0, 300.0], [0.0, 200.0]])
    answer = averaged(lambda _: logits, 2)(torch.zeros(2, 1))
    torch.testing.assert_close(answer, torch.tensor([[-200.0 - np.log(2), 0.0]], dtype=torch.float32))


@pytest.mark.parametrize("batch", [1, 3, 4, 100])
@pytest.mark.parametrize("views", [1, 3])
def test_a_record_has_one_answer_a_video(views: int, batch: int) -> None:
    rng = np.random.default_rng(views)
    clips = rng.integers(0, 256, (5, views, 2, 4, 4, 3), np.uint8)
    labels = rng.integers(0, 10, 5)
    spec, device = replace(SPEC, views=views), torch.device("cpu")
    sizes: list[int] = []

    def predict(inputs: Tensor) -> Tensor:
        sizes.append(len(inputs))
        assert inputs.shape[1:] == (3, 2, 4, 4)
        return linear(inputs / 20)

    record = evaluate_cell(predict, clips, labels, spec, batch=batch, device=device)
    assert max(sizes) <= max(batch, views)  # views count as inputs
    for i in range(5):
        x = (clips[i] / 255 - np.array(spec.mean)) / np.array(spec.std)
        x = torch.tensor(np.moveaxis(x, -1, 1), dtype=torch.float32)
        p = linear(x / 20).double().softmax(1).mean(0)
        assert record.prediction[i] == int(p.argmax())
        assert record.correct[i] == (int(p.argmax()) == labels[i])
        np.testing.assert_allclose(record.confidence[i], p.max(), rtol=1e-4)
        np.testing.assert_allclose(record.loss[i], -p[labels[i]].log(), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(record.brier[i], (p - torch.eye(10)[labels[i]]).square().sum(), rtol=1e-3, atol=1e-5)

"""A network on the images of one cell."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from regrow.data.batches import Rows, eval_batches
from regrow.data.spec import DataSpec
from regrow.evaluation.live import Change
from regrow.evaluation.records import Record

#: Normalised images (n, 3, H, W) -> logits (n, classes).
Predict = Callable[[Tensor], Tensor]


def predictor(model: nn.Module, *, bf16: bool, device: torch.device, channels_last: bool = False) -> Predict:
    """A function from normalised images to float32 logits, in evaluation mode and without gradients.

    Args:
        model: the network; set to evaluation mode.
        bf16: whether it computes in bfloat16.
        device: where it is.
        channels_last: lay images out as ``torch.channels_last`` first, as the network's weights are.
    """
    model.eval()

    def predict(inputs: Tensor) -> Tensor:
        if channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            logits: Tensor = model(inputs)
        return logits.float()

    return predict


def averaged(predict: Predict, views: int) -> Predict:
    """A function that answers once for every ``views`` inputs in a row: the log of their mean probabilities."""
    if views == 1:
        return predict

    def answer(inputs: Tensor) -> Tensor:
        log_p = predict(inputs).log_softmax(1)  # never through probabilities, whose logarithm may not be finite
        return log_p.view(-1, views, log_p.shape[1]).logsumexp(1) - math.log(views)

    return answer


def evaluate_cell(
    predict: Predict,
    images: Rows,
    labels: npt.NDArray[np.int64],
    spec: DataSpec,
    *,
    batch: int = 256,
    device: torch.device,
    channels_last: bool = False,
    change: Change | None = None,
) -> Record:
    """Answers of a network on all images of a cell.

    Args:
        predict: normalised images -> logits.
        images: uint8 (n, H, W, 3), or clips (n, views, T, H, W, 3), whose answers are averaged over the views; may be
            a memory map, or anything else that gives such arrays for slices.
        labels: int64 (n,).
        spec: normalisation of the data set.
        batch: images or clips per forward pass.
        device: where the network is.
        channels_last: memory order of its input.
        change: corrupts the batches as they go (see ``regrow.evaluation.live``).
    """
    parts: list[tuple[Tensor, ...]] = []
    truth, start = torch.from_numpy(labels).to(device), 0
    answer, batch = averaged(predict, spec.views), max(1, batch // spec.views)
    batches = eval_batches(images, spec, batch=batch, device=device, channels_last=channels_last, change=change)
    for inputs in batches:
        logits = answer(inputs)
        y = truth[start : start + len(logits), None]
        start += len(logits)
        log_p = logits.log_softmax(1)
        p = log_p.exp()
        confidence, prediction = p.max(1)
        brier = p.square().sum(1) - 2 * p.gather(1, y)[:, 0] + 1
        parts.append((prediction, confidence, -log_p.gather(1, y)[:, 0], brier))
    answers, confidences, losses, briers = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return Record(
        prediction=answers.astype(np.int16),
        correct=np.equal(answers, labels),
        confidence=confidences.astype(np.float32),
        loss=losses.astype(np.float32),
        brier=briers.astype(np.float32),
    )

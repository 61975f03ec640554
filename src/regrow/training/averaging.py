"""A moving average of a sparse network's weights, and the features that its classifier sees."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from regrow.errors import InputError
from regrow.sparsity import Sparsifier


class Average:
    """Exponential moving average: the weights after the first step, then decay * average + (1 - decay) * weights.

    Averaged by torch's ``AveragedModel``, and masked after every step by the masks of then: a dropped weight is zero in
    the average at once, and one that is grown again starts there from zero, as it does in the network. Batch-norm
    statistics are averaged as the weights are; buffers of whole numbers are copied.

    Args:
        network: what is trained; is copied.
        decay: in (0, 1).
        sparsifier: whose masks hold.
    """

    def __init__(self, network: nn.Module, decay: float, sparsifier: Sparsifier) -> None:
        self._network, self._sparsifier = network, sparsifier
        step = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(network, multi_avg_fn=step, use_buffers=True)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after an optimiser step."""
        self._average.update_parameters(self._network)
        for mean, now in zip(self._average.module.buffers(), self._network.buffers(), strict=True):
            if not mean.is_floating_point():  # torch would average them too, and cut the result
                mean.copy_(now)
        self._sparsifier.mask(self._average.module)

    def install(self) -> None:
        """Put the average in the place of the network's weights."""
        self._network.load_state_dict(self._average.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return self._average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        self._average.load_state_dict(state)


def find_classifier(network: nn.Module, n_classes: int) -> nn.Linear:
    """The layer that makes the logits: the last ``nn.Linear`` with ``n_classes`` outputs.

    Raises:
        InputError: there is none.
    """
    linear = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == n_classes]
    if not linear:
        raise InputError(
            f"supcon needs a network whose last layer is nn.Linear with {n_classes} outputs; "
            f"{type(network).__name__} has none.",
            "take another network, or leave out training.supcon.",
        )
    return linear[-1]


@contextlib.contextmanager
def watched(classifier: nn.Linear | None) -> Iterator[list[Tensor]]:
    """Within the block, every input of the classifier is added to the list, as (rows, D); None = an empty list."""
    seen: list[Tensor] = []
    if classifier is None:
        yield seen
        return
    handle = classifier.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(1)))
    try:
        yield seen
    finally:
        handle.remove()

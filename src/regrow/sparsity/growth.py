"""Growth criteria: of the candidates, those with the highest score come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from regrow.errors import InputError
from regrow.sparsity.update import Layer


@dataclass(frozen=True)
class RandomGrowth:
    """Uniformly random: one random key per candidate in flat order; the smallest keys grow."""

    needs_gradient: ClassVar[bool] = False

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        return ~layer.draw("growth", int(where.count_nonzero()))


@dataclass(frozen=True)
class GradientGrowth:
    """The absolute dense gradient of the loss at the masked weights."""

    needs_gradient: ClassVar[bool] = True

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        if layer.grad is None:
            raise InputError(f"growth by gradient in layer {layer.name} needs its dense gradient, and has none.")
        return layer.grad[where].abs()

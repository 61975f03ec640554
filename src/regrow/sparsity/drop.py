"""Drop criteria: of the active weights, those with the lowest score go."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from regrow import seeds
from regrow.errors import InputError
from regrow.sparsity.schedules import Schedule, Value
from regrow.sparsity.select import count, smallest, spread
from regrow.sparsity.update import Criterion, Layer, drop_count


@dataclass(frozen=True)
class Magnitude:
    """The absolute weight."""

    needs_gradient: ClassVar[bool] = False

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        return layer.weight.abs()


@dataclass(frozen=True)
class MagnitudeAndGradient:
    """``|w| + lambda |g|`` (MEST, Yuan et al. 2021, arXiv:2110.14032), with the gradient that the step used.

    Attributes:
        weight_of_gradient: lambda, >= 0; 0 (the authors' default in code) is `Magnitude`.
    """

    weight_of_gradient: float = 0.01

    needs_gradient: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the values."""
        if not (self.weight_of_gradient >= 0 and math.isfinite(self.weight_of_gradient)):
            raise InputError(f"lambda must be a number >= 0, got {self.weight_of_gradient}.")

    @property
    def needs_step_gradient(self) -> bool:
        """Whether ``layer.step_grad`` is read."""
        return self.weight_of_gradient > 0

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        magnitude = layer.weight.abs()
        if layer.step_grad is None or self.weight_of_gradient == 0:
            return magnitude
        return magnitude.add_(layer.step_grad.abs().to(magnitude.dtype), alpha=self.weight_of_gradient)


@dataclass(frozen=True)
class Taylor:
    """``|w g|``: first-order change of the loss when the weight goes (Molchanov et al. 2019, arXiv:1906.10771)."""

    needs_gradient: ClassVar[bool] = False
    needs_step_gradient: ClassVar[bool] = True

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`; without a gradient all scores are 0."""
        if layer.step_grad is None:
            return torch.zeros_like(layer.weight)
        return (layer.weight * layer.step_grad.to(layer.weight.dtype)).abs_()


@dataclass(frozen=True)
class RelativeImportance:
    """``|w| / (sum of its row + e) + |w| / (sum of its column + e)``, convolutions seen as (outputs, rest).

    Relative importance without the activations (Zhang et al. 2024, arXiv:2402.02870, equation 3).

    Attributes:
        epsilon: e, added to the sums.
    """

    epsilon: float = 1e-5

    needs_gradient: ClassVar[bool] = False

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        size = layer.weight.abs().double().view(layer.matrix)
        rows, columns = size.sum(1, keepdim=True), size.sum(0, keepdim=True)
        return (size / (rows + self.epsilon) + size / (columns + self.epsilon)).view(-1)


@dataclass(frozen=True)
class RandomDrop:
    """Uniformly random: one random key per active weight in flat order; the smallest keys go."""

    needs_gradient: ClassVar[bool] = False

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        return layer.draw("drop", count(where))


@dataclass(frozen=True)
class Soft:
    """Random, without replacement: a weight stays with odds in proportion to ``score ** temperature``.

    Keys ``temperature * log(score) - log(-log(u))`` make the draw exact (Efraimidis and Spirakis 2006); the exponent
    rises with progress, so that the draw hardens into a ranking (Cannistraci-Hebb soft removal, arXiv:2501.19107).

    Attributes:
        of: the score, not negative.
        temperature: the exponent by progress.
    """

    of: Criterion = field(default=Magnitude())
    temperature: Schedule = field(default=Value(1.0, 9.0))

    @property
    def needs_gradient(self) -> bool:
        """As the score says."""
        return self.of.needs_gradient

    @property
    def needs_step_gradient(self) -> bool:
        """As the score says."""
        return getattr(self.of, "needs_step_gradient", False)

    @property
    def hard(self) -> Criterion:
        """What pruning ranks by when the density falls: the score itself."""
        return self.of

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """See `regrow.sparsity.update.Criterion`."""
        score = self.of(layer, where, k)
        own = score if score.numel() != where.numel() else score[where]
        words = layer.words("drop", own.numel())
        return soft_keys(own, self.temperature(layer.progress), words)


def soft_keys(score: Tensor, temperature: float, words: seeds.UINT64) -> Tensor:
    """Keys whose largest k are a draw of k without replacement with odds ``score ** temperature``; float64."""
    gumbel = -np.log(-np.log(seeds.uniform(words)))
    with np.errstate(divide="ignore"):
        logs = np.log(score.detach().double().cpu().numpy())
    keys = (temperature * logs if temperature else np.where(np.isneginf(logs), logs, 0.0)) + gumbel
    return torch.from_numpy(keys).to(score.device)


@dataclass(frozen=True)
class Signs:
    """SET's own rule: the same share of the smallest positive and of the negative weights closest to zero.

    Zeros go first. With no zeros, the quotas are the floors of ``drop_fraction`` times the number of positive and of
    negative weights, brought to the total by largest remainder, ties to the positive; with zeros, what is left is
    split in proportion to their numbers (Mocanu et al. 2018, arXiv:1707.04780; the split to exact totals is ours).
    """

    needs_gradient: ClassVar[bool] = False
    depends_on_k: ClassVar[bool] = True

    def __call__(self, layer: Layer, where: Tensor, k: int) -> Tensor:
        """0 for the chosen, 1 for the others; see `regrow.sparsity.update.Criterion`."""
        weight = layer.weight[where]
        positive, negative, zero = weight > 0, weight < 0, weight == 0
        n_positive, n_negative, n_zero = (count(flags) for flags in (positive, negative, zero))
        chosen = torch.zeros_like(zero)
        chosen[zero.nonzero().flatten()[:k]] = True
        left = k - min(k, n_zero)
        usual = n_zero == 0 and k == drop_count(layer.drop_fraction, weight.numel())
        from_positive = self._quota(left, n_positive, n_negative, layer.drop_fraction if usual else None)
        for side, quota in ((positive, from_positive), (negative, left - from_positive)):
            chosen |= spread(smallest(weight[side].abs(), quota), side)
        scores = (~chosen).to(torch.float32)
        return scores.masked_fill_(weight.isnan(), torch.nan)

    @staticmethod
    def _quota(left: int, n_positive: int, n_negative: int, drop_fraction: float | None) -> int:
        """How many of ``left`` drops are positive weights."""
        if left == 0 or n_positive + n_negative == 0:
            return 0
        share = Fraction(left, n_positive + n_negative) if drop_fraction is None else Fraction(str(drop_fraction))
        wanted = share * n_positive, share * n_negative
        quota = [math.floor(x + Fraction(1, 10**9)) for x in wanted]
        first = 0 if wanted[0] - quota[0] >= wanted[1] - quota[1] else 1
        if sum(quota) < left:
            quota[first] += 1
        return min(n_positive, max(quota[0], left - n_negative))

"""How many weights each layer keeps: allocations (density per layer) and their rounding to exact integers.

All arithmetic is in fractions, so the total is the recipe's to the unit and does not depend on the machine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from regrow.errors import InputError

Shape = tuple[int, ...]


class Allocation(Protocol):
    """A rule that spreads a total density over layers."""

    def __call__(self, shapes: Sequence[Shape], density: Fraction, dense: Collection[int]) -> list[Fraction]:
        """Density of each layer, in [0, 1].

        Args:
            shapes: full weight shapes ``(out, in / groups, kernel...)``.
            density: share of all weights that is active, in (0, 1].
            dense: positions of layers that must stay dense; they count in the total.
        """
        ...


def exact_density(sparsity: float) -> Fraction:
    """``1 - sparsity`` as the decimal number that was written, not as its nearest binary fraction.

    Example:
        >>> exact_density(0.9)
        Fraction(1, 10)
    """
    return 1 - Fraction(str(sparsity))


def _rest(sizes: Sequence[int], density: Fraction, dense: Collection[int]) -> Fraction:
    """Active weights left for the layers that are not dense; may be negative."""
    return density * sum(sizes) - sum(sizes[i] for i in dense)


def _refuse_too_dense(sizes: Sequence[int], density: Fraction, dense: Collection[int]) -> None:
    if _rest(sizes, density, dense) < 0:
        raise InputError(
            f"the layers in keep_dense hold {sum(sizes[i] for i in dense)} weights, more than the "
            f"{float(density * sum(sizes)):.0f} that may be active at density {float(density):g}.",
            "keep fewer layers dense, or lower the sparsity.",
        )


@dataclass(frozen=True)
class Uniform:
    """The same density in every layer that is not kept dense.

    Example:
        >>> [float(d) for d in Uniform()([(8, 3, 3, 3), (10, 16)], Fraction(3, 10), ())]
        [0.3, 0.3]
    """

    def __call__(self, shapes: Sequence[Shape], density: Fraction, dense: Collection[int]) -> list[Fraction]:
        """See `Allocation`."""
        sizes = [math.prod(s) for s in shapes]
        _refuse_too_dense(sizes, density, dense)
        others = sum(sizes) - sum(sizes[i] for i in dense)
        share = _rest(sizes, density, dense) / others if others else Fraction(1)
        return [Fraction(1) if i in dense else share for i in range(len(shapes))]


@dataclass(frozen=True)
class ERK:
    """Erdos-Renyi-kernel: density in proportion to ``(sum of shape / product of shape) ** power``, at most 1.

    Layers whose share would exceed 1 are made dense and the factor is solved again for the rest, so the total is kept
    (Evci et al. 2020, arXiv:1911.11134, section 3; the solution is that of the authors' code).

    Attributes:
        power: 1 is ERK; 0 is uniform.

    Example:
        >>> [round(float(d), 6) for d in ERK()([(8, 3, 3, 3), (16, 8, 3, 3), (10, 16)], Fraction(3, 10), ())]
        [0.499685, 0.165337, 1.0]
    """

    power: float = 1.0

    def __call__(self, shapes: Sequence[Shape], density: Fraction, dense: Collection[int]) -> list[Fraction]:
        """See `Allocation`."""
        sizes = [math.prod(s) for s in shapes]
        _refuse_too_dense(sizes, density, dense)
        raw = [self._raw(shape) for shape in shapes]
        full = set(dense)
        while len(full) < len(shapes):
            free = [i for i in range(len(shapes)) if i not in full]
            factor = _rest(sizes, density, full) / sum(raw[i] * sizes[i] for i in free)
            largest = max(raw[i] for i in free)
            if factor * largest <= 1:
                return [Fraction(1) if i in full else factor * raw[i] for i in range(len(shapes))]
            full.update(i for i in free if raw[i] == largest)
        return [Fraction(1)] * len(shapes)

    def _raw(self, shape: Shape) -> Fraction:
        share = Fraction(sum(shape), math.prod(shape))
        return share if self.power == 1 else Fraction(float(share) ** self.power)


def counts(densities: Sequence[Fraction], sizes: Sequence[int], density: Fraction) -> list[int]:
    """Integer number of active weights per layer, with the exact total ``floor(density * N + 1/2)``.

    Largest remainder: every layer gets the floor of its share, the missing units go to the largest fractional parts,
    ties to the earlier layer. Every layer gets at least one weight, taken from the layer that has most.

    Raises:
        InputError: fewer active weights than layers.

    Example:
        >>> counts([Fraction(3, 10)] * 3, [216, 1152, 160], Fraction(3, 10))
        [65, 345, 48]
    """
    total = math.floor(density * sum(sizes) + Fraction(1, 2))
    if total < len(sizes):
        raise InputError(
            f"density {float(density):g} leaves {total} active weights for {len(sizes)} layers.",
            "lower the sparsity so that every layer keeps at least one weight.",
        )
    shares = [d * n for d, n in zip(densities, sizes, strict=True)]
    result = [math.floor(x) for x in shares]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (result[i] - shares[i], i))
    for i in [i for i in by_remainder if result[i] < sizes[i]][: total - sum(result)]:
        result[i] += 1
    while 0 in result:
        result[result.index(max(result))] -= 1
        result[result.index(0)] += 1
    return result

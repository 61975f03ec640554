"""How many weights each layer keeps: allocations (density per layer) and their rounding to exact integers.

All arithmetic is in fractions, so the total is the recipe's to the unit and does not depend on the machine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

from regrow.errors import InputError
from regrow.sparsity.layers import matches

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

    Attributes:
        first_dense: keep the first layer dense and give the others the density asked for, so that the total is higher
            than asked for (the uniform distribution of Evci et al. 2020, arXiv:1911.11134).

    Example:
        >>> [float(d) for d in Uniform()([(8, 3, 3, 3), (10, 16)], Fraction(3, 10), ())]
        [0.3, 0.3]
    """

    first_dense: bool = False

    def __call__(self, shapes: Sequence[Shape], density: Fraction, dense: Collection[int]) -> list[Fraction]:
        """See `Allocation`."""
        if self.first_dense:
            rest = Uniform()(shapes[1:], density, [i - 1 for i in dense if i])
            return [Fraction(1), *rest] if shapes else []
        sizes = [math.prod(s) for s in shapes]
        _refuse_too_dense(sizes, density, dense)
        others = sum(sizes) - sum(sizes[i] for i in dense)
        share = _rest(sizes, density, dense) / others if others else Fraction(1)
        return [Fraction(1) if i in dense else share for i in range(len(shapes))]


@dataclass(frozen=True)
class ER:
    """Erdos-Renyi: density in proportion to ``(fan in + fan out) / (fan in * fan out)``, kernels left out, at most 1.

    Mocanu et al. 2018, arXiv:1707.04780, equation 1, solved for a total density. Fan in and out are the first two sizes
    of the weight.

    Example:
        >>> [round(float(d), 6) for d in ER()([(4, 3), (3, 4), (2, 3)], Fraction(1, 2), ())]
        [0.460526, 0.460526, 0.657895]
    """

    def __call__(self, shapes: Sequence[Shape], density: Fraction, dense: Collection[int]) -> list[Fraction]:
        """See `Allocation`."""
        raw = [Fraction(sum(s[:2]), math.prod(s[:2])) for s in shapes]
        return _in_proportion(raw, [math.prod(s) for s in shapes], density, dense)


@dataclass(frozen=True)
class Table:
    """Densities by the user, layer by layer.

    Attributes:
        densities: pairs of a pattern over parameter or module names and a density in (0, 1]; the first match counts.
            A mapping is taken, too.
        rest: what layers without a match get: ``"asked"`` the method's density, ``"solve"`` one that meets the
            method's density in total.

    Raises:
        InputError: a pattern matches no layer, or a density is impossible.

    Example:
        >>> table = Table({"fc1": 0.5}).of(["fc1.weight", "fc2.weight"])
        >>> [float(d) for d in table([(4, 3), (3, 4)], Fraction(1, 4), ())]
        [0.5, 0.25]
    """

    densities: Mapping[str, float] | tuple[tuple[str, float], ...]
    rest: Literal["asked", "solve"] = "asked"
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the values; keep the table as a tuple, so that it does not change and can be printed."""
        pairs = self.densities.items() if isinstance(self.densities, Mapping) else self.densities
        object.__setattr__(self, "densities", tuple((str(name), float(d)) for name, d in pairs))
        for name, density in self._pairs:
            if not 0 < density <= 1:
                raise InputError(f"density of {name!r} must be in (0, 1], got {density:g}.")
        if self.rest not in ("asked", "solve"):
            raise InputError(f"rest must be 'asked' or 'solve', got {self.rest!r}.")

    def of(self, names: Sequence[str]) -> Table:
        """The table for a model's layers, given their parameter names in order."""
        for pattern, _ in self._pairs:
            if not any(matches(name, pattern) for name in names):
                raise InputError(f"the table's pattern {pattern!r} matches no layer.", f"layers: {', '.join(names)}.")
        return Table(self.densities, self.rest, tuple(names))

    @property
    def _pairs(self) -> tuple[tuple[str, float], ...]:
        return self.densities  # type: ignore[return-value]  # a tuple since __post_init__

    def __call__(self, shapes: Sequence[Shape], density: Fraction, dense: Collection[int]) -> list[Fraction]:
        """See `Allocation`."""
        sizes = [math.prod(s) for s in shapes]
        given = {
            i: Fraction(str(next(d for pattern, d in self._pairs if matches(name, pattern))))
            for i, name in enumerate(self.names)
            if any(matches(name, pattern) for pattern, _ in self._pairs)
        } | dict.fromkeys(dense, Fraction(1))
        rest = density
        if self.rest == "solve":
            others = sum(n for i, n in enumerate(sizes) if i not in given)
            left = density * sum(sizes) - sum(given[i] * sizes[i] for i in given)
            if (others and not 0 < left <= others) or (not others and left != 0):
                raise InputError(
                    f"the table leaves {float(left):.0f} active weights for {others} weights of the other layers.",
                    "change the densities of the table, or the sparsity.",
                )
            rest = left / others if others else density
        return [given.get(i, rest) for i in range(len(sizes))]


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
        return _in_proportion([self._raw(s) for s in shapes], [math.prod(s) for s in shapes], density, dense)

    def _raw(self, shape: Shape) -> Fraction:
        share = Fraction(sum(shape), math.prod(shape))
        return share if self.power == 1 else Fraction(float(share) ** self.power)


def _in_proportion(
    raw: Sequence[Fraction], sizes: Sequence[int], density: Fraction, dense: Collection[int]
) -> list[Fraction]:
    """Densities in proportion to ``raw``; layers that would exceed 1 are made dense and the rest is solved again."""
    _refuse_too_dense(sizes, density, dense)
    full = set(dense)
    while len(full) < len(sizes):
        free = [i for i in range(len(sizes)) if i not in full]
        factor = _rest(sizes, density, full) / sum(raw[i] * sizes[i] for i in free)
        largest = max(raw[i] for i in free)
        if factor * largest <= 1:
            return [Fraction(1) if i in full else factor * raw[i] for i in range(len(sizes))]
        full.update(i for i in free if raw[i] == largest)
    return [Fraction(1)] * len(sizes)


def counts(densities: Sequence[Fraction], sizes: Sequence[int], density: Fraction | None = None) -> list[int]:
    """Integer number of active weights per layer, with the exact total ``floor(density * N + 1/2)``.

    Without ``density`` the total is that of the layers' shares, rounded the same way.

    Largest remainder: every layer gets the floor of its share, the missing units go to the largest fractional parts,
    ties to the earlier layer. Every layer gets at least one weight, taken from the layer that has most.

    Raises:
        InputError: fewer active weights than layers.

    Example:
        >>> counts([Fraction(3, 10)] * 3, [216, 1152, 160], Fraction(3, 10))
        [65, 345, 48]
    """
    shares = [d * n for d, n in zip(densities, sizes, strict=True)]
    exact = sum(shares, Fraction(0)) if density is None else density * sum(sizes)
    total = math.floor(exact + Fraction(1, 2))
    if total < len(sizes):
        raise InputError(
            f"density {float(exact / sum(sizes)):g} leaves {total} active weights for {len(sizes)} layers.",
            "lower the sparsity so that every layer keeps at least one weight.",
        )
    result = [math.floor(x) for x in shares]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (result[i] - shares[i], i))
    for i in [i for i in by_remainder if result[i] < sizes[i]][: total - sum(result)]:
        result[i] += 1
    while 0 in result:
        result[result.index(max(result))] -= 1
        result[result.index(0)] += 1
    return result

"""Initial masks that are graphs of a kind: small-world, receptive fields on a ring, scale-free.

A layer is a bipartite graph of rows (outputs) and columns (inputs; inputs times kernel for convolutions). Counts are
exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from regrow import seeds
from regrow.errors import InputError
from regrow.sparsity.update import Layer, smallest

Degrees = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SmallWorld:
    """Bipartite small world: a ring of nearest neighbours, of which a share is rewired at random (CHT, Zhang 2024).

    Each node of the larger side links to consecutive nodes of the smaller side, around its own place on the ring.

    Attributes:
        rewired: beta, the probability that a link is replaced by a random one, in [0, 1].
    """

    rewired: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 <= self.rewired <= 1:
            raise InputError(f"the rewired share must be in [0, 1], got {self.rewired}.")

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `regrow.sparsity.initial.Initial`."""
        small, large = sorted(layer.matrix)
        degrees = _even(n_active, large)
        links = np.zeros((large, small), dtype=np.bool_)
        # floor(j n / m - K / 2) in whole numbers
        first = (2 * np.arange(large) * small - degrees * large) // (2 * large)
        for j in range(large):
            links[j, (first[j] + np.arange(degrees[j])) % small] = True
        flat = _oriented(links, layer)
        words = layer.words("mask", 2 * flat.size)
        if self.rewired == 0:
            return torch.from_numpy(flat).to(layer.mask.device)
        gone = flat & (seeds.uniform(words[: flat.size]) < self.rewired)
        free = np.flatnonzero(~flat | gone)
        n_gone = int(gone.sum())
        keys = words[flat.size :][free]
        flat = flat & ~gone
        flat[free[np.argsort(keys, kind="stable")[:n_gone]]] = True
        return torch.from_numpy(flat).to(layer.mask.device)


@dataclass(frozen=True)
class ReceptiveField:
    """Bipartite receptive field: links fall off with the distance on a ring (CHTs, Zhang 2025, arXiv:2501.19107).

    Node i of the smaller side is centred at ``i * max(1, floor(m / n))``; it links to a node at ring distance D with
    odds ``(1 + D) ** (-(1 - r) / r)``, without replacement; r = 0 takes the nearest.

    Attributes:
        randomness: r, in [0, 1].
        degree: ``"fixed"`` (all nodes the same) or ``"uniform"`` (one each, the rest at random).
    """

    randomness: float = 0.3
    degree: Literal["fixed", "uniform"] = "fixed"

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 <= self.randomness <= 1:
            raise InputError(f"randomness must be in [0, 1], got {self.randomness}.")
        if self.degree not in ("fixed", "uniform"):
            raise InputError(f"degree must be 'fixed' or 'uniform', got {self.degree!r}.")

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `regrow.sparsity.initial.Initial`."""
        small, large = sorted(layer.matrix)
        words = layer.words("mask", small * large + n_active)
        degrees = _even(n_active, small) if self.degree == "fixed" else _scattered(n_active, small, large, words)
        centre = np.arange(small) * max(1, large // small) % large
        gap = np.abs(np.arange(large)[None, :] - centre[:, None])
        distance = np.minimum(gap, large - gap)
        keys = -distance.astype(np.float64)
        if self.randomness > 0:
            gumbel = -np.log(-np.log(seeds.uniform(words[: small * large]).reshape(small, large)))
            keys = -(1 - self.randomness) / self.randomness * np.log1p(distance) + gumbel
        rank = np.argsort(np.argsort(-keys, axis=1, kind="stable"), axis=1, kind="stable")
        return torch.from_numpy(_oriented(rank < degrees[:, None], layer)).to(layer.mask.device)


@dataclass(frozen=True)
class ScaleFree:
    """Degrees of both sides follow a power law: links drawn with odds by the product of node weights.

    Node i of a side has weight ``(i + 1) ** (-1 / (exponent - 1))``, in random order (the static model, Goh et al.
    2001, PRL 87, 278701); links are drawn without replacement until the count is met.

    Attributes:
        exponent: of the power law, > 2.
    """

    exponent: float = 3.0

    def __post_init__(self) -> None:
        """Check the values."""
        if not self.exponent > 2:
            raise InputError(f"the exponent must be > 2, got {self.exponent}.")

    def __call__(self, layer: Layer, n_active: int) -> Tensor:
        """See `regrow.sparsity.initial.Initial`."""
        rows, columns = layer.matrix
        words = layer.words("mask", rows * columns + rows + columns)
        sides = []
        for part, n in ((words[:rows], rows), (words[rows : rows + columns], columns)):
            place = np.argsort(np.argsort(part, kind="stable"), kind="stable")
            sides.append(-np.log1p(place[:n]) / (self.exponent - 1))
        gumbel = -np.log(-np.log(seeds.uniform(words[rows + columns :])))
        keys = (sides[0][:, None] + sides[1][None, :]).reshape(-1) + gumbel
        return smallest(torch.from_numpy(-keys), n_active).to(layer.mask.device)


def _even(total: int, nodes: int) -> Degrees:
    """Degrees that differ by at most one and add up; the larger ones spread evenly."""
    extra = np.diff(np.arange(nodes + 1, dtype=np.int64) * (total % nodes) // nodes)
    return extra + total // nodes


def _scattered(total: int, nodes: int, most: int, words: seeds.UINT64) -> Degrees:
    """One each where there are enough, the rest at random, none above ``most``."""
    degrees = np.full(nodes, 1 if total >= nodes else 0, dtype=np.int64)
    for word in words[-total:][: total - int(degrees.sum())]:
        place = int(word % np.uint64(nodes))
        while degrees[place] >= most:
            place = (place + 1) % nodes
        degrees[place] += 1
    return degrees


def _oriented(links: npt.NDArray[Any], layer: Layer) -> npt.NDArray[np.bool_]:
    """Links of (one side, other side) as a flat mask of (rows, columns)."""
    rows, columns = layer.matrix
    matrix = links if links.shape == (rows, columns) else links.T
    return np.ascontiguousarray(matrix).reshape(-1)


__all__: Sequence[str] = ["ReceptiveField", "ScaleFree", "SmallWorld"]

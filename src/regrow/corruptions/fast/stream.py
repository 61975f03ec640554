"""The counter-based streams of a batch of images, computed on an accelerator: the words of numpy's Philox, bit for bit.

Philox 4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") in signed 64-bit integers: sums and
products wrap alike, and a shift to the right is masked to be logical.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from regrow import seeds

_MASK = 0xFFFFFFFF
_ULP: float = math.ldexp(1.0, -53)
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _shifted(words: Tensor, by: int) -> Tensor:
    """Logical shift to the right."""
    return (words >> by) & ((1 << (64 - by)) - 1)


def _wide_product(words: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low 64 bits of the product with a constant."""
    high, low = factor >> 32, factor & _MASK
    a, b = _shifted(words, 32), words & _MASK
    middle = a * low + _shifted(b * low, 32)
    lower = b * high + (middle & _MASK)
    return a * high + _shifted(middle, 32) + _shifted(lower, 32), words * _signed(factor)


def philox(keys: Tensor, first_block: int, n_blocks: int) -> Tensor:
    """Blocks of four words of each stream.

    Args:
        keys: int64 (n, 2), the bits of the keys.
        first_block: number of the first block; numpy's first is 1.
        n_blocks: how many.

    Returns:
        int64 (n, 4 * n_blocks), the bits of the words.
    """
    n = len(keys)
    block = torch.arange(first_block, first_block + n_blocks, device=keys.device)
    words = [block.expand(n, n_blocks), *(torch.zeros((), dtype=torch.int64, device=keys.device),) * 3]
    k0, k1 = keys[:, :1], keys[:, 1:]
    for a_round in range(10):
        if a_round:
            k0, k1 = k0 + _signed(_WEYL[0]), k1 + _signed(_WEYL[1])
        high0, low0 = _wide_product(words[0], _MULTIPLIERS[0])
        high1, low1 = _wide_product(words[2], _MULTIPLIERS[1])
        words = [high1 ^ words[1] ^ k0, low1, high0 ^ words[3] ^ k1, low0]
    return torch.stack([word.expand(n, n_blocks) for word in words], dim=2).reshape(n, 4 * n_blocks)


class DeviceStream:
    """The streams of some images as tensors on a device; see ``regrow.corruptions.draws.CounterStream``.

    Args:
        seed: the user's seed.
        name: the corruption.
        severity: 1 to 5.
        index: number of each image in its set.
        device: where the numbers are made.
    """

    def __init__(self, seed: int, name: str, severity: int, index: Sequence[int], device: torch.device) -> None:
        self.n = len(index)
        keys = seeds.philox_keys(seed, "noise", seeds.name_key(name), severity, last=np.asarray(index, np.uint64))
        self._keys = torch.from_numpy(keys.view(np.int64)).to(device)
        self._at = 0

    def words(self, n_words: int) -> Tensor:
        """The next raw words of each image, int64 (n, n_words)."""
        block, skip = divmod(self._at, 4)
        self._at += n_words
        return philox(self._keys, block + 1, -(-(skip + n_words) // 4))[:, skip : skip + n_words]

    def uniform(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform numbers in (0, 1), float64."""
        number: Tensor = (_shifted(self.words(math.prod(shape)), 11).double() + 0.5) * _ULP
        return torch.clamp(number, max=1 - _ULP).reshape((self.n, *shape))

    def normal(self, shape: tuple[int, ...] = ()) -> Tensor:
        """Standard normal numbers, float64."""
        numbers: Tensor = torch.special.ndtri(self.uniform(shape))
        return numbers

    def integers(self, low: int, high: int, shape: tuple[int, ...] = (), dtype: str = "int64") -> Tensor:
        """Whole numbers of [low, high)."""
        count = math.prod(shape)
        words = self.words((count + 1) // 2)
        halves = torch.stack([words & _MASK, _shifted(words, 32)], dim=2).reshape(self.n, -1)[:, :count]
        found = _shifted(halves * (high - low), 32) + low
        kinds = {"int64": torch.int64, "int8": torch.int8}
        return found.to(kinds[dtype]).reshape((self.n, *shape))

    def permutation(self, k: int) -> Tensor:
        """An order of ``range(k)`` for each image."""
        return torch.argsort(self.words(k) ^ _signed(1 << 63), dim=1, stable=True)

"""PRIME: mixed chains of three maximum-entropy primitives (Modas et al. 2022, ECCV, arXiv:2112.13547).

Ours, on whole batches of 8-bit images. It differs from the authors' code: every image draws its own strengths (one
draw holds for a batch there); the unit of the random filter is in its middle (there in its last row and column, which
shifts the image by a pixel); images are rounded to 8 bits after every primitive, so that a colour function is a table
of 256 values; and images need not be square.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regrow import seeds
from regrow.data.augmentation.streams import draw, stream
from regrow.data.spec import Images
from regrow.errors import InputError
from regrow.seeds import UINT64

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Longest chain where the length is random, as in AugMix.
_MAX_DEPTH = 3
#: Side of the random filter, pixels.
_KERNEL = 3
#: About how many pixels are worked on at once.
_BLOCK = 1 << 20
#: Coordinates of a stream that no operation of a chain has.
_MIXTURE = 255


@dataclass(frozen=True)
class Prime:
    """Strengths of PRIME; the defaults are the authors' for CIFAR.

    For ImageNet they take ``colour_terms=500, colour_power=0.05, colour_band=20, warp_terms=500``.

    Args:
        width: chains.
        depth: primitives of a chain; None = 1 to 3, at random.
        filter_sd: largest standard deviation of the filter's taps.
        colour_terms: most sine terms of a colour function.
        colour_power: largest variance of a term's coefficient, pixels in 0..1.
        colour_band: terms in a row that are not zero; None = all from the first on.
        warp_terms: highest frequency of a displacement, half waves along an image, at least 3.

    Raises:
        InputError: a value out of range.
    """

    width: int = 3
    depth: int | None = None
    filter_sd: float = 4.0
    colour_terms: int = 100
    colour_power: float = 0.01
    colour_band: int | None = None
    warp_terms: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.width < _MIXTURE or not 1 <= (self.depth or 1) < _MIXTURE:
            raise InputError(f"PRIME needs a width and a depth from 1 to {_MIXTURE - 1}, got {self}.", "e.g. 3.")
        if min(self.filter_sd, self.colour_power) < 0 or min(self.colour_terms, self.colour_band or 1) < 1:
            raise InputError(f"PRIME needs strengths >= 0 and at least one colour term, got {self}.", "correct them.")
        if self.warp_terms < 3:
            raise InputError(f"PRIME's warp_terms must be 3 or more, got {self.warp_terms}.", "e.g. 100.")


def prime(images: Images, words: UINT64, settings: Prime, *, view: int = 0) -> Images:
    """Mixed images: (1 - m) x + m sum_k w_k chain_k(x), m uniform, w uniform on the simplex, rounded to 8 bits.

    Args:
        images: uint8, shape (B, H, W, 3) or clips (B, T, H, W, 3), whose frames are all treated alike.
        words: uint64, shape (B,): each image's own random word.
        settings: how strong.
        view: which view of the images.

    Returns:
        uint8, same shape.
    """
    shape, frames = images.shape, 1 if images.ndim == 4 else images.shape[1]
    planes = images.reshape(shape[0], frames, *shape[-3:])
    planes = np.moveaxis(planes, 1, 3).reshape(shape[0], *shape[-3:-1], 3 * frames)  # frames as further channels
    size = max(1, _BLOCK // (planes[0].size * settings.width))
    blocks = [slice(start, start + size) for start in range(0, len(planes), size)]
    made = np.concatenate([_mixed(planes[block], words[block], settings, view) for block in blocks])
    return np.ascontiguousarray(np.moveaxis(made.reshape(*made.shape[:3], frames, 3), 3, 1)).reshape(shape)


def _mixed(images: Images, words: UINT64, settings: Prime, view: int) -> Images:
    n, width, longest = len(images), settings.width, settings.depth or _MAX_DEPTH
    uniform = seeds.uniform(np.stack([draw(w, "prime", view, _MIXTURE, n=1 + 2 * width) for w in words]))
    share = uniform[:, :1]
    weights = -np.log(uniform[:, 1 : 1 + width])  # exponential numbers over their sum: Dirichlet(1, ..., 1)
    weights = share * weights / weights.sum(1, keepdims=True)
    depths = 1 + _whole(uniform[:, 1 + width :], longest) if settings.depth is None else np.full((n, width), longest)
    total = images * (1 - share)[:, :, None, None]
    for chain in range(width):
        current = images.copy()
        for place in range(longest):
            going = np.flatnonzero(depths[:, chain] > place)
            draws = [stream(words[i], "prime", view, chain, place) for i in going]
            chosen = np.array([one.random_raw() % len(_PRIMITIVES) for one in draws])
            for number, primitive in enumerate(_PRIMITIVES):
                mine = np.flatnonzero(chosen == number)
                if len(mine):
                    current[going[mine]] = primitive(current[going[mine]], [draws[i] for i in mine], settings)
        total += current * weights[:, chain, None, None, None]
    return _eight_bit(total)


def _eight_bit(values: npt.NDArray[np.floating]) -> Images:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _whole(uniform: Floats, n: int | Integers) -> Integers:
    """Whole numbers in [0, n) from uniform ones."""
    return (uniform * n).astype(np.int64)


def _normal(words: UINT64) -> Floats:
    from scipy.special import ndtri

    return np.asarray(ndtri(seeds.uniform(words)), np.float64)


# ---- random filter (section 3, spectral domain)


def _filter(images: Images, draws: Sequence[np.random.Philox], settings: Prime) -> Images:
    words = np.stack([one.random_raw(1 + _KERNEL**2) for one in draws])
    sd = settings.filter_sd * seeds.uniform(words[:, 0])
    kernels = (sd[:, None] * _normal(words[:, 1:])).reshape(-1, _KERNEL, _KERNEL)
    kernels[:, _KERNEL // 2, _KERNEL // 2] += 1
    return filtered(images, kernels)


def filtered(images: Images, kernels: Floats) -> Images:
    """Each image correlated with its own kernel, zeros outside; all channels alike.

    Args:
        images: uint8, shape (B, H, W, C).
        kernels: shape (B, k, k), k odd.

    Returns:
        uint8, rounded and cut to 0..255.
    """
    side, taps = kernels.shape[-1], kernels.astype(np.float32)
    edge = side // 2
    padded = np.pad(images, [(0, 0), (edge, edge), (edge, edge), (0, 0)]).astype(np.float32)
    total = np.zeros(images.shape, np.float32)
    for y, x in itertools.product(range(side), repeat=2):
        window = padded[:, y : y + images.shape[1], x : x + images.shape[2]]
        total += window * taps[:, y, x, None, None, None]
    return _eight_bit(total)


# ---- random colour function (section 3, colour domain)


def _recolour(images: Images, draws: Sequence[np.random.Philox], settings: Prime) -> Images:
    most = settings.colour_terms
    words = np.stack([one.random_raw(3 + 3 * most) for one in draws])
    power, length, start = seeds.uniform(words[:, :3]).T
    last = 1 + _whole(length, most)
    first = np.ones_like(last)
    if settings.colour_band is not None:
        first += _whole(start, last)
        last = np.minimum(last, first + settings.colour_band - 1)
    k = np.arange(1, most + 1)
    present = (first[:, None] <= k) & (k <= last[:, None])
    scale = np.sqrt(settings.colour_power * power)[:, None] * present
    return recoloured(images, _normal(words[:, 3:]).reshape(-1, 3, most) * scale[:, None])


def recoloured(images: Images, coefficients: Floats) -> Images:
    """Colour functions c + sum_k b_k sin(pi k c) of the pixels in 0..1, one for each colour of each image.

    Args:
        images: uint8, shape (B, H, W, C), the colours of a pixel being channels 0, 1, 2 modulo 3.
        coefficients: b, shape (B, 3, K).

    Returns:
        uint8, rounded and cut to 0..255.
    """
    levels = np.arange(256) / 255
    values = np.repeat(levels[None, None], len(images), 0).repeat(3, 1)
    for k in range(coefficients.shape[-1]):  # in one order, whatever the batch: sums of floats depend on it
        values += coefficients[:, :, k, None] * np.sin(np.pi * (k + 1) * levels)
    tables = _eight_bit(255 * values)
    image = np.arange(len(images))[:, None, None, None]
    colour = np.arange(images.shape[-1]) % 3
    return tables[image, colour, images]


# ---- random diffeomorphism (section 3, spatial domain; Petrini et al. 2021, arXiv:2105.02468)


def _warp(images: Images, draws: Sequence[np.random.Philox], settings: Prime) -> Images:
    height, width = images.shape[1:3]
    down, right = np.empty((2, len(images), height, width))
    for i, one in enumerate(draws):
        uniform = seeds.uniform(one.random_raw(3))
        bend = np.sin(np.pi / 2 * uniform) ** 2  # arcsine law: Beta(1/2, 1/2)
        most = 3 + int(uniform[0] * (settings.warp_terms - 2))
        terms = 2 + int(bend[1] * (most - 1))
        low, high = temperatures(max(height, width), terms)
        size = np.sqrt(low + bend[2] * max(0, high - low))
        for moved, side in ((down, height), (right, width)):
            coefficients = _normal(one.random_raw(terms**2)).reshape(terms, terms)
            moved[i] = size * side * field(coefficients, height, width)
    return warped(images, down, right)


def temperatures(side: int, terms: int) -> tuple[float, float]:
    """Range of the temperature of displacements: typically half a pixel; and the largest without folds.

    Args:
        side: of the image, pixels.
        terms: highest frequency.

    Returns:
        1 / (pi n^2 log c) and 4 / (pi^3 c^2 log c).
    """
    log = np.log(terms)
    return float(1 / (np.pi * side**2 * log)), float(4 / (np.pi**3 * terms**2 * log))


def field(coefficients: Floats, height: int, width: int) -> Floats:
    """A smooth random field: sum_ij c_ij / sqrt(i^2 + j^2) sin(pi i x) sin(pi j y) over i^2 + j^2 < (m + 1/2)^2.

    Args:
        coefficients: c, shape (m, m), standard normal; i is the frequency along x.
        height: rows; y goes from 0 to 1 over them.
        width: columns likewise.

    Returns:
        float64, shape (height, width), zero at the border.
    """
    m = len(coefficients)
    k = np.arange(1, m + 1)
    radius = np.hypot(k[:, None], k)
    scaled = coefficients * (radius < m + 0.5) / radius
    along_x, along_y = (np.sin(np.pi * np.linspace(0, 1, side)[:, None] * k) for side in (width, height))
    # einsum without BLAS, whose sums may depend on its threads
    return np.asarray(np.einsum("yi,xi->yx", np.einsum("yj,ij->yi", along_y, scaled), along_x), np.float64)


def warped(images: Images, down: Floats, right: Floats) -> Images:
    """Each image moved by its own displacement: out(y, x) = in(y - down, x - right), bilinear, edges extended.

    Args:
        images: uint8, shape (B, H, W, C).
        down: shape (B, H, W), pixels.
        right: likewise.

    Returns:
        uint8, rounded.
    """
    n, height, width, channels = images.shape
    y = np.clip(np.arange(height)[:, None] - down, 0, height - 1)
    x = np.clip(np.arange(width) - right, 0, width - 1)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    part_y, part_x = (y - top).astype(np.float32)[..., None], (x - left).astype(np.float32)[..., None]
    flat = images.reshape(n * height * width, channels)
    start = (np.arange(n) * height * width)[:, None, None]
    above = flat[start + top * width + left] * (1 - part_x) + flat[start + top * width + beside] * part_x
    under = flat[start + below * width + left] * (1 - part_x) + flat[start + below * width + beside] * part_x
    return _eight_bit(above * (1 - part_y) + under * part_y)


_PRIMITIVES = (_filter, _recolour, _warp)

"""Noise with a spectrum that rises (blue) or falls (brown), and Perlin's noise."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from regrow.corruptions.cbar.grid import SOURCE, clipped, coordinates, strength
from regrow.corruptions.draws import Integers, Stream
from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import Corruption, Draws, Images, Shape


def draw_seed(stream: Stream, _: Shape, severity: float) -> Draws:
    """The seed of each image's own legacy stream, (n,)."""
    return stream.integers(0, 1 << 32)


@functools.lru_cache(maxsize=8)
def _power(side: int, kind: str) -> Floats:
    rows, columns = coordinates(side)
    distance = np.sqrt((columns - side / 2) ** 2 + (rows - side / 2) ** 2)
    return distance if kind == "blue" else 1 / (distance**2 + 1)


def _coloured(bits: np.random.RandomState, side: int, kind: str) -> Floats:
    """Noise (side, side) of unit deviation with random phases that mirror each other."""
    from scipy.fft import ifft2

    phases = bits.uniform(0, 2 * np.pi, (side, side // 2))
    if side % 2:
        middle = bits.uniform(0, 2 * np.pi, (side // 2, 1))
        column = np.concatenate([middle, [[0.0]], middle[::-1]])
        phases = np.concatenate([phases, column, phases[::-1, ::-1]], axis=1)
    else:
        phases = np.concatenate([phases, phases[::-1, ::-1]], axis=1)
    spectrum = _power(side, kind) * (np.cos(phases) + np.sin(phases) * 1j)
    spectrum = np.roll(spectrum, (side // 2, side // 2), axis=(0, 1))
    noise: Floats = np.real(ifft2(spectrum))
    return noise / np.std(noise)


def blue_noise_sample(images: Images, seeds: Integers, severity: float) -> Images:
    """Keep the pixels where blue noise exceeds a threshold, blacken the others; (N, H, H, 3)."""
    out, threshold = np.empty_like(images), strength(severity, 3.0) - 2.5
    for image, target, seed in zip(images, out, seeds.tolist(), strict=True):
        keep = _coloured(np.random.RandomState(seed), images.shape[1], "blue") > threshold
        np.multiply(image, keep[..., None], out=target)
    return out


BLUE_NOISE_SAMPLE = Corruption(
    name="blue_noise_sample",
    family="noise",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_seed,
    apply=blue_noise_sample,
    settings={"cifar": (0.7, 1.4, 2.1, 3.5, 4.2), "imagenet": (0.8, 1.6, 2.4, 4, 5.6)},
)


def brownish_noise(images: Images, seeds: Integers, severity: float) -> Images:
    """Add noise of low frequencies, each channel its own; (N, H, H, 3)."""
    out, amount = np.empty_like(images), strength(severity, 64)
    for image, target, seed in zip(images, out, seeds.tolist(), strict=True):
        bits = np.random.RandomState(seed)
        noise = np.stack([_coloured(bits, images.shape[1], "brown") for _ in range(3)], axis=2)
        target[...] = clipped(image + amount * noise)
    return out


BROWNISH_NOISE = Corruption(
    name="brownish_noise",
    family="noise",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_seed,
    apply=brownish_noise,
    settings={"cifar": (2.5, 4, 5.5, 6.5, 7), "imagenet": (1, 2, 3, 4, 5)},
)

_CELLS = 256
_OFFSET = 4096.0  # keeps coordinates positive


def _lattice(seed: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Hash table and gradients of Perlin's noise; the gradients beyond the first 256 are drawn and overwritten."""
    bits, n = np.random.RandomState(seed), _CELLS + 2
    raw = bits.randint(0, 1 << 31, (_CELLS + n, 2))
    gradients = ((raw % (2 * _CELLS)) - _CELLS) / _CELLS
    length = np.sqrt((gradients**2).sum(axis=1, keepdims=True))
    gradients /= np.where(length == 0, 1.0, length)  # (0, 0) is drawn for one image in 510: no direction, not NaN
    table = list(range(_CELLS))
    for i in range(_CELLS - 1, -1, -1):
        j = int(bits.randint(0, 1 << 31)) % _CELLS
        table[i], table[j] = table[j], table[i]
    hashes = np.array(table)
    return np.concatenate([hashes, hashes[:n]]), np.concatenate([gradients[:_CELLS], gradients[:n]])


def _perlin(x: Floats, y: Floats, hashes: npt.NDArray[np.int64], gradients: Floats) -> Floats:
    """Noise at rows ``x`` and columns ``y`` of a rectangular grid, (len(x), len(y))."""

    def cell(place: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats, Floats, Floats]:
        moved = place + _OFFSET
        whole = moved.astype(np.int64)
        inside = moved - whole
        first = whole % _CELLS
        return first, (first + 1) % _CELLS, inside, inside - 1, inside * inside * (3.0 - 2.0 * inside)

    x0, x1, near_x, far_x, fade_x = cell(x)
    y0, y1, near_y, far_y, fade_y = cell(y)

    def towards(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], dx: Floats, dy: Floats) -> Floats:
        at = hashes[hashes[rows][:, None] + columns]
        product: Floats = dx[:, None] * gradients[:, 0].take(at) + dy * gradients[:, 1].take(at)
        return product

    left, right = towards(x0, y0, near_x, near_y), towards(x1, y0, far_x, near_y)
    upper = left + fade_x[:, None] * (right - left)
    left, right = towards(x0, y1, near_x, far_y), towards(x1, y1, far_x, far_y)
    lower = left + fade_x[:, None] * (right - left)
    mixed: Floats = (upper + fade_y * (lower - upper)) * 1.5
    return mixed


def perlin_noise(images: Images, seeds: Integers, severity: float) -> Images:
    """Mix with clouds of five octaves of Perlin's noise; (N, H, H, 3)."""
    side, alpha = images.shape[1], strength(severity, 0.5)
    line = np.arange(side) * (1 / (32 * side / 224))
    out = np.empty_like(images)
    for image, target, seed in zip(images, out, seeds.tolist(), strict=True):
        hashes, gradients = _lattice(seed)
        total = np.zeros((side, side))
        for octave in (1.0, 2.0, 4.0, 8.0, 16.0):
            total += np.abs(_perlin(octave * line, octave * line, hashes, gradients)) / octave
        cloud = np.clip(0.5 * total + 0.5, 0, 1.0)
        faded = np.float32(1 - alpha) * image.astype(np.float32)
        target[...] = clipped(faded + (255 * alpha * cloud)[..., None])
    return out


PERLIN_NOISE = Corruption(
    name="perlin_noise",
    family="noise",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_seed,
    apply=perlin_noise,
    settings={"imagenet": (4.6, 5.2, 5.8, 7.6, 8.8)},
)

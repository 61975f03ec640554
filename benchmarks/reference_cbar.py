"""The published generators of ImageNet-C-bar and CIFAR-10-C-bar, restated with their structure; see ``reference``.

A pixel is a call of a Python function wherever it is one there: that is where the time goes. ``severity`` is the
published real number. Random numbers come from a legacy ``RandomState`` in the published order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import fft, ndimage

Array = np.ndarray[Any, Any]
Rng = np.random.RandomState
Form = Callable[[Array, Any, Rng], Array]

_LUMA = np.array([0.2126, 0.7152, 0.0722])


def _each_pixel(side: int, value: Callable[[int, int], Any]) -> Array:
    """``value(row, column)`` of every pixel, one after the other."""
    return np.array([[value(row, column) for column in range(side)] for row in range(side)])


def _bytes(level: Array) -> Array:
    return np.clip(level, 0, 255).astype(np.uint8)


def _between(image: Array, place: Array) -> Array:
    """The image at (row, column) between its pixels, zero outside."""
    top, left = int(np.floor(place[0])), int(np.floor(place[1]))
    bottom, right = top + 1, left + 1

    def at(row: int, column: int) -> Array:
        inside = 0 <= row < image.shape[0] and 0 <= column < image.shape[1]
        return image[row, column, :] if inside else np.array([0, 0, 0])

    upper = at(top, left) * (1.0 - place[1] + left) + at(top, right) * (1.0 - right + place[1])
    lower = at(bottom, left) * (1.0 - place[1] + left) + at(bottom, right) * (1.0 - right + place[1])
    return upper * (1.0 - place[0] + top) + lower * (1.0 - bottom + place[0])


def single_frequency_greyscale(image: Array, severity: float, rng: Rng) -> Array:
    first = rng.uniform(-np.pi, np.pi)
    second = rng.uniform(-abs(first), abs(first))
    frequency = np.array([first, second])[rng.permutation(2)]
    phase = rng.uniform(0, 2 * np.pi)
    wave = _each_pixel(len(image), lambda row, column: np.sin(column * frequency[0] + row * frequency[1] + phase))
    return _bytes(image + severity * 19.6 * np.stack([wave] * 3, axis=2))


def cocentric_sine_waves(image: Array, severity: float, rng: Rng) -> Array:
    side = len(image)
    x0, y0 = rng.uniform(0, side, size=2)
    frequency, amplitude, ring = rng.uniform(0, 10), rng.uniform(0, side / 10), rng.uniform(0, side / 10)

    def wave(row: int, column: int) -> float:
        angle = np.arctan2(column - x0, row - y0) * frequency
        distance = np.sqrt((column - x0) ** 2 + (row - y0) ** 2)
        return (distance + np.sin(angle) * amplitude) % ring / ring - 1 / 2

    noise = _each_pixel(side, wave)
    return _bytes(image + severity * 12.8 * np.stack([noise] * 3, axis=2))


def plasma_noise(image: Array, severity: float, rng: Rng) -> Array:
    time, rounds, sharp = rng.uniform(0, 6 * np.pi), rng.randint(4, 7), rng.uniform(0.5, 1)
    scale, amount = rng.uniform(0.075, 0.2) * len(image), severity * 6.4

    def colour(row: int, column: int) -> list[float]:
        x, y = column / scale, row / scale
        state = np.array([1.0, 1.0, 1.0, 0.0])
        for _ in range(rounds):
            wave = np.array(
                [np.cos(y * state[0] - state[3] + time / state[1]), np.sin(x * state[0] - state[3] + time / state[1])]
            )
            wave = wave / state[2]
            wave += np.array([-wave[1], wave[0]]) * 0.3
            x, y = x + wave[0], y + wave[1]
            state = state * np.array([1.93, 1.15, 2.25 - sharp, time * state[1]])
        return [np.sin(x - time), np.sin((x + y + np.sin(time)) * 0.5), np.sin(y + time)]

    return _bytes((1 - amount / 255) * image + amount * _each_pixel(len(image), colour))


def _glow(place: Array, centre: Array, lengths: list[float], sharpness: float) -> float:
    """How bright a star with rays of these lengths is at a pixel, 0 to 1."""
    away = place - centre
    distance = np.linalg.norm(away)
    turn = (np.arctan2(away[1], away[0]) + np.pi) / (2 * np.pi) * len(lengths)
    ray = int(turn)
    beyond = turn - ray
    here, after = lengths[ray % len(lengths)], lengths[(ray + 1) % len(lengths)]
    length = here + beyond * (after - here)
    bright = (length**2 / (distance**2 + 1e-4)) ** sharpness
    return np.clip((1 - (beyond - 0.5) ** 2) * bright, 0, 1)


def sparkles(image: Array, severity: float, rng: Rng) -> Array:
    side, white = len(image), np.array([255, 255, 255])
    centres, radius = rng.uniform(0, side, size=(5, 2)), severity * 0.01 * side
    bits, counts = Rng(rng.randint(0, 2**32)), rng.randint(50, 200, size=5)
    level = image
    for centre, count in zip(centres, counts, strict=True):
        lengths = [max(1, radius + 0.25 * radius * bits.randn()) for _ in range(count)]

        def lit(row: int, column: int, level: Array = level, centre: Array = centre, rays: Any = lengths) -> Array:
            value = level[row, column, :].astype(np.float32)
            return value + _glow(np.array([row, column]), centre, rays, 1.0) * (white - value)

        level = _each_pixel(side, lit)
    return _bytes(level)


def inverse_sparkles(image: Array, severity: float, rng: Rng) -> Array:
    side, white = len(image), np.array([255, 255, 255])
    centre, radius = rng.uniform(0.25, 0.75, size=2) * side, 0.25 * side
    bits, count = Rng(rng.randint(0, 2**32)), rng.randint(50, 200)
    lengths = [radius + 0.25 * radius * bits.randn() for _ in range(count)]

    def kept(row: int, column: int) -> Array:
        value = image[row, column, :].astype(np.float32)
        return white + _glow(np.array([row, column]), centre, lengths, severity * 6.5 / 50) * (value - white)

    return _bytes(_each_pixel(side, kept))


class _Perlin:
    """Perlin's noise from tables of 256 hashes and gradients, a point at a time."""

    size = 256

    def __init__(self, bits: Rng) -> None:
        size = self.size

        def number() -> int:
            return int(bits.randint(0, 2**31))

        self.slopes = []
        for _ in range(2 * size + 2):
            slope = [(number() % (2 * size) - size) / size for _ in range(2)]
            norm = math.sqrt(slope[0] ** 2 + slope[1] ** 2)
            self.slopes.append((slope[0] / norm, slope[1] / norm))
        self.hashes = list(range(size))
        for i in range(size - 1, -1, -1):
            j = number() % size
            self.hashes[i], self.hashes[j] = self.hashes[j], self.hashes[i]
        self.hashes += self.hashes

    def noise(self, x: float, y: float) -> float:
        cells = []
        for place in (x + 4096.0, y + 4096.0):
            cell = int(place)
            inside = place - cell
            cells.append((cell % 256, (cell + 1) % 256, inside, inside - 1, inside * inside * (3 - 2 * inside)))
        (x0, x1, near_x, far_x, fade_x), (y0, y1, near_y, far_y, fade_y) = cells

        def towards(row: int, column: int, dx: float, dy: float) -> float:
            slope = self.slopes[self.hashes[self.hashes[row] + column]]
            return dx * slope[0] + dy * slope[1]

        left, right = towards(x0, y0, near_x, near_y), towards(x1, y0, far_x, near_y)
        upper = left + fade_x * (right - left)
        left, right = towards(x0, y1, near_x, far_y), towards(x1, y1, far_x, far_y)
        lower = left + fade_x * (right - left)
        return (upper + fade_y * (lower - upper)) * 1.5

    def turbulence(self, x: float, y: float, highest: float) -> float:
        total, octave = 0.0, 1.0
        while octave <= highest:
            total += abs(self.noise(octave * x, octave * y)) / octave
            octave *= 2
        return total


def perlin_noise(image: Array, severity: float, rng: Rng) -> Array:
    alpha, shrink = severity * 0.05, np.eye(2) / (32 * len(image) / 224)
    noise = _Perlin(Rng(rng.randint(0, 2**32)))

    def cloud(row: int, column: int) -> Array:
        place = np.matmul(np.array([row, column]), shrink)
        value = 0.5 * noise.turbulence(place[0], place[1], 16.0) + 0.5
        return np.clip(np.array([value, value, value]), 0, 1.0)

    return _bytes((1 - alpha) * image.astype(np.float32) + 255 * alpha * _each_pixel(len(image), cloud))


def _coloured(bits: Rng, side: int, power: Callable[[float], float]) -> Array:
    """Noise whose spectrum is ``power`` of the frequency, of unit deviation."""
    spectrum = _each_pixel(side, lambda row, column: power(np.linalg.norm(np.array([column, row]) - side / 2)))
    phases = bits.uniform(0, 2 * np.pi, size=(side, side // 2))
    phases = np.concatenate([phases, phases[::-1, ::-1]], axis=1)
    spectrum = spectrum * (np.cos(phases) + np.sin(phases) * 1j)
    noise = np.real(fft.ifft2(np.roll(spectrum, (side // 2, side // 2), axis=(0, 1))))
    return noise / np.std(noise)


def blue_noise_sample(image: Array, severity: float, rng: Rng) -> Array:
    noise = _coloured(Rng(rng.randint(0, 2**32)), len(image), lambda frequency: frequency)
    return _bytes(image * (noise > severity * 0.3 - 2.5)[:, :, None])


def brownish_noise(image: Array, severity: float, rng: Rng) -> Array:
    bits = Rng(rng.randint(0, 2**32))
    noise = [_coloured(bits, len(image), lambda frequency: 1 / (frequency**2 + 1)) for _ in range(3)]
    return _bytes(image + severity * 6.4 * np.stack(noise, axis=2))


def checkerboard_cutout(image: Array, severity: float, rng: Rng) -> Array:
    side, grey = len(image), np.array([128, 128, 128])
    angle = rng.uniform(0, 2 * np.pi)
    size = max(rng.uniform(0.1, 0.25) * side, 1)
    squares = int(4 * side // size)
    grid = Rng(rng.randint(0, 2**32)).uniform(size=(squares, squares)) < severity / 10

    def pixel(row: int, column: int) -> Array:
        u = (np.cos(angle) * row + np.sin(angle) * column) / size
        v = (-np.sin(angle) * row + np.cos(angle) * column) / size
        return image[row, column, :] if int(u % 2) != int(v % 2) or not grid[int(u), int(v)] else grey

    return _bytes(_each_pixel(side, pixel))


def _caustic(place: Array, time: float, size: float) -> Array:
    p = place / size % 1 * 6.28318530718 - 250
    i, total = p.copy(), 1.0
    for n in range(5):
        t = time * (1.0 - (3.5 / (n + 1)))
        i = p + np.array([np.cos(t - i[0]) + np.sin(t + i[1]), np.sin(t - i[1]) + np.cos(t + i[0])])
        total += 1.0 / np.sqrt((p[0] / (np.sin(i[0] + t) / 0.005)) ** 2 + (p[1] / (np.cos(i[1] + t) / 0.005)) ** 2)
    bright = np.clip(np.abs(1.17 - (total / 5.0) ** 1.4) ** 8.0, 0, 1)
    return np.array([bright, bright, bright])


def _refracted(normal: Array, eta: float) -> Array:
    """The direction in which a ray from above goes on behind a surface with this normal."""
    ray = np.array([0.0, 0.0, 1.0])
    if np.abs(np.dot(ray, normal)) >= 1.0 - 1e-3:
        return ray
    out = np.arcsin(np.sin(np.arccos(np.dot(ray, normal))) / eta)
    third = np.cross(ray, normal)
    third /= np.linalg.norm(third)
    axes = np.stack([normal, np.cross(normal, third), third], axis=0)
    return np.matmul(np.linalg.inv(axes), np.array([np.cos(out), np.sin(out), 0.0]))


def caustic_refraction(image: Array, severity: float, rng: Rng) -> Array:
    side = len(image)
    time, size = rng.uniform(0.5, 2.0), rng.uniform(0.75, 1.25) * side
    lens, light = severity * 0.05 * side, severity * 0.2
    caustics = _each_pixel(side, lambda row, column: _caustic(np.array([row, column]), time, size))
    caustics = ndimage.gaussian_filter(caustics, sigma=1)
    unit = image.astype(np.float32) / 255

    def luma(place: Array, step: Array) -> float:
        row, column = place[0] + step[0], place[1] + step[1]
        inside = 0 <= row < side and 0 <= column < side
        return np.dot(caustics[row, column, :] if inside else np.zeros(3), _LUMA)

    def pixel(row: int, column: int) -> Array:
        place = np.array([row, column])
        north, south, west, east = (luma(place, np.array(step)) for step in ((0, -1), (0, 1), (-1, 0), (1, 0)))
        normal = np.array([east - west, south - north, 1.0])
        shift = np.round(_refracted(normal / np.linalg.norm(normal), 4.0) * lens, 3)
        value = _between(unit, place + shift[:2])
        return np.clip(value + (north - south) * light + (east - west) * light, 0, 1)

    return (_each_pixel(side, pixel) * 255).astype(np.uint8)


def circular_motion_blur(image: Array, severity: float, _: Rng) -> Array:
    unit = image.astype(np.float32) / 255
    parts = [2 * i / 20 - 1 for i in range(21)]
    turned = [ndimage.rotate(unit, part * severity * 1.5, reshape=False) for part in parts]
    weights = [math.exp(-2 * part**2) for part in parts]
    total = np.zeros_like(unit)
    for weight, one in zip(weights, turned, strict=True):
        total += weight * one
    return _bytes(total / sum(weights) * 255)


def _wu(row: int, column: int, last_row: int, last_column: int) -> list[tuple[int, int, float]]:
    """Pixels of an anti-aliased line with how far each is covered; a compiled function in the published program."""
    wide, high = abs(last_column - column), abs(last_row - row)
    right, down = (1 if column < last_column else -1), (1 if row < last_row else -1)
    length, error = math.hypot(wide, high) or 1.0, wide - high
    pixels = []
    while True:
        pixels.append((row, column, 1 - abs(error - wide + high) / length))
        old, at = error, column
        if 2 * old >= -wide:
            if column == last_column:
                return pixels
            if old + high < length:
                pixels.append((row + down, column, 1 - abs(old + high) / length))
            error, column = error - high, column + right
        if 2 * old <= high:
            if row == last_row:
                return pixels
            if wide - old < length:
                pixels.append((row, at + right, 1 - abs(wide - old) / length))
            error, row = error + wide, row + down


def lines(image: Array, severity: float, rng: Rng) -> Array:
    side, out = len(image), image.copy()
    angle, variation = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 1.0)
    bits = Rng(rng.randint(0, 2**32))
    for _ in range(int(severity / 10 * side)):
        x, y = side * bits.uniform(), side * bits.uniform()
        turned = angle + 2 * np.pi * variation * (bits.uniform() - 0.5)
        s, c = np.sin(turned) * side, np.cos(turned) * side
        path = _wu(int(x - c), int(y - s), int(x + c), int(y + s))
        path = [(row, column, cover) for row, column, cover in path if 0 <= row < side and 0 <= column < side]
        if path:
            rows, columns, cover = (np.array(part) for part in zip(*path, strict=True))
            cover = cover.reshape(-1, 1)
            out[rows, columns, :] = (1.0 - cover) * out[rows, columns, :].astype(np.float32) + cover * 128
    return out


def ripple(image: Array, severity: float, rng: Rng) -> Array:
    side = len(image)
    wavelength, phase = rng.uniform(0.1, 0.3, size=2) * side, rng.uniform(0, 2 * np.pi, size=2)
    amplitude = np.array([severity * 0.0025 * side] * 2)

    def pixel(row: int, column: int) -> Array:
        place = np.array([row, column])
        return _between(image, place + amplitude * np.sin(2 * np.pi * place / wavelength + phase))

    return _bytes(_each_pixel(side, pixel))


def pinch_and_twirl(image: Array, severity: float, rng: Rng) -> Array:
    cells = 5 if len(image) == 224 else 3
    angles = [[rng.choice([1, -1]) * severity * np.pi / 20 for _ in range(cells)] for _ in range(cells)]
    amount, size = severity * 0.04 + 0.1, len(image) // cells
    radius, level = size / 2, image.astype(np.float32)

    def origin(place: Array, centre: Array, angle: float) -> Array:
        down, right = place - centre
        distance = np.linalg.norm(place - centre)
        if distance > radius or np.round(distance, 3) == 0.0:
            return place
        share = distance / radius
        stretch, turn = np.sin(np.pi * 0.5 * share) ** (-amount), angle * (1 - share) ** 2
        down, right = down * stretch, right * stretch
        cos, sin = np.cos(turn), np.sin(turn)
        return centre + np.array([down * cos - right * sin, down * sin + right * cos])

    for i in range(cells):
        for j in range(cells):
            left, top = i * size, j * size
            centre = np.array([top + radius, left + radius])
            level[top : top + size, left : left + size] = [
                [
                    _between(level, origin(np.array([row, column]), centre, angles[i][j]))
                    for column in range(left, left + size)
                ]
                for row in range(top, top + size)
            ]
    return _bytes(level)


def transverse_chromatic_abberation(image: Array, severity: float, rng: Rng) -> Array:
    side, out = len(image), image.copy()
    factors = np.array([1.0, 1.0 + severity * 0.025, 1.0 + severity * 0.05])[rng.permutation(3)]
    for channel, factor in enumerate(factors):
        large = ndimage.zoom(image[:, :, channel], factor, prefilter=False)
        edge = (len(large) - side) // 2
        out[:, :, channel] = large[edge : edge + side, edge : edge + side]
    return out


_FIFTEEN: tuple[Form, ...] = (
    *(single_frequency_greyscale, cocentric_sine_waves, plasma_noise, sparkles, inverse_sparkles, perlin_noise),
    *(blue_noise_sample, brownish_noise, checkerboard_cutout, caustic_refraction, circular_motion_blur, lines),
    *(ripple, pinch_and_twirl, transverse_chromatic_abberation),
)
FORMS: dict[str, Form] = {form.__name__: form for form in _FIFTEEN}

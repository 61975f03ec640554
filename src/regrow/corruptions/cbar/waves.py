"""Waves added to an image: one frequency, distorted rings, plasma."""

from __future__ import annotations

import numpy as np

from regrow.corruptions.cbar.grid import SOURCE, between, clipped, coordinates, strength
from regrow.corruptions.draws import Integers, Stream
from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import Corruption, Draws, Images, Shape


def draw_single_frequency_greyscale(stream: Stream, _: Shape, severity: float) -> Draws:
    """Angular frequencies of columns and rows in radians a pixel (n, 2), and phases (n,)."""
    first = between(stream, -np.pi, np.pi)
    size = abs(first)
    second = -size + (size + size) * stream.uniform()
    both, order = np.stack([first, second], axis=1), stream.permutation(2)
    return np.take_along_axis(both, order, axis=1), between(stream, 0, 2 * np.pi)


def single_frequency_greyscale(images: Images, draws: tuple[Floats, Floats], severity: float) -> Images:
    """Add a plane wave, the same in all channels; (N, H, H, 3)."""
    rows, columns = coordinates(images.shape[1])
    frequency, phase = draws
    wave = columns * frequency[:, 0, None, None] + rows * frequency[:, 1, None, None] + phase[:, None, None]
    return clipped(images + (strength(severity, 196) * np.sin(wave))[..., None])


SINGLE_FREQUENCY_GREYSCALE = Corruption(
    name="single_frequency_greyscale",
    family="noise",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_single_frequency_greyscale,
    apply=single_frequency_greyscale,
    settings={"imagenet": (1, 1.5, 2, 4.5, 5)},
)


def draw_cocentric_sine_waves(stream: Stream, shape: Shape, severity: float) -> Draws:
    """Centre (column, row), distortion frequency and amplitude, and ring width in pixels; (n, 5)."""
    side = shape[0]
    centre = between(stream, 0, side, (2,))
    rest = [between(stream, 0, high) for high in (10, side / 10, side / 10)]
    return np.concatenate([centre, np.stack(rest, axis=1)], axis=1)


def cocentric_sine_waves(images: Images, draws: Floats, severity: float) -> Images:
    """Add saw-toothed rings whose distance from the centre wobbles with the angle; (N, H, H, 3)."""
    rows, columns = coordinates(images.shape[1])
    x0, y0, frequency, amplitude, ring = (part[:, None, None] for part in draws.T)
    x, y = columns - x0, rows - y0
    angle = np.arctan2(x, y) * frequency
    wave = ((np.sqrt(x**2 + y**2) + np.sin(angle) * amplitude) % ring) / ring
    wave -= 1 / 2
    return clipped(images + (strength(severity, 128) * wave)[..., None])


COCENTRIC_SINE_WAVES = Corruption(
    name="cocentric_sine_waves",
    family="noise",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_cocentric_sine_waves,
    apply=cocentric_sine_waves,
    settings={"imagenet": (3, 5, 8, 9, 10)},
)


def draw_plasma_noise(stream: Stream, shape: Shape, severity: float) -> Draws:
    """Time, sharpness and scale in pixels (n, 3), and iterations (n,)."""
    time = between(stream, 0, 6 * np.pi)
    rounds = stream.integers(4, 7)
    sharp = between(stream, 0.5, 1)
    return np.stack([time, sharp, between(stream, 0.075, 0.2) * shape[0]], axis=1), rounds


def plasma_noise(images: Images, draws: tuple[Floats, Integers], severity: float) -> Images:
    """Mix with a colourful field of waves within waves; (N, H, H, 3)."""
    rows, columns = coordinates(images.shape[1])
    amount = strength(severity, 64)
    out = np.empty_like(images)
    for image, target, (time, sharp, scale), rounds in zip(images, out, *draws, strict=True):
        waves = _plasma(columns / scale, rows / scale, time, sharp, int(rounds))
        target[...] = clipped((1 - amount / 255) * image + amount * waves)
    return out


def _plasma(columns: Floats, rows: Floats, time: float, sharp: float, rounds: int) -> Floats:
    x, y = np.broadcast_arrays(columns, rows)
    fast, slow, weight = 1.0, 1.0, 1.0
    for _ in range(rounds):
        across, down = np.cos(y * fast + time / slow) / weight, np.sin(x * fast + time / slow) / weight
        x, y = x + (across + -down * 0.3), y + (down + across * 0.3)
        fast, slow, weight = fast * 1.93, slow * 1.15, weight * (2.25 - sharp)
    return np.stack([np.sin(x - time), np.sin((x + y + np.sin(time)) * 0.5), np.sin(y + time)], axis=2)


PLASMA_NOISE = Corruption(
    name="plasma_noise",
    family="noise",
    source=SOURCE,
    benchmark="c-bar",
    draw=draw_plasma_noise,
    apply=plasma_noise,
    settings={"imagenet": (4.75, 7, 8.5, 9.25, 10)},
)

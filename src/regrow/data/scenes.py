"""Generated pictures and clips: what is in the folders that ``regrow.data.generated`` writes.

A picture is grey 128 plus

* a background whose power falls as 1 / f^2 with spatial frequency f, as that of photographs does (Field 1987, Relations
  between the statistics of natural images and the response properties of cortical cells, J. Opt. Soc. Am. A 4), mostly
  of one brightness in all channels, which says nothing of the class;
* the low cue: three coloured waves of one or two cycles a picture, fixed for each class, moved a little;
* the high cue: two waves of a few pixels' period near the class's frequency, of random phase and colour;
* noise, independent for each value.

A clip is a background of that kind that moves by the class's velocity, and before it a disc with the class's texture
and colour on the class's curve. All of it is drawn from raw Philox words, see ``regrow.seeds``.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft

from regrow import seeds
from regrow.data.cues import COLOURS, COSINE, HIGH_RING
from regrow.data.spec import Images, Labels

Reals = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int32]

#: Raise whenever a byte of any picture or clip changes.
VERSION = 1
#: First key of the streams of everything here.
KEY = seeds.name_key("generated")

#: Standard deviation of the background, largest amplitude of a wave of either cue, and largest noise, in grey values:
#: a small network learns ten classes from 2,000 thumbnails, to some nine in ten right.
BACKGROUND, LOW, HIGH, NOISE = 28.0, 9.0, 6.0, 8.0
#: Low-frequency waves that classes are made of: (fx, fy) in cycles a picture.
LOW_RING = np.array([(1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2), (2, 1), (1, 2), (2, -1), (1, -2)], np.int32)
#: Brightness and two contrasts of colour, as red, green and blue.
MIX = np.array([(0.95, 0.95, 0.95), (0.25, 0.0, -0.25), (-0.15, 0.25, -0.15)], np.float32)
#: High frequencies by their angle: cycles a 32 px, so that neighbouring classes have neighbouring textures.
TEXTURES = HIGH_RING[np.lexsort((HIGH_RING[:, 0], np.arctan2(HIGH_RING[:, 1], HIGH_RING[:, 0])))]

#: Velocities of backgrounds, in pixels a frame: right and down.
VELOCITIES = np.array([(2, 0), (0, 2), (-2, 0), (0, -2), (1, 1), (-1, 1), (1, -1), (-1, -1)], np.int32)
#: Turns of the disc's curve a 256 frames, across and down.
CURVES = np.array([(4, 4), (8, 4), (4, 8), (8, 8), (12, 4), (4, 12), (0, 8), (8, 0)], np.int32)


class Book(NamedTuple):
    """What classes look like.

    Attributes:
        low: int32 (K, 3, 4): waves (fx, fy, phase in 1/256 turns, colour), frequencies in cycles a picture.
        high: int32 (K, 2): the texture's (fx, fy) in cycles a 32 px.
    """

    low: Whole
    high: Whole


def book(name: str, n_classes: int) -> Book:
    """The classes of a set; they depend on its name, and on no seed."""
    words = seeds.raw(0, "data", KEY, seeds.name_key(name), n=n_classes * 16).reshape(n_classes, 16)
    order = np.argsort(words[:, : len(LOW_RING)], axis=1, kind="stable")[:, :3]
    phase = (words[:, 10:13] >> np.uint64(56)).astype(np.int32)
    colour = _below(words[:, 13:16], len(COLOURS))
    low = np.concatenate([LOW_RING[order], phase[..., None], colour[..., None]], axis=2)
    return Book(low, TEXTURES[np.arange(n_classes) * len(TEXTURES) // n_classes])


def pictures(
    labels: Labels, classes: Book, size: tuple[int, int], seed: int, *keys: int, grain: int = 1, noise: float = NOISE
) -> Images:
    """Pictures of given classes.

    Args:
        labels: class of each, int64 (n,).
        classes: what classes look like.
        size: height and width in pixels.
        seed: of the pictures.
        keys: further coordinates of their streams; the first pictures do not depend on ``n``.
        grain: pixels that the period of the high cue is stretched by: 1 for thumbnails.
        noise: largest noise in grey values.

    Returns:
        uint8 (n, H, W, 3).
    """
    (height, width), n = size, len(labels)
    words = seeds.raw(seed, "data", KEY, *keys, 0, n=n * 16).reshape(n, 16)
    white = _bytes((n, height, width, 3), seed, *keys, 1)
    found = fractal(white) * (BACKGROUND * _between(words[:, :1], 0.6, 1.2)[:, :, None, None])
    for wave in range(3):
        fx, fy, phase, colour = np.moveaxis(classes.low[labels, wave], 1, 0)
        moved = phase + ((_below(words[:, 1], 41) - 20) * fx + (_below(words[:, 2], 41) - 20) * fy)
        angles = (fx * 256, width), (fy * 256, height)
        strength = LOW * _between(words[:, 3 + wave], 0.3, 1.0)
        found += _wave(*angles, moved, colour, strength, size)
    for wave in range(2):
        fx, fy = (classes.high[labels, axis] + _below(words[:, 6 + 2 * wave + axis], 3) - 1 for axis in (0, 1))
        colour, phase = _below(words[:, 10 + wave], len(COLOURS)), _below(words[:, 12 + wave], 256)
        strength = HIGH * _between(words[:, 14 + wave], 0.3, 1.0)
        found += _wave((fx * 8, grain), (fy * 8, grain), phase, colour, strength, size)
    grains = _bytes((n, height, width, 3), seed, *keys, 2)
    return _grey_values(found + (grains * np.float32(noise / 128) - np.float32(noise)))


def fractal(white: npt.NDArray[np.uint8]) -> Reals:
    """White noise turned into noise whose power falls as 1 / f^2; float32 (n, H, W, 3), of standard deviation 1.

    Args:
        white: independent bytes, uint8 (n, H, W, 3).
    """
    height, width = white.shape[1:3]
    centred = white.astype(np.float32) - np.float32(127.5)
    spectrum = scipy.fft.rfft2(centred, axes=(1, 2)) * _falling(height, width)[:, :, None]
    made = scipy.fft.irfft2(spectrum, (height, width), axes=(1, 2))
    mix = MIX / np.sqrt((MIX**2).sum(0))
    # added one by one: what a matrix product rounds to depends on the processor
    return np.asarray(sum(made[..., i, None] * mix[i] for i in range(len(mix))), np.float32)


@functools.lru_cache(maxsize=16)
def _falling(height: int, width: int) -> Reals:
    """1 / f on the half plane of a real transform, for bytes of white noise, the mean as the lowest frequency."""
    f = np.hypot(scipy.fft.fftfreq(height)[:, None], scipy.fft.fftfreq(width)[None])
    gain = 1 / np.maximum(f, 1 / max(height, width))
    gain /= np.sqrt((gain**2).mean() * (256**2 - 1) / 12)
    return np.asarray(gain[:, : width // 2 + 1], np.float32)


def _wave(
    across: tuple[Whole, int],
    down: tuple[Whole, int],
    phase: Whole,
    colour: Whole,
    strength: Reals,
    size: tuple[int, int],
) -> Reals:
    """One wave in each picture; angles are ``(1/256 turns, per so many pixels)``."""
    x, y = np.arange(size[1], dtype=np.int32), np.arange(size[0], dtype=np.int32)
    along = (across[0][:, None] * x // across[1]).astype(np.uint8)
    below = (down[0][:, None] * y // down[1] + phase[:, None]).astype(np.uint8)
    wave = COSINE[along[:, None, :] + below[:, :, None]].astype(np.float32) / 2**14
    amplitude = np.asarray(strength[:, None] * COLOURS[colour] / 4, np.float32)
    return np.asarray(wave[..., None] * amplitude[:, None, None], np.float32)


def clip(group: str, name: str, n_frames: int, size: tuple[int, int], seed: int) -> Images:
    """A clip of a class.

    Args:
        group: the class: it sets the velocity, and the disc's curve, texture and colour.
        name: of the clip, which sets the rest.
        n_frames: how many frames.
        size: height and width in pixels.
        seed: of the clip.

    Returns:
        uint8 (n_frames, H, W, 3).
    """
    (height, width), own = size, seeds.raw(0, "data", KEY, seeds.name_key(f"class {group}"), n=6)
    keys = (seeds.name_key("clip"), seeds.name_key(f"{group}/{name}"))
    words = seeds.raw(seed, "data", KEY, *keys, 0, n=4)
    scene = fractal(_bytes((1, 2 * height, 2 * width, 3), seed, *keys, 1))[0] * np.float32(1.3 * BACKGROUND)
    right, down = velocity(group)
    turns, radius = CURVES[_below(own[1], len(CURVES))], 0.18 * min(size) * _between(words[:1], 0.8, 1.2)[0]
    colour, phase = COLOURS[_below(own[2], len(COLOURS))] / 4, _below(words[1:3], 256)
    fx, fy = TEXTURES[_below(own[3], len(TEXTURES))] // 2
    y, x = np.mgrid[-(height // 2) : height - height // 2, -(width // 2) : width - width // 2].astype(np.int32)
    frames = np.empty((n_frames, height, width, 3), np.uint8)
    for number, frame in enumerate(frames):
        rows = (np.arange(height) - down * number) % (2 * height)
        columns = (np.arange(width) - right * number) % (2 * width)
        angles = (turns * number + phase + np.array([0, 64])) % 256
        at_x, at_y = np.round(COSINE[angles] / 2**14 * (0.28 * width, 0.28 * height)).astype(np.int32)
        inside = ((x - at_x) ** 2 + (y - at_y) ** 2 < radius**2)[..., None]
        texture = COSINE[((x - at_x) * fx + (y - at_y) * fy) * 8 % 256].astype(np.float32) / 2**14
        disc = texture[..., None] * 30 + (colour * 60).astype(np.float32)
        grains = _bytes(frame.shape, seed, *keys, 2, number)
        frame[...] = _grey_values(np.where(inside, disc, scene[rows][:, columns]) + (grains * np.float32(1 / 32) - 4))
    return frames


def velocity(group: str) -> tuple[int, int]:
    """How the background of a class's clips moves: pixels a frame to the right, and down."""
    own = seeds.raw(0, "data", KEY, seeds.name_key(f"class {group}"), n=1)
    right, down = VELOCITIES[_below(own[0], len(VELOCITIES))]
    return int(right), int(down)


def _grey_values(around_zero: Reals) -> Images:
    return np.clip(np.rint(around_zero + 128), 0, 255).astype(np.uint8)


def _bytes(shape: tuple[int, ...], seed: int, *keys: int) -> npt.NDArray[np.uint8]:
    """Independent bytes of a stream."""
    n = int(np.prod(shape))
    words = seeds.raw(seed, "data", KEY, *keys, n=-(-n // 8)).astype("<u8")
    return words.view(np.uint8)[:n].reshape(shape)


def _below(words: Any, bound: int) -> Any:
    """Whole numbers in [0, bound), from the upper half of each word."""
    return ((words >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)).astype(np.int32)


def _between(words: seeds.UINT64, low: float, high: float) -> Reals:
    return (low + (high - low) * seeds.uniform(words)).astype(np.float32)

"""The images of ``cues``: two cues of known frequency in every image, made with whole numbers alone.

Each 32 x 32 colour image is grey 128 plus waves ``amplitude * colour * cos(2 pi (fx x + fy y) / 32 + phase)`` of
whole frequencies (fx, fy), and noise. With rho = sqrt(fx^2 + fy^2), in cycles per image:

* the low cue, three waves of 1 <= rho <= sqrt(5) with the class's frequencies, phases and colours (a layout of coloured
  blobs), moved by up to two pixels;
* the high cue, two waves of rho >= 9 near the class's frequency (a texture, tilted by 18 degrees per class), of random
  phase and colour, so that its place says nothing;
* distractors that say nothing about the class: two waves of 1 <= rho <= 4, two of 9 <= rho <= 15, and a shift of
  each colour channel (rho = 0);
* noise, uniform and independent for each value.

Waves of whole frequencies fill single bins of the discrete Fourier transform, so an ideal mask at any radius
between 4 and 9 separates the cues exactly, up to the rounding to whole grey values. The amplitudes are bounded so that
nothing is ever clipped. Only raw Philox words and integer arithmetic are used: the bytes are the same on every machine.

Options scale each part. ``train_low`` and ``train_high`` are shares of a cue's strength that the training images alone
keep: at 0 a network is trained without that cue and tested with both, so that what it relies on is known.

Mirroring an image swaps the textures of two classes: train on ``cues`` without flips.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from regrow import seeds
from regrow.data.spec import Images, ImageSet, Labels, Options
from regrow.errors import InputError

#: Raise whenever the bytes of any image change.
VERSION = 1
SIZE, CLASSES = 32, 10

#: round(2^14 cos(2 pi k / 256)) for k = 0 .. 64; the other quarters follow by symmetry.
_QUARTER = """
    16384 16379 16364 16340 16305 16261 16207 16143 16069 15986 15893 15791 15679 15557 15426 15286 15137 14978 14811
    14635 14449 14256 14053 13842 13623 13395 13160 12916 12665 12406 12140 11866 11585 11297 11003 10702 10394 10080
    9760 9434 9102 8765 8423 8076 7723 7366 7005 6639 6270 5897 5520 5139 4756 4370 3981 3590 3196 2801 2404 2006 1606
    1205 804 402 0
"""
_q = np.array(_QUARTER.split(), np.int32)
COSINE: npt.NDArray[np.int32] = np.concatenate([_q[:-1], -_q[:0:-1], -_q[:-1], _q[:0:-1]])

#: Signed weights of red, green and blue, in quarters.
COLOURS = np.array([(4, -2, -2), (-2, 4, -2), (-2, -2, 4), (3, 3, 3), (4, -4, 0), (0, 4, -4), (-4, 0, 4)], np.int32)
#: By class three waves (fx, fy, phase in 1/256 turns, colour); chosen among random books for being far apart.
LOW = np.array(
    [
        [(1, 0, 128, 2), (1, -2, 184, 3), (0, 2, 120, 2)],
        [(2, 0, 248, 1), (2, -1, 104, 5), (1, 0, 80, 1)],
        [(1, 2, 24, 6), (0, 1, 176, 0), (1, 1, 248, 2)],
        [(1, -1, 0, 6), (1, 1, 64, 2), (0, 2, 64, 6)],
        [(1, -2, 184, 6), (2, 0, 224, 4), (2, 1, 224, 2)],
        [(1, 1, 248, 0), (2, 0, 136, 3), (1, 0, 208, 1)],
        [(1, -2, 152, 1), (1, 1, 248, 5), (1, 0, 104, 6)],
        [(1, -2, 136, 1), (1, 2, 240, 2), (0, 1, 16, 3)],
        [(1, 2, 56, 5), (1, -1, 168, 2), (2, -1, 128, 3)],
        [(1, 2, 192, 1), (2, 0, 176, 6), (0, 1, 160, 1)],
    ],
    np.int32,
)
#: By class the middle (fx, fy) of its texture; each wave is at most one away from it in either direction.
HIGH = np.array([(11, 0), (10, 3), (9, 6), (6, 9), (3, 10), (0, 11), (-3, 10), (-6, 9), (-9, 6), (-10, 3)], np.int32)


def _ring(low: int, high: int) -> npt.NDArray[np.int32]:
    """One of each pair +-(fx, fy) with low <= fx^2 + fy^2 <= high, in a fixed order."""
    side = range(-SIZE // 2 + 1, SIZE // 2)
    found = [(x, y) for x in side for y in side if low <= x * x + y * y <= high and (y > 0 or (y == 0 and x > 0))]
    return np.array(found, np.int32)


LOW_RING, HIGH_RING = _ring(1, 16), _ring(81, 225)

#: Largest amplitude of one wave, in 1/64 grey values: low cue, high cue, low distractor, high distractor.
AMPLITUDES = {"low": 14 * 64, "high": 10 * 64, "low_distractor": 8 * 64, "high_distractor": 6 * 64}
#: Largest noise, and largest shift of all values of an image by channel, in grey values.
NOISE, OFFSET = 16, 20
#: Settings and their defaults; all but ``seed`` are factors, kept in steps of 1/256.
DEFAULTS: Mapping[str, float] = {
    "low": 1.0,
    "high": 1.0,
    "noise": 1.0,
    "distractors": 1.0,
    "jitter": 1.0,
    "train_low": 1.0,
    "train_high": 1.0,
    "seed": 0,
}
#: Settings that cannot be above 1.
_SHARES = ("jitter", "train_low", "train_high")
#: Number of each split in its streams: never renumber.
SPLITS = {"train": 0, "test": 1, "conflict": 2, "low_only": 3, "high_only": 4}

_WORDS = 33  # words per image
_CHUNK = 64  # images rendered at a time, so that the working set stays in the cache


class Cues(NamedTuple):
    """Images and what each cue says: uint8 (N, 32, 32, 3), and int64 (N,) or None where that cue is absent."""

    images: Images
    low: Labels | None
    high: Labels | None


class _Waves(NamedTuple):
    """K waves per image: frequencies and phases (N, K); amplitudes by channel (N, K, 3), in 1/64 grey values."""

    fx: npt.NDArray[np.int32]
    fy: npt.NDArray[np.int32]
    phase: npt.NDArray[np.int32]
    amplitude: npt.NDArray[np.int32]


def factors(options: Options, split: str) -> dict[str, int]:
    """Settings of a split as whole numbers: the seed as it is, factors in 1/256, cues as strong as they are there.

    Raises:
        InputError: a seed that is no whole number, a share above 1, or amplitudes that could leave 0..255.
    """
    if options["seed"] != int(options["seed"]):
        raise InputError(f"option 'seed' of data set 'cues' must be a whole number, got {options['seed']}.")
    for key in _SHARES:
        if options[key] > 1:
            raise InputError(f"option {key!r} of data set 'cues' must be from 0 to 1, got {options[key]}.")
    whole = {key: round(value * 256) for key, value in options.items() if key != "seed"}
    reach = (
        3 * AMPLITUDES["low"] * whole["low"]
        + 2 * AMPLITUDES["high"] * whole["high"]
        + 2 * (AMPLITUDES["low_distractor"] + AMPLITUDES["high_distractor"]) * whole["distractors"]
        + 64 * OFFSET * whole["distractors"]
        + 64 * NOISE * whole["noise"]
    )
    if reach > 126 * 64 * 256:
        raise InputError(
            f"these options of data set 'cues' reach {reach / (64 * 256):.0f} grey values around 128; at most 126 fit.",
            "lower low, high, noise or distractors.",
        )
    for cue in ("low", "high"):
        share = whole.pop(f"train_{cue}")
        whole[cue] = whole[cue] * (share if split == "train" else 256) >> 8
    return {**whole, "seed": int(options["seed"])}


def generate(split: str, n: int, options: Options = DEFAULTS) -> Cues:
    """The first ``n`` images of a split; they do not depend on ``n``.

    Args:
        split: "train" or "test" (the cues agree), "conflict" (they name different classes), "low_only", "high_only".
        n: how many; of every ten in a row each class has one.
        options: all settings, see ``DEFAULTS``; another seed gives other images of the same classes.

    Example:
        >>> cues = generate("conflict", 20)
        >>> bool((cues.low == cues.high).any()), cues.images.shape
        (False, (20, 32, 32, 3))
    """
    whole = factors(options, split)
    seed, number = whole["seed"], SPLITS[split]
    words = seeds.raw(seed, "cues", number, 0, n=n * _WORDS).reshape(n, _WORDS)
    blocks = -(-n // CLASSES)
    order = seeds.raw(seed, "cues", number, 1, n=blocks * CLASSES).reshape(blocks, CLASSES)
    labels = np.argsort(order, axis=1, kind="stable").reshape(-1)[:n].astype(np.int64)
    low = high = labels
    if split == "conflict":
        high = (labels + 1 + _below(words[:, 32], CLASSES - 1)) % CLASSES
    parts = [_distractors(words, whole)]
    if split != "high_only":
        parts.append(_low(words, low, whole))
    if split != "low_only":
        parts.append(_high(words, high, whole))
    waves = _Waves(*(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))
    images = _render(waves)
    raw = seeds.raw(seed, "cues", number, 2, n=n * SIZE * SIZE * 3 // 8).astype("<u8").view(np.uint8)
    reach = NOISE * whole["noise"] >> 8  # a byte b in 0..255 becomes floor(b (2 reach + 1) / 256) - reach
    images += ((_below(words[:, 29:32], 257) - 128) * (OFFSET * whole["distractors"]) >> 15)[:, None, None]
    images += ((raw.reshape(images.shape).astype(np.int32) * (2 * reach + 1)) >> 8) - reach
    return Cues(images.astype(np.uint8), None if split == "high_only" else low, None if split == "low_only" else high)


def _below(words: seeds.UINT64, bound: int) -> npt.NDArray[np.int32]:
    """Whole numbers in [0, bound), from the upper half of each word."""
    return ((words >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)).astype(np.int32)


def _amplitudes(
    words: seeds.UINT64, largest: int, factor: int, jitter: int, colour: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """``largest`` times the factor, lessened by up to half the jitter; by channel, shape (N, K, 3)."""
    keep = 256 - (_below(words, 129) * jitter >> 8)
    return ((largest * factor >> 8) * keep >> 8)[..., None] * COLOURS[colour] >> 2


def _low(words: seeds.UINT64, labels: Labels, whole: Mapping[str, int]) -> _Waves:
    fx, fy, phase, colour = np.moveaxis(LOW[labels], 2, 0)
    # A shift of one pixel turns a wave by 8 fx steps of 1/256 turn; shifts go up to 16 eighths of a pixel.
    right, down = ((_below(words[:, i], 33) - 16) * whole["jitter"] >> 8 for i in (0, 1))
    moved = phase + fx * right[:, None] + fy * down[:, None]
    return _Waves(fx, fy, moved, _amplitudes(words[:, 2:5], AMPLITUDES["low"], whole["low"], whole["jitter"], colour))


def _high(words: seeds.UINT64, labels: Labels, whole: Mapping[str, int]) -> _Waves:
    reach = 1 if whole["jitter"] else 0
    place = _below(words[:, 5:7], (2 * reach + 1) ** 2)
    fx = HIGH[labels][:, None, 0] + place // (2 * reach + 1) - reach
    fy = HIGH[labels][:, None, 1] + place % (2 * reach + 1) - reach
    colour = _below(words[:, 11:13], len(COLOURS))
    amplitude = _amplitudes(words[:, 9:11], AMPLITUDES["high"], whole["high"], whole["jitter"], colour)
    return _Waves(fx, fy, _below(words[:, 7:9], 256), amplitude)


def _distractors(words: seeds.UINT64, whole: Mapping[str, int]) -> _Waves:
    parts = []
    for start, ring, kind in ((13, LOW_RING, "low_distractor"), (21, HIGH_RING, "high_distractor")):
        frequency, phase, colour, size = (words[:, start + i : start + i + 2] for i in (0, 2, 4, 6))
        fx, fy = np.moveaxis(ring[_below(frequency, len(ring))], 2, 0)
        hue = _below(colour, len(COLOURS))
        amplitude = _amplitudes(size, AMPLITUDES[kind], whole["distractors"], whole["jitter"], hue)
        parts.append(_Waves(fx, fy, _below(phase, 256), amplitude))
    return _Waves(*(np.concatenate(part, axis=1) for part in zip(*parts, strict=True)))


def _render(waves: _Waves) -> npt.NDArray[np.int32]:
    """Grey 128 plus the waves, rounded to whole grey values: int32, shape (N, 32, 32, 3)."""
    n, k = waves.fx.shape
    place = np.arange(SIZE, dtype=np.int32)
    # Angles in 1/256 turn: sums of bytes wrap around by themselves.
    across = (8 * waves.fx[..., None] * place).astype(np.uint8)
    down = (8 * waves.fy[..., None] * place + waves.phase[..., None]).astype(np.uint8)
    images = np.empty((n, SIZE, SIZE, 3), np.int32)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        total = np.full((len(across[rows]), 3, SIZE, SIZE), (128 << 20) + (1 << 19), np.int32)
        for i in range(k):
            wave = COSINE[down[rows, i, :, None] + across[rows, i, None, :]]
            for channel in range(3):
                total[:, channel] += waves.amplitude[rows, i, channel, None, None] * wave
        images[rows] = (total >> 20).transpose(0, 2, 3, 1)
    return images


def reliance(predictions: npt.NDArray[np.integer], images: ImageSet) -> dict[str, float]:
    """How far answers follow each cue where the two conflict.

    Args:
        predictions: classes, shape (N,), for the images in order.
        images: the split "conflict", or a part of it.

    Returns:
        ``low``, ``high``, ``other``: shares of the answers, in [0, 1], that name the class of the low cue, of the high
        cue, or of neither; and ``n``. Chance is 0.1, 0.1, 0.8.

    Raises:
        InputError: a set without conflict, or another number of predictions.

    Example:
        >>> from regrow.data import load
        >>> conflict = load("cues", "conflict", n=50)
        >>> reliance(conflict.low_labels, conflict)
        {'low': 1.0, 'high': 0.0, 'other': 0.0, 'n': 50}
    """
    if images.low_labels is None or images.high_labels is None or (images.low_labels == images.high_labels).any():
        raise InputError(
            f"reliance needs images whose cues conflict, got {images.spec.name} {images.split}.",
            'take load("cues", "conflict").',
        )
    if np.shape(predictions) != images.low_labels.shape:
        raise InputError(f"reliance got {np.shape(predictions)} predictions for {len(images)} images.")
    low = int((predictions == images.low_labels).sum())
    high = int((predictions == images.high_labels).sum())
    n = len(images)
    return {"low": low / n, "high": high / n, "other": (n - low - high) / n, "n": n}

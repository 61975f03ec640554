"""The JPEG round trip of the published sets: IJG libjpeg 9's pixels by integer array arithmetic, without that library.

The published files were written by libjpeg 9a to 9d, which shrink and enlarge the chroma planes inside the transform: a
16 x 16 forward DCT of which 8 x 8 coefficients are kept, and back. Today's libjpeg-turbo gives other pixels. Entropy
coding loses nothing and is left out. All quantities are whole numbers below 2**53, so float64 products are exact, in
any order and any batch.
"""

from __future__ import annotations

import functools
import io

import numpy as np
import numpy.typing as npt

from regrow.corruptions.pixels import Floats
from regrow.corruptions.registry import Corruption, Images

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4; IJG libjpeg 9a-9d"

#: Quality of the files in which ImageNet-C and Tiny-ImageNet-C are published.
STORED_QUALITY = 85

# Rows of the forward transforms as libjpeg's factorisations round them: ideal cosines times 8192, some a unit off.
_F8 = """
 8192   8192   8192   8192   8192   8192   8192   8192
11363   9633   6437   2260  -2260  -6437  -9633 -11363
10703   4433  -4433 -10703 -10703  -4433   4433  10703
 9633  -2259 -11362  -6436   6436  11362   2259  -9633
 8192  -8192  -8192   8192   8192  -8192  -8192   8192
 6437 -11362   2261   9633  -9633  -2261  11362  -6437
 4433 -10704  10704  -4433  -4433  10704 -10704   4433
 2260  -6436   9633 -11363  11363  -9633   6436  -2260
"""
_F16_LEFT = """
 8192   8192   8192   8192   8192   8192   8192   8192
11529  11086  10217   8956   7350   5461   3363   1135
11363   9633   6436   2260  -2260  -6436  -9633 -11363
11086   7350   1136  -5461 -10217 -11529  -8956  -3363
10703   4433  -4433 -10703 -10703  -4433   4433  10703
10217   1136  -8955 -11086  -3363   7350  11529   5461
 9633  -2260 -11363  -6437   6437  11363   2260  -9633
 8956  -5461 -11086   1137  11530   3363 -10217  -7350
"""
_G16_TOP = """
 8192  11529  11363  11086  10703  10217   9632   8956
 8192  11086   9633   7350   4433   1136  -2260  -5461
 8192  10217   6437   1136  -4433  -8955 -11363 -11086
 8192   8956   2260  -5461 -10703 -11086  -6436   1137
 8192   7350  -2260 -10217 -10703  -3363   6436  11529
 8192   5461  -6437 -11529  -4433   7349  11363   3363
 8192   3363  -9633  -8955   4433  11529   2260 -10217
 8192   1136 -11363  -3363  10703   5461  -9632  -7350
"""
# The tables of the JPEG standard's annex K, as libjpeg scales them.
_LUMA = """
16 11 10 16  24  40  51  61
12 12 14 19  26  58  60  55
14 13 16 24  40  57  69  56
14 17 22 29  51  87  80  62
18 22 37 56  68 109 103  77
24 35 55 64  81 104 113  92
49 64 78 87 103 121 120 101
72 92 95 98 112 100 103  99
"""
_CHROMA_CORNER = "17 18 24 47  18 21 26 66  24 26 56 99  47 66 99 99"


def _grid(text: str, columns: int = 8) -> npt.NDArray[np.int64]:
    return np.array(text.split(), np.int64).reshape(-1, columns)


_ALTERNATE = np.array([1, -1] * 4)


def forward_matrix(size: int) -> npt.NDArray[np.int64]:
    """Forward transform of ``size`` (8 or 16) samples to 8 coefficients, (8, size), in units of 2**-13."""
    if size == 8:
        return _grid(_F8)
    left = _grid(_F16_LEFT)
    return np.concatenate([left, left[:, ::-1] * _ALTERNATE[:, None]], axis=1)


def inverse_matrix(size: int) -> npt.NDArray[np.int64]:
    """Inverse transform of 8 coefficients to ``size`` (8 or 16) samples, (size, 8), in units of 2**-13."""
    if size == 8:
        return _grid(_F8).T
    top = _grid(_G16_TOP)
    return np.concatenate([top, top[::-1] * _ALTERNATE])


@functools.lru_cache(maxsize=64)
def quantisation_tables(quality: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Divisors of luma and chroma, (8, 8) each, vertical frequency first.

    Args:
        quality: 1 to 100; beyond, the nearest of these.

    Example:
        >>> luma, chroma = quantisation_tables(50)
        >>> int(luma[0, 0]), int(chroma[0, 0])
        (16, 17)
    """
    quality = min(max(int(quality), 1), 100)
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    chroma = np.full((8, 8), 99)
    chroma[:4, :4] = _grid(_CHROMA_CORNER, 4)
    scaled = [np.clip((base * percent + 50) // 100, 1, 255) for base in (_grid(_LUMA), chroma)]
    return scaled[0], scaled[1]


def to_ycc(images: Images) -> list[npt.NDArray[np.float32]]:
    """Y, Cb and Cr of (N, H, W, 3) as whole float32 numbers, (N, H, W) each; every sum is below 2**24."""
    red, green, blue = (images[..., k].astype(np.float32) for k in range(3))
    scale = np.float32(2.0**-16)
    luma = red * 19595 + green * 38470 + blue * 7471 + 32768
    cb = red * -11058 + green * -21710 + blue * 32768 + (8388608 + 32767)
    cr = red * 32768 + green * -27439 + blue * -5329 + (8388608 + 32767)
    return [np.floor(plane * scale) for plane in (luma, cb, cr)]


@functools.cache
def _chroma_terms() -> tuple[npt.NDArray[np.int16], ...]:
    """What Cr adds to red, Cb to blue (shifted), and both to green (not yet shifted), by byte."""
    level = np.arange(256) - 128
    red, blue = ((91881 * level + 32768) >> 16), ((116130 * level + 32768) >> 16)
    return red.astype(np.int16), blue.astype(np.int16)


def to_rgb(luma: Images, cb: Images, cr: Images) -> Images:
    """RGB bytes (..., 3) of Y, Cb and Cr bytes."""
    red, blue = _chroma_terms()
    level = luma.astype(np.int16)
    green = (np.arange(256, dtype=np.int32) - 128) * -22553
    other = (np.arange(256, dtype=np.int32) - 128) * -46802 + 32768
    out = np.empty((*luma.shape, 3), np.int16)
    np.add(level, red.take(cr), out=out[..., 0])
    np.add(level, ((green.take(cb) + other.take(cr)) >> 16).astype(np.int16), out=out[..., 1])
    np.add(level, blue.take(cb), out=out[..., 2])
    return out.clip(0, 255).astype(np.uint8)


def code_plane(plane: npt.NDArray[np.float32], size: int, table: npt.NDArray[np.int64]) -> Images:
    """Transform, quantise and transform back one plane.

    Args:
        plane: whole numbers 0 to 255, float32 (N, H, W).
        size: samples of a block: 8 for luma, 16 for chroma.
        table: divisors (8, 8).

    Returns:
        uint8 (N, H, W).
    """
    n, height, width = plane.shape
    down, right = -height % size, -width % size
    if down or right:
        plane = np.pad(plane, ((0, 0), (0, down), (0, right)), mode="edge")
    rows, columns = (height + down) // size, (width + right) // size
    # blocks last, so that both passes of a transform are plain products
    blocks = plane.reshape(n, rows, size, columns, size).transpose(2, 4, 0, 1, 3).reshape(size, size, -1)
    count = blocks.shape[2]
    forward, inverse = (m.astype(np.float64) for m in (forward_matrix(size), inverse_matrix(size)))
    level = blocks.astype(np.float64) - 128.0
    once = _rounded(np.matmul(forward, level), 11)
    twice = _rounded(forward @ once.reshape(size, 8 * count), 15 if size == 8 else 17).reshape(8, 8, count)
    divisor = table.astype(np.float64)[:, :, None]
    kept = np.abs(twice)
    kept += 4 * divisor
    kept /= 8 * divisor
    np.floor(kept, out=kept)
    kept *= divisor
    np.copysign(kept, twice, out=kept)
    up = _rounded(inverse @ kept.reshape(8, 8 * count), 11).reshape(size, 8, count)
    done = _rounded(np.matmul(inverse, up), 18)
    if done.size and (done.min() < -512 or done.max() > 511):
        done = np.mod(done + 512, 1024) - 512  # the library looks ten bits up in a table
    samples = np.clip(done + 128, 0, 255).astype(np.uint8)
    whole = samples.reshape(size, size, n, rows, columns).transpose(2, 3, 0, 4, 1)
    return whole.reshape(n, height + down, width + right)[:, :height, :width]


def _rounded(values: Floats, bits: int) -> Floats:
    values *= 2.0**-bits
    values += 0.5
    return np.floor(values, out=values)


_CHUNK_PIXELS = 1 << 16


def round_trip(images: Images, quality: int) -> Images:
    """Save as JPEG (4:2:0, standard tables) and read back, as libjpeg 9 does.

    Args:
        images: uint8 (N, H, W, 3), RGB; any height and width.
        quality: 1 to 100.

    Returns:
        uint8 (N, H, W, 3).
    """
    luma_table, chroma_table = quantisation_tables(quality)
    out = np.empty_like(images, order="C")
    step = max(1, _CHUNK_PIXELS // max(1, images.shape[1] * images.shape[2]))
    for start in range(0, len(images), step):
        luma, cb, cr = to_ycc(images[start : start + step])
        planes = code_plane(luma, 8, luma_table), code_plane(cb, 16, chroma_table), code_plane(cr, 16, chroma_table)
        out[start : start + step] = to_rgb(*planes)
    return out


def stored(images: Images) -> Images:
    """The round trip that the published files of ImageNet-C have gone through; uint8 (N, H, W, 3)."""
    return round_trip(images, STORED_QUALITY)


def pillow_round_trip(images: Images, quality: int) -> Images:
    """Save and read back with the encoder inside Pillow, whose pixels depend on its build; uint8 (N, H, W, 3)."""
    from PIL import Image

    result = np.empty_like(images, order="C")
    for image, target in zip(images, result, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as decoded:
            target[...] = np.asarray(decoded)
    return result


def encoder(codec: str | None = None) -> str:
    """Name and version of an encoder.

    Example:
        >>> encoder()
        'libjpeg 9 (array arithmetic)'
    """
    if codec != "pillow":
        return "libjpeg 9 (array arithmetic)"
    from PIL import features

    turbo = features.version_feature("libjpeg_turbo")
    return f"pillow: libjpeg-turbo {turbo}" if turbo else f"pillow: libjpeg {features.version_codec('jpg')}"


def jpeg_compression(images: Images, _: None, quality: int) -> Images:
    """Save as JPEG of ``quality`` and read back, as libjpeg 9 does; (N, H, W, 3)."""
    return round_trip(images, quality)


def jpeg_by_pillow(images: Images, _: None, quality: int) -> Images:
    """The same with the encoder inside Pillow."""
    return pillow_round_trip(images, quality)


JPEG_COMPRESSION = Corruption(
    name="jpeg_compression",
    family="digital",
    source=_SOURCE,
    apply=jpeg_compression,
    codec="libjpeg9",
    codecs={"pillow": jpeg_by_pillow},
    settings={
        "cifar": (80, 65, 58, 50, 40),
        "tiny": (65, 58, 50, 40, 25),
        "imagenet": (25, 18, 15, 10, 7),
        "inception": (23, 16, 13, 8, 5),
    },
)

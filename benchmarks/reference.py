"""The published generators of ImageNet-C and its sisters, restated the slow, obvious way: the baseline of speed.

One image at a time in plain numpy, scipy and Pillow, with the published programs' structure and their random numbers
from a legacy ``RandomState`` in their order. Settings, and the pictures of frost, are those of the records of
``regrow.corruptions``; no other code is shared with it, so this is also a loose check of it.

Where the published programs call a compiled library, its restatement here is:

    ImageMagick (motion_blur, snow)   one shifted sum a tap, in 16-bit quanta; the image goes there and back as PNG
    OpenCV's filter of a disk         a Fourier transform, as OpenCV does for large kernels
    OpenCV's warp (elastic)           ``scipy.ndimage.affine_transform``, without the fixed-point coordinates
    OpenCV's edges, distances (spatter)   array code, and the euclidean distance in place of the 5 x 5 chamfer
    scikit-image's gaussian           ``scipy.ndimage.gaussian_filter``, which is what it calls
    libjpeg 9 (jpeg_compression)      the encoder that Pillow holds

The photographs of frost are in memory; the published programs read and decode one for every image.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from reference_cbar import FORMS as CBAR_FORMS
from scipy import fft, ndimage

from regrow.corruptions import choose_scale, get
from regrow.corruptions.blur import disk_kernel

Array = np.ndarray[Any, Any]
Rng = np.random.RandomState
Form = Callable[[Array, Any, Rng], Array]


def corrupt(image: Array, name: str, severity: int, rng: Rng, *, scale: str | None = None, frost: Any = None) -> Array:
    """One image, uint8 (H, H, 3), by the published program.

    Args:
        image: RGB, left as it was.
        name: one of the nineteen of ImageNet-C, or of the fifteen of ImageNet-C-bar and CIFAR-10-C-bar.
        severity: 1 to 5.
        rng: gives the random numbers, in the published order.
        scale: column of settings, by default the one nearest to the size.
        frost: as in ``regrow.corruptions.corrupt``.
    """
    return FORMS[name](image, setting(name, severity, len(image), scale=scale, frost=frost), rng)


def setting(name: str, severity: int, side: int, *, scale: str | None = None, frost: Any = None) -> Any:
    record = get(name)
    params = record.settings[choose_scale(side, scale, record.settings).name][severity - 1]
    return record.prepare(params, frost, side)[0] if record.prepare else params


def _bytes(unit: Array) -> Array:
    return (np.clip(unit, 0, 1) * 255).astype(np.uint8)


def gaussian_noise(image: Array, std: float, rng: Rng) -> Array:
    x = image / 255.0
    return _bytes(x + rng.normal(size=x.shape, scale=std))


def speckle_noise(image: Array, std: float, rng: Rng) -> Array:
    x = image / 255.0
    return _bytes(x + x * rng.normal(size=x.shape, scale=std))


def shot_noise(image: Array, photons: float, rng: Rng) -> Array:
    return _bytes(rng.poisson(image / 255.0 * photons) / photons)


def impulse_noise(image: Array, share: float, rng: Rng) -> Array:
    x = image / 255.0
    hit = rng.choice([True, False], size=x.shape, p=[share, 1 - share])
    salt = rng.choice([True, False], size=x.shape, p=[0.5, 0.5])
    x[hit & salt], x[hit & ~salt] = 1, 0
    return _bytes(x)


def gaussian_blur(image: Array, sigma: float, _: Rng) -> Array:
    return _bytes(ndimage.gaussian_filter(image / 255.0, (sigma, sigma, 0), mode="nearest"))


def glass_blur(image: Array, params: tuple[float, int, int], rng: Rng) -> Array:
    sigma, distance, rounds = params
    x = (ndimage.gaussian_filter(image / 255.0, (sigma, sigma, 0), mode="nearest") * 255).astype(np.uint8)
    inner = range(len(x) - distance, distance, -1)
    for _ in range(rounds):
        for row in inner:
            for column in inner:
                dx, dy = rng.randint(-distance, distance, size=(2,))
                other = row + dy, column + dx
                # meant as a swap; both sides are views, so it copies
                x[row, column], x[other] = x[other], x[row, column]
    return _bytes(ndimage.gaussian_filter(x / 255.0, (sigma, sigma, 0), mode="nearest"))


def defocus_blur(image: Array, params: tuple[float, float], _: Rng) -> Array:
    x, kernel = image / 255.0, disk_kernel(*params).astype(np.float64)
    side, margin = len(x), len(kernel) // 2
    size = (fft.next_fast_len(side + 2 * margin, True),) * 2
    padded = np.stack([np.pad(x[:, :, channel], margin, mode="reflect") for channel in range(3)])
    spectrum = fft.rfft2(padded, size) * np.conj(fft.rfft2(kernel, size))
    return _bytes(fft.irfft2(spectrum, size)[:, :side, :side].transpose(1, 2, 0))


def _png(image: Array) -> Array:
    """There and back through a PNG file in memory, as images went to ImageMagick and came back."""
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, format="PNG")
    return np.asarray(Image.open(io.BytesIO(stored.getvalue()), formats=["PNG"]))


def _magick(image: Array, radius: float, sigma: float, angle: float) -> Array:
    """ImageMagick's motion blur of bytes (H, W) or (H, W, 3): a one-sided gaussian along a line, edges repeated."""
    width = 2 * math.ceil(radius) + 1
    kernel = np.array([math.exp(-i * i / (2 * sigma**2)) for i in range(width)])
    kernel /= kernel.sum()
    padded = _png(image).astype(np.float64) * 257
    padded = np.pad(padded, [(width, width)] * 2 + [(0, 0)] * (image.ndim - 2), mode="edge")
    total = np.zeros(image.shape)
    for i, weight in enumerate(kernel.tolist()):
        down = math.ceil(i * math.sin(math.radians(angle)) - 0.5)
        right = math.ceil(i * math.cos(math.radians(angle)) - 0.5)
        part = padded[width + down : width + down + len(image), width + right : width + right + len(image)]
        total += weight * part
    return _png((np.floor(total + 0.5) // 257).astype(np.uint8))


def motion_blur(image: Array, params: tuple[float, float], rng: Rng) -> Array:
    return _magick(image, *params, angle=rng.uniform(-45, 45))


def _clipped_zoom(x: Array, factor: float) -> Array:
    side = len(x)
    crop = math.ceil(side / factor)
    top = (side - crop) // 2
    part = x[top : top + crop, top : top + crop]
    large = ndimage.zoom(part, (factor, factor, 1)[: x.ndim], order=1)
    trim = (len(large) - side) // 2
    return large[trim : trim + side, trim : trim + side]


def zoom_blur(image: Array, params: tuple[float, float], _: Rng) -> Array:
    x = (image / 255.0).astype(np.float32)
    factors = np.arange(1, *params)
    out = np.zeros_like(x)
    for factor in factors:
        out += _clipped_zoom(x, factor)
    return _bytes((x + out) / (len(factors) + 1))


def snow(image: Array, params: Any, rng: Rng) -> Array:
    x = image.astype(np.float32) / np.float32(255)
    layer = rng.normal(size=x.shape[:2], loc=params.mean, scale=params.std)
    layer = _clipped_zoom(layer, params.zoom)
    layer[layer < params.threshold] = 0
    flakes = _magick(_bytes(layer), params.radius, params.sigma, rng.uniform(-135, -45)) / 255.0
    grey = (x @ np.array([0.299, 0.587, 0.114], np.float32))[:, :, None]
    x = params.keep * x + (1 - params.keep) * np.maximum(x, grey * 1.5 + 0.5)
    return _bytes(x + flakes[:, :, None] + np.rot90(flakes, 2)[:, :, None])


def frost(image: Array, params: Any, rng: Rng) -> Array:
    picture = params.pictures[rng.randint(5)]
    top, left = (rng.randint(0, length - len(image)) for length in picture.shape[:2])
    piece = picture[top : top + len(image), left : left + len(image)]
    return np.clip(params.image * image + params.ice * piece, 0, 255).astype(np.uint8)


def _plasma(size: int, decay: float, rng: Rng) -> Array:
    """A cloud in 0..1 by the diamond-square algorithm, one level after the other."""
    cloud, step, wibble = np.zeros((size, size)), size, 100.0
    while step >= 2:
        half = step // 2

        def wibbled(values: Array, wibble: float = wibble) -> Array:
            return values / 4 + wibble * rng.uniform(-wibble, wibble, values.shape)

        corners = cloud[::step, ::step]
        squares = corners + np.roll(corners, -1, axis=0)
        squares += np.roll(squares, -1, axis=1)
        cloud[half::step, half::step] = wibbled(squares)
        middle, corners = cloud[half::step, half::step], cloud[::step, ::step]
        across = corners + np.roll(corners, -1, axis=1)
        cloud[::step, half::step] = wibbled(middle + np.roll(middle, 1, axis=0) + across)
        down = corners + np.roll(corners, -1, axis=0)
        cloud[half::step, ::step] = wibbled(middle + np.roll(middle, 1, axis=1) + down)
        step, wibble = half, wibble / decay
    cloud -= cloud.min()
    return cloud / cloud.max()


def fog(image: Array, params: tuple[float, float], rng: Rng) -> Array:
    strength, decay = params
    x, side = image / 255.0, len(image)
    high = x.max()
    x += strength * _plasma(1 << (side - 1).bit_length(), decay, rng)[:side, :side, None]
    return _bytes(x * high / (high + strength))


def _to_hsv(x: Array) -> Array:
    value, spread = x.max(axis=2), np.ptp(x, axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        saturation = np.where(spread == 0, 0, spread / value)
        hue = np.zeros_like(value)
        for channel in range(3):
            one, two = x[:, :, (channel + 1) % 3], x[:, :, (channel + 2) % 3]
            here = x[:, :, channel] == value
            hue[here] = (2.0 * channel + (one - two) / spread)[here]
    return np.stack([np.where(spread == 0, 0, hue / 6 % 1), saturation, value], axis=2)


def _from_hsv(hsv: Array) -> Array:
    hue, s, v = hsv[:, :, 0], hsv[:, :, 1], hsv[:, :, 2]
    sector = np.floor(hue * 6)
    part = hue * 6 - sector
    p, q, t = v * (1 - s), v * (1 - part * s), v * (1 - (1 - part) * s)
    which = np.dstack([sector.astype(np.uint8)] * 3) % 6
    colours = [(v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q)]
    return np.choose(which, [np.dstack(colour) for colour in colours])


def brightness(image: Array, shift: float, _: Rng) -> Array:
    hsv = _to_hsv(image / 255.0)
    hsv[:, :, 2] = np.clip(hsv[:, :, 2] + shift, 0, 1)
    return _bytes(_from_hsv(hsv))


def saturate(image: Array, params: tuple[float, float], _: Rng) -> Array:
    hsv = _to_hsv(image / 255.0)
    hsv[:, :, 1] = np.clip(hsv[:, :, 1] * params[0] + params[1], 0, 1)
    return _bytes(_from_hsv(hsv))


def contrast(image: Array, factor: float, _: Rng) -> Array:
    x = image / 255.0
    mean = x.mean(axis=(0, 1), keepdims=True)
    return _bytes((x - mean) * factor + mean)


def elastic_transform(image: Array, params: Any, rng: Rng) -> Array:
    x, side = image.astype(np.float32) / np.float32(255), len(image)
    centre, reach = side // 2, side // 3
    start = np.array([(reach, reach), (reach, -reach), (-reach, -reach)], np.float32) + np.float32(centre)
    end = start + rng.uniform(-params.affine, params.affine, size=start.shape).astype(np.float32)
    back = np.linalg.solve(np.column_stack([end, np.ones(3)]), start).T  # from the result's (x, y) to the image's
    matrix, offset = back[::-1, 1::-1], back[::-1, 2]  # the same for (row, column)
    x = np.dstack(
        [ndimage.affine_transform(x[:, :, k], matrix, offset, order=1, mode="mirror") for k in range(3)],
    )

    def shift() -> Array:
        field = rng.uniform(-1, 1, size=(side, side))
        soft = ndimage.gaussian_filter(field, params.sigma, mode="reflect", truncate=3)
        return (params.strength * soft).astype(np.float32)[:, :, None]

    dx, dy = shift(), shift()
    columns, rows, channels = np.meshgrid(np.arange(side), np.arange(side), np.arange(3))
    places = [(rows + dy).reshape(-1, 1), (columns + dx).reshape(-1, 1), channels.reshape(-1, 1)]
    return _bytes(ndimage.map_coordinates(x, places, order=1, mode="reflect").reshape(x.shape))


def pixelate(image: Array, factor: float, _: Rng) -> Array:
    side = len(image)
    small = Image.fromarray(image).resize((int(side * factor),) * 2, Image.Resampling.BOX)
    return np.asarray(small.resize((side, side), Image.Resampling.BOX))


def jpeg_compression(image: Array, quality: int, _: Rng) -> Array:
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored, formats=["JPEG"]))


def _edges(layer: Array) -> Array:
    """Canny's edges, thresholds 50 and 150."""
    wide = layer.astype(np.int64)
    gx, gy = (ndimage.sobel(wide, axis, mode="nearest") for axis in (1, 0))
    strength = np.abs(gx) + np.abs(gy)
    framed, side = np.pad(strength, 1), len(layer)

    def beside(down: int, right: int) -> Array:
        return framed[1 + down : 1 + down + side, 1 + right : 1 + right + side]

    slope = np.abs(gy) / np.maximum(np.abs(gx), 1e-9)
    flat, steep, falling = slope < math.tan(math.pi / 8), slope > math.tan(3 * math.pi / 8), (gx ^ gy) >= 0
    ridge = np.select(
        [flat, steep, falling],
        [
            (strength > beside(0, -1)) & (strength >= beside(0, 1)),
            (strength > beside(-1, 0)) & (strength >= beside(1, 0)),
            (strength > beside(-1, -1)) & (strength > beside(1, 1)),
        ],
        (strength > beside(-1, 1)) & (strength > beside(1, -1)),
    )
    groups, _ = ndimage.label(ridge & (strength > 50), np.ones((3, 3)))
    strong = np.unique(groups[ridge & (strength > 150)])
    return np.isin(groups, strong[strong > 0])


def _equalised(layer: Array) -> Array:
    counts = np.bincount(layer.ravel(), minlength=256)
    first = int(np.flatnonzero(counts)[0])
    if counts[first] == layer.size:
        return layer
    above = np.cumsum(counts) - counts[: first + 1].sum()
    return np.rint(np.maximum(above, 0) * (255 / (layer.size - counts[first]))).astype(np.uint8)[layer]


def _water(liquid: Array, strength: float) -> Array:
    """How much of the colour of water is added at each pixel, (H, W)."""
    layer = (255 * liquid).astype(np.int64).astype(np.uint8)
    edges = _edges(layer)
    near = np.minimum(ndimage.distance_transform_edt(~edges), 20) if edges.any() else np.full(layer.shape, 20.0)
    soft = _equalised(ndimage.uniform_filter(near, 3, mode="mirror").astype(np.uint8))
    relief = ndimage.correlate(soft.astype(np.int64), [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], mode="mirror")
    shine = layer * np.rint(ndimage.uniform_filter(np.clip(relief, 0, 255).astype(np.float64), 3, mode="mirror"))
    return np.zeros_like(shine) if not shine.max() else shine / shine.max() * strength


def spatter(image: Array, params: Any, rng: Rng) -> Array:
    x = image.astype(np.float32) / np.float32(255)
    liquid = rng.normal(size=x.shape[:2], loc=params.mean, scale=params.std)
    liquid = ndimage.gaussian_filter(liquid, params.sigma, mode="nearest")
    liquid[liquid < params.threshold] = 0
    if not params.is_mud:
        colour = np.array([175, 238, 238]) / 255.0
        return _bytes(x + _water(liquid, params.strength)[:, :, None] * colour)
    cover = (liquid > params.threshold).astype(np.float32)
    cover = ndimage.gaussian_filter(cover, params.strength, mode="nearest")[:, :, None]
    cover[cover < 0.8] = 0
    return _bytes(x * (1 - cover) + np.array([63, 42, 20]) / 255.0 * cover)


_NINETEEN: tuple[Form, ...] = (
    *(gaussian_noise, shot_noise, impulse_noise, defocus_blur, glass_blur, motion_blur, zoom_blur, snow, frost, fog),
    *(brightness, contrast, elastic_transform, pixelate, jpeg_compression, speckle_noise, gaussian_blur, spatter),
    saturate,
)
FORMS: dict[str, Form] = {form.__name__: form for form in _NINETEEN} | CBAR_FORMS

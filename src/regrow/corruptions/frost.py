"""Frost: a piece of a photograph of ice laid over the image."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from regrow import files
from regrow.corruptions.draws import Integers, Stream
from regrow.corruptions.registry import Corruption, Draws, Images, Shape
from regrow.errors import InputError
from regrow.photographs import FROST as FROST_FILES

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"
Texture = npt.NDArray[np.uint8]  # (H, W, 3)

SUBSTITUTE = "procedural textures in place of the published photographs: not comparable with published numbers"
_GET = "fetch the photographs: regrow data get frost."


class Textures(NamedTuple):
    """Five pictures of frost, and what must be said of them; empty for the published ones."""

    pictures: tuple[Texture, ...]
    note: str


class Frost(NamedTuple):
    """A setting of frost with its pictures at the size they are cut from."""

    image: float  # weight of the image
    ice: float  # weight of the frost
    pictures: tuple[Texture, ...]


def folder_under(root: Path | None) -> Path | None:
    """The folder of photographs under a data root that was given, or ``None``: then the usual ones are searched."""
    folder = root / "frost" if root else None
    return folder if folder and (folder / "frost1.png").exists() else None


def find_textures(given: Path | str | Sequence[Texture] | None = None) -> Textures:
    """The pictures of frost to use.

    Args:
        given: a folder with the photographs, or arrays; by default the first folder ``frost`` under the data roots
            (``$REGROW_DATA``, ``~/.cache/regrow/data``) that holds them, else a procedural substitute.

    Raises:
        InputError: a given folder lacks a photograph or holds another one, or an array is no RGB picture.
    """
    if given is None:
        folders = [root / "frost" for root in files.data_roots()]
        found = next((folder for folder in folders if (folder / "frost1.png").exists()), None)
        return _read(found) if found else Textures(_substitute(), f"{SUBSTITUTE}; {_GET}")
    if isinstance(given, str | Path):
        return _read(Path(given))
    pictures = tuple(np.asarray(picture) for picture in given)
    if any(p.ndim != 3 or p.shape[2] != 3 or p.dtype != np.uint8 or not p.size for p in pictures):
        raise InputError("frost pictures must be uint8 arrays (H, W, 3).", "give RGB pictures, or leave frost out.")
    if len(pictures) < len(FROST_FILES):
        raise InputError(
            f"frost draws among {len(FROST_FILES)} pictures, got {len(pictures)}.", "give more, or leave frost out."
        )
    return Textures(pictures, "pictures of the caller's: not comparable with published numbers")


@functools.lru_cache(maxsize=4)
def _read(folder: Path) -> Textures:
    from PIL import Image

    pictures = []
    for name, md5 in FROST_FILES.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{folder} lacks the frost photograph {name}.", _GET)
        if files.file_digest(path, "md5") != md5:
            raise InputError(f"{path} is not the published photograph: its md5 differs.", _GET)
        with Image.open(path, formats=["PNG", "JPEG"]) as opened:
            pictures.append(np.asarray(opened.convert("RGB")))
    return Textures(tuple(pictures), "")


@functools.cache
def _substitute() -> tuple[Texture, ...]:
    """Ice crystals, roughly: bright ridges of smooth random fields, of the sizes and tones of the photographs."""
    from scipy.ndimage import gaussian_filter

    pictures = []
    for k, (height, width) in enumerate([(600, 900), (315, 560), (315, 560), (350, 527), (495, 660)]):
        bits = np.random.RandomState(9000 + k)
        ridges = np.zeros((height, width))
        for octave in range(4):
            field = gaussian_filter(bits.standard_normal((height, width)), 24 / 2**octave)
            ridges += (1 - np.abs(field) / np.abs(field).max()) ** 6 / 2**octave
        ridges = (ridges - ridges.min()) / np.ptp(ridges)
        tint = np.array([0.85, 0.93, 1.0])
        pictures.append((np.sqrt(ridges)[..., None] * tint * 235 + 15).astype(np.uint8))
    return tuple(pictures)


def resize_linear(picture: Texture, width: int, height: int, factors: tuple[float, float]) -> Texture:
    """Resize in OpenCV's fixed-point arithmetic (11-bit weights), to the byte.

    Args:
        picture: uint8 (H, W, 3).
        width: new width.
        height: new height.
        factors: new over old size, as (x, y).
    """

    def taps(n_in: int, n_out: int, factor: float) -> tuple[Any, Any, Any, Any]:
        place = np.float32((np.arange(n_out) + 0.5) / factor - 0.5)
        first = np.floor(place).astype(np.int64)
        share = place - first.astype(np.float32)
        share = np.where((first < 0) | (first >= n_in - 1), np.float32(0), share)
        first = np.clip(first, 0, n_in - 1)
        low, high = (np.rint(part * np.float32(2048)).astype(np.int64) for part in (1 - share, share))
        return first, np.minimum(first + 1, n_in - 1), low, high

    left, right, low_x, high_x = taps(picture.shape[1], width, factors[0])
    top, bottom, low_y, high_y = taps(picture.shape[0], height, factors[1])
    wide = picture.astype(np.int64)
    rows = wide[:, left] * low_x[:, None] + wide[:, right] * high_x[:, None]
    above = (low_y[:, None, None] * (rows[top] >> 4)) >> 16
    below = (high_y[:, None, None] * (rows[bottom] >> 4)) >> 16
    resized: Texture = ((above + below + 2) >> 2).clip(0, 255).astype(np.uint8)
    return resized


def prepare(params: tuple[float, float, float], given: Any, side: int) -> tuple[Frost, dict[str, str]]:
    """Bring the pictures to the size that pieces of ``side`` pixels are cut from; and what must be said of them."""
    image, ice, shrink = params
    found = find_textures(given)
    sized: list[Texture] = []
    note = found.note
    for picture in found.pictures:
        height, width = picture.shape[:2]
        if shrink != 1:
            picture = _shrunk(picture, shrink)
        if min(picture.shape[:2]) <= side:
            factor = (side + 1) / min(height, width)
            size = (max(side + 1, round(width * factor)), max(side + 1, round(height * factor)))
            picture = resize_linear(found.pictures[len(sized)], *size, (size[0] / width, size[1] / height))
            note = note or f"photographs enlarged for images of {side} px: not comparable with published numbers"
        sized.append(picture)
    return Frost(image, ice, tuple(sized)), {"frost": note} if note else {}


_shrunken: dict[tuple[int, float], tuple[Texture, Texture]] = {}


def _shrunk(picture: Texture, factor: float) -> Texture:
    key = (id(picture), factor)
    if key not in _shrunken or _shrunken[key][0] is not picture:
        if len(_shrunken) > 64:
            _shrunken.clear()
        height, width = picture.shape[:2]
        size = (int(np.rint(width * factor)), int(np.rint(height * factor)))
        _shrunken[key] = (picture, resize_linear(picture, *size, (factor, factor)))
    return _shrunken[key][1]


def draw_frost(stream: Stream, shape: Shape, params: Frost) -> Draws:
    """Number of the picture, and row and column of the piece cut from it; each (n,)."""
    which = stream.integers(0, 5)
    heights, widths = (np.array([p.shape[axis] for p in params.pictures]) for axis in (0, 1))
    picked = np.asarray(which)  # pictures differ in size, so the range of a piece's place does
    top = stream.integers(0, heights[picked] - shape[0])
    return which, top, stream.integers(0, widths[picked] - shape[1])


def frost(images: Images, draws: tuple[Integers, Integers, Integers], params: Frost) -> Images:
    """Weighted sum of the image and a piece of a picture of frost; (N, H, W, 3)."""
    height, width = images.shape[1:3]
    level = images * float(params.image)
    for one, which, top, left in zip(level, *(part.tolist() for part in draws), strict=True):
        one += params.ice * params.pictures[which][top : top + height, left : left + width]
    return np.clip(level, 0, 255, out=level).astype(np.uint8)


_IMAGENET = ((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1))

FROST = Corruption(
    name="frost",
    family="weather",
    source=_SOURCE,
    draw=draw_frost,
    apply=frost,
    prepare=prepare,
    settings={  # weights of image and ice, and what the photographs are shrunk by
        "cifar": ((1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
        "tiny": ((1, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)),
        "imagenet": _IMAGENET,
        "inception": _IMAGENET,
    },
)

"""How a training picture or clip is cut out, resized and mirrored: pure functions of its random word."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from regrow import seeds

#: Aspect ratios of random resized crops (Szegedy et al. 2015, arXiv:1409.4842), as torchvision and timm have them.
RATIOS = (3 / 4, 4 / 3)
#: How often a window that does not fit is drawn again before the middle is taken.
TRIES = 10


@dataclass(frozen=True)
class Geometry:
    """What is drawn anew for each training picture.

    Attributes:
        flip: mirror every second one, at random.
        crop: pixels of black around the prepared picture before a window of the old size is taken; 0 = none.
        resized_crop: least and largest share of the area that a window covers before it is resized; None = no such
            window, but the whole picture prepared as at test.
        scale_jitter: least and largest shorter side in pixels that a clip is resized to before a square is cut out at
            random; None = the middle that is tested.
    """

    flip: bool = False
    crop: int = 0
    resized_crop: tuple[float, float] | None = None
    scale_jitter: tuple[int, int] | None = None


class Draws:
    """Uniform numbers in (0, 1), one after the other, from the word of a picture.

    Args:
        word: 64 random bits; equal words give equal numbers on every machine.
    """

    def __init__(self, word: int) -> None:
        self._bits = np.random.Philox(key=np.array([word, 0], np.uint64))

    def next(self) -> float:
        """The next number."""
        return seeds.uniform_of(int(self._bits.random_raw()))

    def below(self, n: int) -> int:
        """A whole number in [0, n)."""
        return min(n - 1, int(self.next() * n))

    def between(self, low: float, high: float) -> float:
        """A number in (low, high)."""
        return low + (high - low) * self.next()


Box = tuple[float, float, float, float]


def resized_crop(width: int, height: int, share: float, draws: Draws) -> Box:
    """The window of a random resized crop: (left, top, right, bottom) in pixels.

    The law of torchvision's RandomResizedCrop, with the first share of the area given (a picture is decoded for it at
    a reduced size): the ratio of the sides is log-uniform in ``RATIOS``; a window that does not fit is drawn again with
    the same share, and after ``TRIES`` the largest allowed one in the middle is taken.

    Args:
        width: of the picture.
        height: of the picture.
        share: of its area, in (0, 1].
        draws: random numbers.
    """
    area = width * height * share
    for _ in range(TRIES):
        ratio = math.exp(draws.between(math.log(RATIOS[0]), math.log(RATIOS[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = draws.below(width - w + 1), draws.below(height - h + 1)
            return left, top, left + w, top + h
    w, h = min(width, round(height * RATIOS[1])), min(height, round(width / RATIOS[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def square(width: int, height: int, side: int, jitter: tuple[int, int] | None, draws: Draws) -> Box:
    """The square of a clip's frames that is resized to ``side`` pixels: (left, top, right, bottom) in pixels.

    Args:
        width: of the frames.
        height: of the frames.
        side: of the result.
        jitter: least and largest shorter side that the frames are thought to be resized to, at random, before a square
            is cut out at random; None = the middle, see :func:`middle`.
        draws: random numbers.
    """
    if jitter is None:
        return middle(width, height, side)
    wide, high = sized(width, height, max(side, jitter[0] + draws.below(jitter[1] - jitter[0] + 1)))
    left, top = draws.below(wide - side + 1), draws.below(high - side + 1)
    return left * width / wide, top * height / high, (left + side) * width / wide, (top + side) * height / high


def middle(width: int, height: int, side: int) -> Box:
    """The part of a picture that :func:`regrow.data.pictures.prepare` keeps: (left, top, right, bottom) in pixels.

    Resized from there, pixels differ by at most one level from prepared ones (at 299 px more along the edges, where
    the pixels around have a part), and what is cut off costs nothing.
    """
    if (width, height) == (side, side):
        return 0, 0, side, side
    if side == 299:
        return round(width * 0.0625), round(height * 0.0625), round(width * 0.9375), round(height * 0.9375)
    shorter = round(side * 256 / 224)
    longer = int(shorter * max(width, height) / min(width, height))
    wide, high = (shorter, longer) if width <= height else (longer, shorter)
    left, top = round((wide - side) / 2), round((high - side) / 2)
    return left * width / wide, top * height / high, (left + side) * width / wide, (top + side) * height / high


def sized(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Width and height of a picture whose shorter side is brought to so many pixels."""
    factor = shorter / min(width, height)
    return (shorter, round(height * factor)) if width <= height else (round(width * factor), shorter)


def enough_for(share: float, side: int) -> int:
    """Shorter side in pixels at which any window of that share of the area still has ``side`` pixels."""
    return math.ceil(side / math.sqrt(share * RATIOS[0]))


def padded_window(images: npt.NDArray[np.uint8], crop: int, draws: Draws) -> npt.NDArray[np.uint8]:
    """A window of the old size out of a picture or clip (..., H, W, 3) with ``crop`` black pixels around it."""
    height, width = images.shape[-3:-1]
    around = [(0, 0)] * (images.ndim - 3) + [(crop, crop), (crop, crop), (0, 0)]
    top, left = draws.below(2 * crop + 1), draws.below(2 * crop + 1)
    return np.pad(images, around)[..., top : top + height, left : left + width, :]


def mirrored(images: npt.NDArray[np.uint8], draws: Draws) -> npt.NDArray[np.uint8]:
    """A picture or clip (..., H, W, 3), or with a chance of one half its mirror image."""
    if not draws.below(2):
        return images
    mirror = np.empty_like(images)
    for channel in range(images.shape[-1]):  # several times as fast as all three at once, whose inner loops are short
        mirror[..., channel] = images[..., ::-1, channel]
    return mirror

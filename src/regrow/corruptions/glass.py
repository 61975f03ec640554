"""Glass blur: neighbouring pixels shuffled, between two light gaussian blurs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from regrow.corruptions import kernel
from regrow.corruptions.draws import Integers, Stream
from regrow.corruptions.gaussian import gaussian
from regrow.corruptions.pixels import to_bytes, to_unit
from regrow.corruptions.registry import Corruption, Draws, Images, Shape

_SOURCE = "Hendrycks and Dietterich 2019, arXiv:1903.12261, section 4"

Params = tuple[float, int, int]  # sigma of the blur in pixels, largest distance of a shift, rounds


def draw_glass_blur(stream: Stream, shape: Shape, params: Params) -> Draws:
    """Shifts (column, row) of each round and target, int8 (n, rounds, K, K, 2), in the order of the targets."""
    _, distance, rounds = params
    reach = max(shape[0] - 2 * distance, 0)
    return stream.integers(-distance, distance, (rounds, reach, reach, 2), "int8")


def shuffle(images: Images, shifts: Integers, distance: int) -> Images:
    """Copy, target after target, from a neighbour: a pixel copied from may have been a target before.

    The published code means to swap two pixels, but both names are views of one array, so that it copies.
    """
    if (lib := kernel.library()) is not None:
        return lib.shuffle(images, shifts, distance)
    n, height, width = images.shape[:3]
    pixels = images.reshape(n, height * width, 3)
    for a_round in range(shifts.shape[1]):
        source = _sources(shifts[:, a_round], height, width, distance)
        pixels = np.take_along_axis(pixels, source[:, :, None], axis=1)
    return pixels.reshape(images.shape)


def _sources(shifts: Integers, height: int, width: int, distance: int) -> npt.NDArray[np.intp]:
    """For each pixel the place, before the round, that its colour comes from; (n, H * W).

    Targets go from the last to the first, so a source with a larger number than its target was overwritten already,
    by its own source: the chain is followed by doubling until nothing changes.
    """
    n, places = len(shifts), np.arange(height * width, dtype=np.intp).reshape(height, width)
    inner = slice(height - distance, distance, -1)
    step = shifts[..., 1].astype(np.intp) * width + shifts[..., 0]
    target = places[inner, inner]
    source = np.broadcast_to(places, (n, height, width)).copy()
    source[:, inner, inner] = target + step
    source = source.reshape(n, -1)
    # where the source is no later target, it still holds the colour from before: the chain ends there
    follow = np.where(source > places.ravel(), source, places.ravel())
    end = follow
    while True:
        further = np.take_along_axis(end, end, axis=1)
        if np.array_equal(further, end):
            break
        end = further
    return np.take_along_axis(source, end, axis=1)


def glass_blur(images: Images, shifts: Integers, params: Params) -> Images:
    """Blur, shuffle neighbours some rounds, blur again; (N, H, W, 3)."""
    sigma, distance, _ = params
    blurred = to_bytes(gaussian(to_unit(images), sigma))
    return to_bytes(gaussian(to_unit(shuffle(blurred, shifts, distance)), sigma))


GLASS_BLUR = Corruption(
    name="glass_blur",
    family="blur",
    source=_SOURCE,
    draw=draw_glass_blur,
    apply=glass_blur,
    settings={
        "cifar": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "tiny": ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
        "imagenet": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "inception": ((0.8, 1, 3), (1, 3, 1), (1.1, 2, 4), (1.2, 4, 2), (1.6, 5, 2)),
    },
)

"""Spatter and what it is made of, against slow, obvious forms: pixel by pixel, shortest paths, histograms."""

import contextlib
import heapq
import itertools

import numpy as np
import pytest
from scipy import ndimage

from regrow.corruptions import corrupt, edges, get, kernel


@pytest.fixture(autouse=True, params=["compiled", "array code"])
def code(request):
    """Both forms of the loops; without a compiler the first is the second."""
    with contextlib.nullcontext() if request.param == "compiled" else kernel.disabled():
        yield


def noise_images(n: int, side: int) -> np.ndarray:
    return np.random.RandomState(side).randint(0, 256, (n, side, side, 3)).astype(np.uint8)


KNIGHT = [(dy, dx) for dy, dx in itertools.product((-2, -1, 1, 2), repeat=2) if abs(dy) != abs(dx)]
MOVES = (
    {(0, 1): 65536, (0, -1): 65536, (1, 0): 65536, (-1, 0): 65536}
    | dict.fromkeys(itertools.product((-1, 1), repeat=2), 91750)
    | dict.fromkeys(KNIGHT, 143976)
)


def shortest_paths(found: np.ndarray) -> np.ndarray:
    """Lengths of shortest paths of king's and knight's moves to an edge pixel, by Dijkstra's algorithm."""
    distance = np.full(found.shape, 1 << 29)
    queue = [(0, y, x) for y, x in zip(*np.nonzero(found), strict=True)]
    while queue:
        length, y, x = heapq.heappop(queue)
        if length >= distance[y, x]:
            continue
        distance[y, x] = length
        for (dy, dx), cost in MOVES.items():
            if 0 <= y + dy < len(found) and 0 <= x + dx < found.shape[1]:
                heapq.heappush(queue, (length + cost, y + dy, x + dx))
    return distance


@pytest.mark.parametrize("share", [0.0, 0.004, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 19, 33)])
def test_distances_are_those_of_shortest_paths(shape, share):
    found = np.random.RandomState(9).random_sample(shape) < share
    expected = np.stack([shortest_paths(one) for one in found]).astype(np.float32) / np.float32(65536)
    np.testing.assert_array_equal(edges.chamfer(found), expected)


def canny_slowly(image: np.ndarray) -> np.ndarray:
    """Pixel by pixel, and by a stack of pixels that edges spread from."""
    height, width = image.shape

    def level(y: int, x: int) -> int:
        return int(image[min(max(y, 0), height - 1), min(max(x, 0), width - 1)])

    gradient = {}
    for y, x in itertools.product(range(height), range(width)):
        across = sum(w * (level(y + d, x + 1) - level(y + d, x - 1)) for d, w in ((-1, 1), (0, 2), (1, 1)))
        down = sum(w * (level(y + 1, x + d) - level(y - 1, x + d)) for d, w in ((-1, 1), (0, 2), (1, 1)))
        gradient[y, x] = across, down
    strength = {place: abs(a) + abs(d) for place, (a, d) in gradient.items()}
    peaks = set()
    for (y, x), (across, down) in gradient.items():
        slope = abs(down) * 2**15  # against tangents of 22.5 and 67.5 degrees in units of 2**-15
        here = strength[y, x]
        if slope < 13573 * abs(across):
            first, second, ties = (y, x - 1), (y, x + 1), True
        elif slope > (13573 + 2**16) * abs(across):
            first, second, ties = (y - 1, x), (y + 1, x), True
        else:
            way = 1 if (across >= 0) == (down >= 0) else -1
            first, second, ties = (y - 1, x - way), (y + 1, x + way), False
        before, after = strength.get(first, 0), strength.get(second, 0)
        if here > 50 and here > before and (here >= after if ties else here > after):
            peaks.add((y, x))
    edge = np.zeros(image.shape, bool)
    stack = [place for place in peaks if strength[place] > 150]
    while stack:
        y, x = stack.pop()
        if not edge[y, x]:
            edge[y, x] = True
            around = itertools.product((y - 1, y, y + 1), (x - 1, x, x + 1))
            stack += [place for place in around if place in peaks]
    return edge


def layers() -> list[np.ndarray]:
    """Noise, flat, soft blobs like those of drops, and a chain of weak edges that hangs on one strong pixel."""
    stream = np.random.RandomState(10)
    soft = ndimage.gaussian_filter(stream.standard_normal((6, 20, 26)), (0, 1.5, 1.5))
    blobs = (255 * np.clip(0.5 + soft, 0, 1)).astype(np.uint8)
    blobs[:3] = np.where(blobs[:3] > 170, blobs[:3], 0)
    chain = np.zeros((2, 20, 26), np.uint8)
    chain[:, 9:, :] = 20  # a step of 20 has strength 80: an edge only where it touches a stronger one
    chain[1, 9:, 3] = 90
    steps = np.zeros((2, 20, 26), np.uint8)  # of strength 148 and 152: below and above the upper threshold
    steps[:, :, 12:] = np.array([37, 38])[:, None, None]
    noise = stream.randint(0, 256, (2, 20, 26)).astype(np.uint8)
    return [*noise, np.full((20, 26), 7, np.uint8), *blobs, *steps, *chain]


def test_edges_are_peaks_of_the_gradient_that_hang_on_a_strong_one():
    found = edges.canny(np.stack(layers()))
    np.testing.assert_array_equal(found, [canny_slowly(layer) for layer in layers()])
    below, above, weak, hanging = found[-4:]
    assert not below.any()
    assert above.any(axis=1).all()
    assert not weak.any()
    assert hanging[:, 10:].sum() > 10
    np.testing.assert_array_equal(edges.canny(layers()[4][None]), found[4:5])  # images of a batch do not join


def test_equalisation_follows_the_histogram():
    for layer in layers():
        values, counts = np.unique(layer, return_counts=True)
        below = np.cumsum(counts) - counts[0]
        expected = layer.copy()
        if len(values) > 1:
            for value, rank in zip(values, below, strict=True):
                expected[layer == value] = np.rint(np.float32(rank) * (np.float32(255) / np.float32(below[-1])))
        np.testing.assert_array_equal(edges.equalise(layer[None])[0], expected)
        if len(values) > 1:
            assert (expected.min(), expected.max()) == (0, 255)


def test_relief_and_sums_of_neighbours_are_scipys():
    batch = np.stack(layers())
    for layer, carved, total in zip(batch, edges.relief(batch), edges.box_sum(batch), strict=True):
        wide = layer.astype(np.int64)
        weights = [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]
        np.testing.assert_array_equal(carved, np.clip(ndimage.correlate(wide, weights, mode="mirror"), 0, 255))
        np.testing.assert_array_equal(total, ndimage.correlate(wide, np.ones((3, 3)), mode="mirror"))


def test_an_image_without_any_liquid_turns_black():
    dry = np.zeros((1, 16, 16))
    images = noise_images(1, 16)
    water, mud = (get("spatter").settings["tiny"][k] for k in (0, 4))
    assert not get("spatter").apply(images, dry, water).any()
    np.testing.assert_array_equal(get("spatter").apply(images, dry, mud), images)


def test_mud_covers_and_water_only_brightens():
    images = noise_images(3, 32)
    wet = corrupt(images, "spatter", 3, mode="exact")
    assert (wet >= images).all()
    assert (wet > images).any()
    muddy = corrupt(images, "spatter", 5, mode="exact")
    covered = (muddy != images).any(axis=3)
    assert 0.05 < covered.mean() < 0.9
    assert (np.abs(muddy[covered].astype(int) - [63, 42, 20]).mean(axis=0) < 40).all()

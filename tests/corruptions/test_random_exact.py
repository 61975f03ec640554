"""The parts of exact mode against slow, obvious forms: loops over pixels, recursions, scipy.

The reference bytes show that the published settings come out right; these also show other sizes, borders, edge cases
and numbers that the reference pictures never reach.
"""

import contextlib
import itertools
import math

import numpy as np
import pytest
from scipy import ndimage

from regrow.corruptions import corrupt, elastic, get, kernel
from regrow.corruptions import motion as line
from regrow.corruptions.draws import CounterStream
from regrow.corruptions.fog import clouds, map_side
from regrow.corruptions.gaussian import gaussian, gaussian_weights
from regrow.corruptions.glass import shuffle
from regrow.corruptions.motion import motion
from regrow.corruptions.snow import Snow, draw_snow, snow
from regrow.corruptions.zoom import factors, zoom_blur, zoomed


@pytest.fixture(params=["compiled", "array code"])
def code(request):
    """Both forms of the loops; without a compiler the first is the second."""
    with contextlib.nullcontext() if request.param == "compiled" else kernel.disabled():
        yield


def noise_images(n: int, side: int, channels: int = 3) -> np.ndarray:
    return np.random.RandomState(side).randint(0, 256, (n, side, side, channels)).astype(np.uint8)


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("distance", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("side", [11, 16, 23])
def test_glass_copies_pixel_after_pixel(side, distance):
    images, reach = noise_images(2, side), side - 2 * distance
    shifts = np.random.RandomState(3).randint(-distance, distance, (2, 3, reach, reach, 2))
    expected = images.copy()
    for image, rounds in zip(expected, shifts, strict=True):
        for a_round in rounds:
            for i, j in itertools.product(range(reach), repeat=2):
                row, column = side - distance - i, side - distance - j
                dx, dy = a_round[i, j]
                image[row, column] = image[row + dy, column + dx]
    np.testing.assert_array_equal(shuffle(images, shifts.astype(np.int8), distance), expected)


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("angle", [-135.0, -90.0, -45.0, -17.3, 0.0, 29.9, 45.0])
@pytest.mark.parametrize(("side", "channels"), [(9, 3), (14, 1)])
def test_motion_is_a_sum_along_a_line(side, channels, angle):
    """Radius 8 makes lines that are longer than the image."""
    images, radius, sigma = noise_images(2, side, channels), 8, 3.0
    weights = [math.exp(-i * i / (2 * sigma**2)) for i in range(2 * radius + 1)]
    expected = np.empty_like(images)
    for n, y, x, c in itertools.product(*map(range, images.shape)):
        total = 0.0
        for i, weight in enumerate(weights):
            row = y + math.ceil(i * math.sin(math.radians(angle)) - 0.5)
            column = x + math.ceil(i * math.cos(math.radians(angle)) - 0.5)
            value = int(images[n, min(max(row, 0), side - 1), min(max(column, 0), side - 1), c])
            total += weight / sum(weights) * 257 * value
        expected[n, y, x, c] = math.floor(total + 0.5) // 257
    found = motion(images, radius, sigma, np.array([angle, angle]))
    assert (found != expected).mean() < 1e-3  # a quotient formed elsewhere may round one sum another way
    assert np.abs(found.astype(int) - expected).max() <= 1


def zoomed_slowly(image: np.ndarray, factor: float) -> np.ndarray:
    """Four taps a pixel in Python's floats; (H, H) to (H, H)."""
    side = len(image)
    crop = math.ceil(side / factor)
    top, enlarged = (side - crop) // 2, round(crop * factor)
    trim, last = (enlarged - side) // 2, crop - 1
    out = np.empty((side, side))
    for i, j in itertools.product(range(side), repeat=2):
        y, x = ((k + trim) * (last / (enlarged - 1)) for k in (i, j))
        row, column = int(y), int(x)
        down, right = y - row, x - column
        below, beside = min(row + 1, last), min(column + 1, last)
        out[i, j] = (
            float(image[top + row, top + column]) * (1 - down) * (1 - right)
            + float(image[top + row, top + beside]) * (1 - down) * right
            + float(image[top + below, top + column]) * down * (1 - right)
            + float(image[top + below, top + beside]) * down * right
        )
    return out


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.25, 2.25, 4.5])
@pytest.mark.parametrize("side", [8, 9, 24])
def test_a_zoom_takes_four_taps_a_pixel(side, factor):
    values = np.random.RandomState(1).random_sample((2, side, side))
    found = zoomed(values, factor)
    np.testing.assert_array_equal(found, [zoomed_slowly(one, factor) for one in values])
    if factor == 1:
        np.testing.assert_array_equal(found, values)
    for one, image in zip(found, values, strict=True):  # and scipy's, away from the rounding of its coordinates
        crop = math.ceil(side / factor)
        top = (side - crop) // 2
        large = ndimage.zoom(image[top : top + crop, top : top + crop], factor, order=1)
        trim = (len(large) - side) // 2
        np.testing.assert_allclose(one, large[trim : trim + side, trim : trim + side], atol=1e-12)


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("params", [(1.06, 0.01), (1.21, 0.02), (1.31, 0.03)])
def test_zoom_blur_is_the_mean_of_zooms_in_single_precision(params):
    images = noise_images(2, 13)
    images[1] = 255
    expected = []
    for image in images:
        planes = []
        for channel in image.transpose(2, 0, 1):
            unit = channel.astype(np.float32) / np.float32(255)
            total = np.zeros_like(unit)
            for factor in factors(params):
                total += zoomed_slowly(unit, factor).astype(np.float32)
            mean = (unit + total) / np.float32(len(factors(params)) + 1)
            planes.append((np.clip(mean, 0, 1) * np.float32(255)).astype(np.uint8))
        expected.append(np.stack(planes, axis=2))
    np.testing.assert_array_equal(zoom_blur(images, None, params), expected)


def test_the_number_of_zooms_is_that_of_the_published_ranges():
    for scale, counts in {"cifar": [7, 12, 16, 21, 26], "imagenet": [12, 16, 11, 13, 11]}.items():
        assert [len(factors(params)) for params in get("zoom_blur").settings[scale]] == counts


def cloud_slowly(uniform: np.ndarray, side: int, decay: float) -> np.ndarray:
    """Diamond-square pixel by pixel on a torus, one level calling the next."""
    cloud, numbers = np.zeros((side, side)), iter(uniform.tolist())

    def at(row: int, column: int) -> float:
        return float(cloud[row % side, column % side])

    def wibble(rough: float) -> float:
        return rough * (-rough + 2 * rough * next(numbers))

    def level(step: int, rough: float) -> None:
        half = step // 2
        corners = list(itertools.product(range(0, side, step), repeat=2))
        for y, x in corners:
            around = at(y, x) + at(y + step, x) + (at(y, x + step) + at(y + step, x + step))
            cloud[y + half, x + half] = around / 4 + wibble(rough)
        for y, x in corners:  # midpoints of the upper sides
            around = at(y + half, x + half) + at(y - half, x + half) + (at(y, x) + at(y, x + step))
            cloud[y, x + half] = around / 4 + wibble(rough)
        for y, x in corners:  # midpoints of the left sides
            around = at(y + half, x + half) + at(y + half, x - half) + (at(y, x) + at(y + step, x))
            cloud[y + half, x] = around / 4 + wibble(rough)
        if half > 1:
            level(half, rough / decay)

    level(side, 100.0)
    assert next(numbers, None) is None
    cloud -= cloud.min()
    return cloud / cloud.max()


@pytest.mark.parametrize("decay", [1.4, 2.0, 3.0])
@pytest.mark.parametrize("side", [2, 8, 32])
def test_fog_is_a_cloud_by_the_diamond_square_algorithm(side, decay):
    uniform = np.random.RandomState(6).random_sample((2, side * side - 1))
    found = clouds(uniform, side, decay)
    np.testing.assert_allclose(found, [cloud_slowly(one, side, decay) for one in uniform], rtol=0, atol=1e-13)
    assert (found.min((1, 2)).tolist(), found.max((1, 2)).tolist()) == ([0, 0], [1, 1])


def test_a_cloud_covers_its_image():
    assert [map_side(side) for side in (8, 9, 32, 33, 64, 224, 256, 299)] == [8, 16, 32, 64, 64, 256, 256, 512]
    white = np.full((1, 20, 20, 3), 255, np.uint8)
    fogged = corrupt(white, "fog", 5, mode="exact").astype(int)
    assert fogged.max() < 256
    assert np.ptp(fogged[0, :, :, 0]) > 30


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("sigma", [0.05, 0.9, 2.0, 6.4, 9.0])
@pytest.mark.parametrize("edge", ["nearest", "reflect"])
def test_gaussian_is_scipys(sigma, edge):
    """Up to radii beyond the side, where the mirror image is mirrored again."""
    values = np.random.RandomState(2).standard_normal((2, 12, 15))
    for truncate in (3.0, 4.0):
        expected = [ndimage.gaussian_filter(one, sigma, mode=edge, truncate=truncate) for one in values]
        np.testing.assert_allclose(gaussian(values, sigma, edge, truncate), expected, rtol=0, atol=1e-12)
    assert gaussian_weights(sigma)[1:].sum() * 2 + gaussian_weights(sigma)[0] == pytest.approx(1, abs=1e-15)


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("params", [(2.0, 1.3), (3.0, 5.0), (5.0, 12.0), (600.0, 170.8)])
def test_elastic_displacements_are_smoothed_by_a_mirrored_gaussian(params):
    strength, sigma = params
    raw = np.random.RandomState(4).uniform(-1, 1, (2, 2, 24, 24))
    found = elastic.displacement(raw, elastic.Elastic(strength, sigma, 0.0))
    for one, expected in zip(found.reshape(-1, 24, 24), raw.reshape(-1, 24, 24), strict=True):
        smooth = strength * ndimage.gaussian_filter(expected, sigma, mode="reflect", truncate=3)
        np.testing.assert_allclose(one, smooth, atol=1e-6 * strength)
    still = elastic.displacement(raw, elastic.Elastic(0.0, 0.0, 1.0))
    assert not still.any()


def test_the_affine_map_takes_three_points_to_their_shifted_places():
    shifts = np.random.RandomState(5).uniform(-3, 3, (4, 3, 2))
    side = 32
    points = 16 + 10 * np.array([[1, 1], [1, -1], [-1, -1]])
    for inverse, shift in zip(elastic.inverse_affine(shifts, side), shifts, strict=True):
        for point, moved in zip(points, points + shift, strict=True):
            np.testing.assert_allclose(inverse @ [*moved, 1], point, atol=1e-5)


@pytest.mark.parametrize("side", [8, 21])
def test_the_affine_warp_is_linear_between_pixels_at_places_of_a_32nd(side):
    """Sampled by scipy at the same places; the places lie within a 32nd of the map's."""
    shifts = np.random.RandomState(7).uniform(-2, 2, (2, 3, 2))
    inverse = elastic.inverse_affine(shifts, side)
    place = elastic.fixed_point(inverse, side)
    y, x = np.mgrid[:side, :side]
    true = np.einsum("nij,jhw->nihw", inverse, np.stack([x, y, np.ones_like(x)]))
    assert np.abs(place / 32 - true).max() <= 1 / 64 + 1 / 512
    images = noise_images(2, side) / np.float32(255)
    found = elastic.warp(images.transpose(0, 3, 1, 2).reshape(2, 3, -1), place).reshape(2, 3, side, side)
    for n, channel in itertools.product(range(2), range(3)):
        at = place[n, ::-1].astype(float) / 32
        expected = ndimage.map_coordinates(images[n, :, :, channel], at, order=1, mode="mirror")
        np.testing.assert_allclose(found[n, channel], expected, atol=3e-7)


def test_displaced_pixels_are_linear_between_pixels():
    """Inside the image by scipy; beyond it by the mirror rule of scipy 1.1, written out."""
    side, images = 16, noise_images(2, 16) / np.float32(255)
    shift = np.random.RandomState(8).uniform(-40, 40, (2, 2, side, side)).astype(np.float32)
    shift[0] /= 10
    found = elastic.sample(images.transpose(0, 3, 1, 2).reshape(2, 3, -1), shift).reshape(2, 3, side, side)
    inside = 0
    for n, y, x in itertools.product(range(2), range(side), range(side)):
        column, row = x + float(shift[n, 0, y, x]), y + float(shift[n, 1, y, x])
        expected = _taken(images[n], row, column)
        np.testing.assert_allclose(found[n, :, y, x], expected, atol=1e-6)
        if min(row, column) >= 0 and max(row, column) <= side - 1:
            inside += 1
            scipys = [ndimage.map_coordinates(c, [[row], [column]], order=1)[0] for c in images[n].transpose(2, 0, 1)]
            np.testing.assert_allclose(found[n, :, y, x], scipys, atol=1e-6)
    assert inside > 150


def _taken(image: np.ndarray, row: float, column: float) -> np.ndarray:
    """Linear between pixels; coordinates mirrored with the edge pixel, neighbours beyond the edge without it."""
    side = len(image)

    def folded(place: float) -> float:
        if place < 0:
            if place < -2 * side:
                place += 2 * side * math.floor(-place / (2 * side))
            return place + 2 * side if place < -side else -place - 1
        if place > side - 1:
            place -= 2 * side * math.floor(place / (2 * side))
            return 2 * side - place - 1 if place >= side else place
        return place

    def mirrored(k: int) -> int:
        return -k if k < 0 else 2 * side - 2 - k if k >= side else k

    row, column = folded(row), folded(column)
    y, x = math.floor(row), math.floor(column)
    total = np.zeros(3)
    for dy, dx in itertools.product((0, 1), repeat=2):
        weight = (row - y if dy else 1 - (row - y)) * (column - x if dx else 1 - (column - x))
        total += weight * image[mirrored(y + dy), mirrored(x + dx)]
    return total


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_snow_against_its_formula(severity):
    side, images = 17, noise_images(2, 17)
    params: Snow = get("snow").settings["tiny"][severity - 1]
    stream = np.random.RandomState(severity)
    field = params.mean + params.std * stream.standard_normal((2, side, side))
    angles = np.array([-130.0, -50.0])
    expected = np.empty(images.shape)
    for image, one, angle, out in zip(images, field, angles, expected, strict=True):
        layer = zoomed_slowly(one, params.zoom)
        layer[layer < params.threshold] = 0
        level = (np.clip(layer, 0, 1) * 255).astype(np.uint8)
        flakes = motion(level[None, :, :, None], params.radius, params.sigma, np.array([angle]))[0, :, :, 0] / 255
        for y, x in itertools.product(range(side), repeat=2):
            colour = image[y, x] / 255
            white = colour @ [0.299, 0.587, 0.114] * 1.5 + 0.5
            whitened = params.keep * colour + (1 - params.keep) * np.maximum(colour, white)
            out[y, x] = np.clip(whitened + flakes[y, x] + flakes[side - 1 - y, side - 1 - x], 0, 1) * 255
    found = snow(images, (field, angles), params)
    assert np.abs(found - expected + 0.5).max() <= 0.5 + 1e-3  # cut off; single precision tells at most at a step
    assert np.ptp(found) > 100


def test_flakes_fall_in_the_published_directions():
    params = get("snow").settings["cifar"][0]
    field, angles = draw_snow(CounterStream(0, "snow", 1, range(400)), (8, 8, 3), params)
    assert -135 <= angles.min() < -134
    assert -46 < angles.max() < -45
    assert field.shape == (400, 8, 8)
    assert abs(field.mean() - params.mean) < 5 * params.std / field.size**0.5


@pytest.mark.parametrize("angle", [-45.0, -7.0, 0.0, 20.0, 44.9])
def test_sums_near_a_change_of_byte_are_taken_again_to_the_same_bytes(monkeypatch, angle):
    images = np.random.RandomState(3).randint(0, 256, (1, 40, 40, 3)).astype(np.uint8)
    weights = line.motion_weights(6, 2)
    steps = line.motion_steps(np.array([angle]), len(weights))[0]
    slow = np.empty_like(images)
    for row, column, channel in np.ndindex(40, 40, 3):
        total = 0.0
        for weight, (down, right) in zip(weights.tolist(), steps.tolist(), strict=True):
            at = min(max(row + down, 0), 39), min(max(column + right, 0), 39)
            total += weight * (257.0 * images[0, *at, channel])
        slow[0, row, column, channel] = int(total + 0.5) // 257
    with kernel.disabled():
        np.testing.assert_array_equal(motion(images, 6, 2, np.array([angle])), slow)
        monkeypatch.setattr(line, "_FUSED_ERROR", 300.0)  # every sum counts as near
        np.testing.assert_array_equal(motion(images, 6, 2, np.array([angle])), slow)

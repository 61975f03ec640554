"""The round trip of libjpeg 9: against its own pixels, step by step, and by properties of its definition."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from regrow import data
from regrow.corruptions import corrupt, corrupt_set, fast, jpeg
from regrow.corruptions.fast import jpeg as jpeg_on_device
from regrow.corruptions.official import official_md5
from regrow.errors import DataError

STORED = dict(np.load(Path(__file__).parents[1] / "golden" / "jpeg9.npz"))
SUMS = json.loads(str(STORED["md5_json"]))
TRACE_QUALITY = int(STORED["trace_quality"])


def _on_device(images, quality):
    planes = torch.from_numpy(images).permute(0, 3, 1, 2)
    done = fast.find("jpeg_compression", "cuda")(planes, None, quality)
    return done.permute(0, 2, 3, 1).numpy()


def _shifted(values, bits):
    return (values + (1 << (bits - 1))) >> bits


def _block_after_block(image, tables):
    """The round trip of one image (H, W, 3) in whole numbers, written down as libjpeg's passes."""
    red, green, blue = image.astype(np.int64).transpose(2, 0, 1)
    ycc = [
        (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16,
        (-11058 * red - 21710 * green + 32768 * blue + 8421375) >> 16,
        (32768 * red - 27439 * green - 5329 * blue + 8421375) >> 16,
    ]
    for plane, size, bits, table in zip(ycc, (8, 16, 16), (15, 17, 17), (tables[0], tables[1], tables[1]), strict=True):
        forward, inverse = jpeg.forward_matrix(size), jpeg.inverse_matrix(size)
        height, width = plane.shape
        padded = np.pad(plane, ((0, -height % size), (0, -width % size)), mode="edge")
        for top in range(0, height, size):
            for left in range(0, width, size):
                block = padded[top : top + size, left : left + size]
                steps = _shifted(forward @ _shifted((block - 128) @ forward.T, 11), bits)
                kept = np.sign(steps) * ((np.abs(steps) + 4 * table) // (8 * table)) * table
                samples = _shifted(_shifted(inverse @ kept, 11) @ inverse.T, 18)
                block[...] = np.clip((samples + 512) % 1024 - 512 + 128, 0, 255)
        plane[...] = padded[:height, :width]
    luma, cb, cr = ycc[0], ycc[1] - 128, ycc[2] - 128
    changes = (91881 * cr + 32768) >> 16, (-22553 * cb - 46802 * cr + 32768) >> 16, (116130 * cb + 32768) >> 16
    return np.stack([luma + change for change in changes], -1).clip(0, 255)


@pytest.mark.parametrize("name", sorted(SUMS))
def test_pixels_of_the_library(name):
    shape, quality = name.rsplit("_q", 1)
    images = STORED[f"in_{shape}"]
    done = jpeg.round_trip(images, int(quality))
    assert hashlib.md5(done.tobytes()).hexdigest() == SUMS[name]
    if f"out_{name}" in STORED:
        np.testing.assert_array_equal(done, STORED[f"out_{name}"])
    np.testing.assert_array_equal(_on_device(images, int(quality)), done)


def test_matrices_and_tables():
    np.testing.assert_array_equal(jpeg.forward_matrix(8), STORED["matrix_F8"])
    np.testing.assert_array_equal(jpeg.forward_matrix(16), STORED["matrix_F16"])
    np.testing.assert_array_equal(jpeg.inverse_matrix(16), STORED["matrix_G16"])
    luma, chroma = jpeg.quantisation_tables(TRACE_QUALITY)
    np.testing.assert_array_equal(luma, STORED["trace_qtable_luma"])
    np.testing.assert_array_equal(chroma, STORED["trace_qtable_chroma"])
    k, x = np.arange(8)[:, None], np.arange(16)
    ideal = 8192 * math.sqrt(2) * np.cos((2 * x + 1) * k * np.pi / 32)
    ideal[0] = 8192
    assert np.abs(jpeg.forward_matrix(16) - ideal).max() < 2


@pytest.mark.parametrize(
    ("quality", "luma", "chroma"),
    [(85, (5, 3, 30), (5, 5, 30)), (40, (20, 14, 124), (21, 23, 124)), (5, (160, 110, 255), (170, 180, 255)),
     (100, (1, 1, 1), (1, 1, 1)), (200, (1, 1, 1), (1, 1, 1)), (0, (255, 255, 255), (255, 255, 255))],
)  # fmt: skip
def test_divisors_of_other_qualities(quality, luma, chroma):
    for table, expected in zip(jpeg.quantisation_tables(quality), (luma, chroma), strict=True):
        assert (table[0, 0], table[0, 1], table[7, 7]) == expected


def test_colours_both_ways():
    forward = np.stack(jpeg.to_ycc(STORED["colour_rgb"][None]), -1)[0]
    np.testing.assert_array_equal(forward, STORED["colour_to_ycc"])
    back = jpeg.to_rgb(*(STORED["colour_ycc"][:, k] for k in range(3)))
    np.testing.assert_array_equal(back, STORED["colour_to_rgb"])


def test_planes_of_the_traced_image():
    tables = jpeg.quantisation_tables(TRACE_QUALITY)
    planes = jpeg.to_ycc(STORED["trace_in"][None])
    for plane, name, size, table in zip(
        planes, ("y", "cb", "cr"), (8, 16, 16), (tables[0], *tables[1:] * 2), strict=True
    ):
        np.testing.assert_array_equal(jpeg.code_plane(plane, size, table)[0], STORED[f"trace_{name}_decoded"])
    np.testing.assert_array_equal(jpeg.round_trip(STORED["trace_in"][None], TRACE_QUALITY)[0], STORED["trace_out"])


@pytest.mark.parametrize("quality", [100, 85, 50, 7])
def test_flat_greys_stay_flat_and_near(quality):
    for level in range(0, 256, 5):
        done = jpeg.round_trip(np.full((1, 20, 24, 3), level, np.uint8), quality)
        assert (done == done[0, 0, 0, 0]).all()
        assert abs(int(done[0, 0, 0, 0]) - level) <= math.ceil(jpeg.quantisation_tables(quality)[0][0, 0] / 16)


def test_pixels_of_whole_blocks_do_not_depend_on_what_lies_beyond():
    image = STORED["in_64x64"][:1]
    whole = jpeg.round_trip(image, 40)
    np.testing.assert_array_equal(jpeg.round_trip(image[:, :48, :37], 40)[:, :48, :32], whole[:, :48, :32])
    odd = image[:, :37, :45]
    padded = np.pad(odd, ((0, 0), (0, 11), (0, 19), (0, 0)), mode="edge")
    np.testing.assert_array_equal(jpeg.round_trip(padded, 40)[:, :37, :45], jpeg.round_trip(odd, 40))


def test_any_batch_and_any_strides_give_the_same_pixels():
    images = np.random.RandomState(0).randint(0, 256, (70, 40, 40, 3)).astype(np.uint8)
    whole = jpeg.round_trip(images, 30)
    np.testing.assert_array_equal(np.concatenate([jpeg.round_trip(images[k : k + 1], 30) for k in range(70)]), whole)
    np.testing.assert_array_equal(
        jpeg.round_trip(images[::-1, :, ::-1], 30), jpeg.round_trip(images[::-1, :, ::-1].copy(), 30)
    )
    assert jpeg.round_trip(images[:0], 30).shape == (0, 40, 40, 3)


def test_beyond_ten_bits_samples_wrap_as_in_the_library(monkeypatch):
    image = np.repeat(np.random.RandomState(0).choice([0, 255], (8, 8, 1)), 3, 2).astype(np.uint8)
    forward, inverse = jpeg.forward_matrix(8), jpeg.inverse_matrix(8)
    steps = _shifted(forward @ _shifted((image[..., 0] - np.int64(128)) @ forward.T, 11), 15)
    # what adds to the first sample gets a divisor that doubles it, what takes from it is dropped
    adds = steps * np.outer(inverse[0], inverse[0]) > 0
    table = np.where(adds, np.maximum(np.abs(steps) // 4, 1), 1 << 15)
    kept = np.sign(steps) * ((np.abs(steps) + 4 * table) // (8 * table)) * table
    assert _shifted(_shifted(inverse @ kept, 11) @ inverse.T, 18)[0, 0] > 511
    for module in (jpeg, jpeg_on_device):
        monkeypatch.setattr(module, "quantisation_tables", lambda _: (table, table))
    expected = _block_after_block(image, (table, table))
    np.testing.assert_array_equal(jpeg.round_trip(image[None], 50)[0], expected)
    np.testing.assert_array_equal(_on_device(image[None], 50)[0], expected)


@pytest.mark.parametrize("quality", [100, 93, 49, 1])
@pytest.mark.parametrize(("height", "width"), [(64, 96), (16, 7), (33, 50)])
def test_both_forms_equal_integers_block_after_block(quality, height, width):
    images = np.random.RandomState(quality + height).randint(0, 256, (3, height, width, 3)).astype(np.uint8)
    images[1] = np.where(images[1] < 128, 0, 255)
    given = images.copy()
    expected = np.stack([_block_after_block(image, jpeg.quantisation_tables(quality)) for image in images])
    np.testing.assert_array_equal(jpeg.round_trip(images, quality), expected)
    np.testing.assert_array_equal(_on_device(images, quality), expected)
    np.testing.assert_array_equal(images, given)


def test_the_best_quality_moves_grey_noise_by_one_level_at_most():
    images = np.repeat(np.random.RandomState(0).randint(0, 256, (4, 40, 40, 1)), 3, 3).astype(np.uint8)
    moved = jpeg.round_trip(images, 100).astype(int) - images
    assert np.abs(moved).max() == 1


def test_stored_is_the_round_trip_of_the_published_files():
    images = np.random.RandomState(0).randint(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    plain = corrupt(images, "contrast", 2, mode="exact")
    assert (jpeg.round_trip(plain, 85) != plain).any()
    np.testing.assert_array_equal(corrupt(images, "contrast", 2, mode="exact", stored=True), jpeg.round_trip(plain, 85))
    np.testing.assert_array_equal(corrupt_set(images, "contrast", 2, stored=True), jpeg.round_trip(plain, 85))
    on_device = fast.stored(torch.from_numpy(plain).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(on_device.numpy(), jpeg.round_trip(plain, 85))


def test_the_codec_can_be_chosen():
    images = np.random.RandomState(0).randint(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    default = corrupt(images, "jpeg_compression", 3, mode="exact")
    np.testing.assert_array_equal(corrupt(images, "jpeg_compression", 3, codec="libjpeg9"), default)
    np.testing.assert_array_equal(
        corrupt(images, "jpeg_compression", 3, codec="pillow"), jpeg.pillow_round_trip(images, 58)
    )
    assert (jpeg.pillow_round_trip(images, 58) != default).any()


@pytest.mark.data
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_official_file(name):
    try:
        images = data.load(name, "test", download=False).images
    except DataError as error:
        pytest.skip(str(error))
    digest = hashlib.md5()
    header = b"\x93NUMPY\x01\x00v\x00"
    about = "{'descr': '|u1', 'fortran_order': False, 'shape': (50000, 32, 32, 3), }"
    digest.update(header + about.ljust(117).encode() + b"\n")
    for severity in range(1, 6):
        digest.update(corrupt_set(images, "jpeg_compression", severity).tobytes())
    assert digest.hexdigest() == official_md5(name, "jpeg_compression").md5

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
from regrow.corruptions.official import official_md5
from regrow.errors import DataError

STORED = dict(np.load(Path(__file__).parents[1] / "golden" / "jpeg9.npz"))
SUMS = json.loads(str(STORED["md5_json"]))
TRACE_QUALITY = int(STORED["trace_quality"])


@pytest.mark.parametrize("name", sorted(SUMS))
def test_pixels_of_the_library(name):
    shape, quality = name.rsplit("_q", 1)
    images = STORED[f"in_{shape}"]
    done = jpeg.round_trip(images, int(quality))
    assert hashlib.md5(done.tobytes()).hexdigest() == SUMS[name]
    if f"out_{name}" in STORED:
        np.testing.assert_array_equal(done, STORED[f"out_{name}"])
    planes = torch.from_numpy(images).permute(0, 3, 1, 2)
    by_torch = fast.find("jpeg_compression", "cuda")(planes, None, int(quality))
    np.testing.assert_array_equal(by_torch.permute(0, 2, 3, 1).numpy(), done)


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


def test_beyond_ten_bits_samples_wrap_as_in_the_library():
    table = np.full((8, 8), 255)
    plane = np.where((np.arange(8) + np.arange(8)[:, None]) % 2, 255, 0)[None].astype(np.float32)
    plain = jpeg.code_plane(plane, 8, table)
    assert plain.min() == 0
    assert plain.max() == 255
    # a divisor of 4 times the largest makes the one coefficient overshoot: every sample is its value modulo 1024
    forward, inverse = jpeg.forward_matrix(8), jpeg.inverse_matrix(8)
    level = np.zeros((8, 8), np.int64)
    level[0] = 127
    steps = (forward @ ((level @ forward.T + 1024) >> 11) + (1 << 14)) >> 15
    huge = np.full((8, 8), 6000)
    kept = np.sign(steps) * ((np.abs(steps) + 4 * huge) // (8 * huge)) * huge
    wide = ((((inverse @ kept + 1024) >> 11) @ inverse.T) + (1 << 17)) >> 18
    expected = np.clip((wide + 512) % 1024 - 512 + 128, 0, 255)
    np.testing.assert_array_equal(jpeg.code_plane((level + 128)[None].astype(np.float32), 8, huge)[0], expected)


def test_stored_is_the_round_trip_of_the_published_files():
    images = np.random.RandomState(0).randint(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    plain = corrupt(images, "contrast", 2, mode="exact")
    assert (jpeg.round_trip(plain, 85) != plain).any()
    np.testing.assert_array_equal(corrupt(images, "contrast", 2, mode="exact", stored=True), jpeg.round_trip(plain, 85))
    np.testing.assert_array_equal(corrupt_set(images, "contrast", 2, stored=True), jpeg.round_trip(plain, 85))


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

"""Frost: which photographs are used, how they are brought to size, and which pieces are cut."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from regrow import photographs
from regrow.corruptions import corrupt, frost, get, provenance
from regrow.corruptions.draws import CounterStream
from regrow.errors import InputError

SIZES = [(600, 900), (315, 560), (315, 560), (350, 527), (495, 660)]  # of the photographs, (height, width)
IMAGES = np.random.RandomState(3).randint(0, 256, (4, 32, 32, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Five pictures in the place of the photographs, with their names, formats and sums; nothing else is found."""
    sums = {}
    for k, (name, (height, width)) in enumerate(zip(photographs.FROST, SIZES, strict=True)):
        path = tmp_path / "data" / "frost" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.RandomState(k).randint(0, 256, (height, width, 3)).astype(np.uint8)).save(path)
        sums[name] = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setattr(frost, "FROST_FILES", sums)
    monkeypatch.setenv("REGROW_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nothing"))
    yield path.parent
    frost._read.cache_clear()


def linear_slowly(picture: np.ndarray, factor: float) -> np.ndarray:
    """By scipy, with pixels as areas: what fixed-point arithmetic approximates."""
    shape = [round(length * factor) for length in picture.shape[:2]]
    rows, columns = (np.clip((np.arange(n) + 0.5) / factor - 0.5, 0, None) for n in shape)
    places = np.meshgrid(rows, columns, indexing="ij")
    planes = [
        ndimage.map_coordinates(plane, places, order=1, mode="nearest") for plane in picture.transpose(2, 0, 1) * 1.0
    ]
    return np.stack(planes, axis=2)


@pytest.mark.parametrize("factor", [0.2, 0.3, 0.77, 1.7])
@pytest.mark.parametrize("shape", [(30, 41), (57, 60), (315, 56)])
def test_resizing_is_linear_between_pixels(shape, factor):
    picture = np.random.RandomState(1).randint(0, 256, (*shape, 3)).astype(np.uint8)
    expected = linear_slowly(picture, factor)
    found = frost.resize_linear(picture, expected.shape[1], expected.shape[0], (factor, factor))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1.01  # cut off twice on the way, then rounded
    assert abs((found - expected).mean()) < 0.3


def test_a_flat_picture_stays_flat():
    for level in (0, 1, 128, 254, 255):
        picture = np.full((50, 60, 3), level, np.uint8)
        assert (frost.resize_linear(picture, 12, 10, (0.2, 0.2)) == level).all()


@pytest.mark.parametrize(("scale", "side", "shrink"), [("cifar", 32, 0.2), ("tiny", 64, 0.3), ("imagenet", 224, 1)])
def test_pictures_are_shrunk_for_small_images_alone(folder, scale, side, shrink):
    prepared, notes = frost.prepare(get("frost").settings[scale][0], folder, side)
    expected = [(round(height * shrink), round(width * shrink)) for height, width in SIZES]
    assert [picture.shape[:2] for picture in prepared.pictures] == expected
    assert notes == {}


def test_enlarged_photographs_are_said(folder):
    prepared, notes = frost.prepare(get("frost").settings["inception"][0], folder, 400)
    assert all(min(picture.shape[:2]) > 400 for picture in prepared.pictures)
    assert "enlarged for images of 400 px: not comparable" in notes["frost"]
    small = [np.full((9, 7, 3), 50, np.uint8)] * 5
    assert corrupt(IMAGES, "frost", 5, frost=small).shape == IMAGES.shape
    assert "caller's" in provenance("frost", 32, frost=small)["frost"]  # enlarged or not


def test_the_photographs_of_a_data_root_are_found(folder, monkeypatch):
    assert "procedural textures" in provenance("frost", 32)["frost"]
    assert "regrow data get frost" in provenance("frost", 32)["frost"]
    substitute = corrupt(IMAGES, "frost", 3)
    monkeypatch.setenv("REGROW_DATA", str(folder.parent))
    assert provenance("frost", 32) == {}
    published = corrupt(IMAGES, "frost", 3)
    assert not np.array_equal(published, substitute)
    np.testing.assert_array_equal(corrupt(IMAGES, "frost", 3, frost=folder), published)
    np.testing.assert_array_equal(corrupt(IMAGES, "frost", 3, frost=str(folder)), published)
    arrays = [np.asarray(Image.open(folder / name).convert("RGB")) for name in photographs.FROST]
    np.testing.assert_array_equal(corrupt(IMAGES, "frost", 3, frost=arrays), published)
    assert "caller's: not comparable" in provenance("frost", 32, frost=arrays)["frost"]


def test_a_photograph_that_lacks_or_is_another_is_refused(folder):
    first, *_, last = photographs.FROST
    shutil.copy(folder / first, folder / last)
    with pytest.raises(InputError, match=rf"{last} is not the published photograph.*regrow data get frost"):
        corrupt(IMAGES, "frost", 1, frost=folder)
    (folder / last).unlink()
    with pytest.raises(InputError, match=f"lacks the frost photograph {last}.*regrow data get frost"):
        corrupt(IMAGES, "frost", 1, frost=folder)
    with pytest.raises(InputError, match=f"lacks the frost photograph {first}"):
        corrupt(IMAGES, "frost", 1, frost=folder / "nowhere")


GREY = np.full((80, 90, 3), 9, np.uint8)


@pytest.mark.parametrize(
    "given",
    [[], [GREY] * 4, [GREY.astype(float)] * 5, [GREY[..., 0]] * 5, [GREY] * 4 + [GREY[..., :1]], [GREY[:0]] * 5],
    ids=["none", "four", "floats", "grey", "one grey", "empty"],
)
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_pictures_that_cannot_be_used_are_refused_in_one_line(given, mode):
    with pytest.raises(InputError, match="frost") as error:
        corrupt(IMAGES, "frost", 1, frost=given, mode=mode)
    assert "Next: " in str(error.value)
    assert "\n" not in str(error.value)


def test_every_picture_and_place_is_drawn(stand_in_frost):
    params, _ = frost.prepare((1.0, 0.4, 1), stand_in_frost, 300)
    which, top, left = frost.draw_frost(CounterStream(0, "frost", 1, range(3000)), (300, 300, 3), params)
    for k, picture in enumerate(stand_in_frost):
        rows, columns = (length - 300 for length in picture.shape[:2])
        chosen = which == k
        assert abs(chosen.mean() - 0.2) < 5 * (0.16 / 3000) ** 0.5
        assert sorted(set(top[chosen].tolist())) == list(range(rows))  # the last possible place is never drawn
        assert sorted(set(left[chosen].tolist())) == list(range(columns))


def test_frost_is_a_weighted_sum():
    stream = np.random.RandomState(8)
    pictures = tuple(stream.randint(0, 256, (50, 60, 3)).astype(np.uint8) for _ in range(5))
    params = frost.Frost(0.7, 0.6, pictures)
    draws = np.array([4, 0, 2, 2]), np.array([0, 5, 17, 1]), np.array([27, 0, 3, 9])
    found = frost.frost(IMAGES, draws, params)
    for image, out, which, top, left in zip(IMAGES, found, *draws, strict=True):
        piece = pictures[which][top : top + 32, left : left + 32]
        np.testing.assert_array_equal(out, np.clip(0.7 * image + 0.6 * piece, 0, 255).astype(np.uint8))


def test_the_substitute_has_the_sizes_and_tones_of_ice():
    pictures = frost._substitute()
    assert [picture.shape[:2] for picture in pictures] == SIZES
    for picture in pictures:
        red, _, blue = picture.reshape(-1, 3).mean(axis=0)
        assert blue > red
        assert np.ptp(picture) > 150


@pytest.mark.data
def test_the_published_photographs_are_used_as_they_are(data_root):
    folder = Path(data_root) / "frost"
    if not folder.is_dir():
        pytest.skip("no folder frost under REGROW_DATA: regrow data get frost")
    textures = frost.find_textures(folder)
    assert textures.note == ""
    assert [picture.shape for picture in textures.pictures] == [(*size, 3) for size in SIZES]
    assert provenance("frost", 32, frost=folder) == {}

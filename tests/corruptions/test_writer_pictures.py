"""Arrays as pictures, and pictures as arrays."""

import dataclasses

import numpy as np
import pytest

from regrow.corruptions import registry
from regrow.corruptions.writer import ArrayPictures, blocks, choose_names, pictures, pool
from regrow.errors import DataError, InputError

IMAGES = np.random.RandomState(0).randint(0, 256, (6, 16, 16, 3)).astype(np.uint8)
LABELS = np.array([0, 1, 1, 0, 2, 1])


class Damaged(ArrayPictures):
    def read(self, i):
        if i in (0, 3):
            raise DataError(f"{self.path(i)} is damaged.")
        return super().read(i)


def test_arrays_come_back_as_they_were():
    given = ArrayPictures("made up", IMAGES, LABELS, ["cat", "dog", "owl"])
    assert len(given) == 6
    assert given.path(4) == "owl/00004.JPEG"
    seen = []
    images, labels, skipped = pictures.load(given, progress=lambda *row: seen.append(row))
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert skipped == {}
    assert seen == [(i, 6) for i in range(1, 7)]


def test_damaged_pictures_stop_or_are_left_out_with_their_labels():
    given = Damaged("made up", IMAGES, LABELS, ["cat", "dog", "owl"])
    with pytest.raises(DataError, match=r"cat/00000\.JPEG is damaged"):
        pictures.load(given)
    images, labels, skipped = pictures.load(given, "skip")
    np.testing.assert_array_equal(images, IMAGES[[1, 2, 4, 5]])
    assert labels.tolist() == [1, 1, 2, 1]
    assert list(skipped) == ["cat/00000.JPEG", "cat/00003.JPEG"]


def test_too_many_for_memory_are_refused(monkeypatch):
    monkeypatch.setattr(pictures, "_MOST_BYTES", 4000)
    with pytest.raises(InputError, match=r"6 pictures of 16 px are too many .*--format tree"):
        pictures.load(ArrayPictures("made up", IMAGES, LABELS, ["cat", "dog", "owl"]))


def test_large_sets_take_all_cores_and_small_ones_none_but_this(monkeypatch):
    monkeypatch.setattr(pool, "usable_cpus", lambda: 7)
    assert blocks.default_jobs(2000, 32) == 1
    assert blocks.default_jobs(950_000, 32) == 7
    assert blocks.default_jobs(50_000, 224) == 7


def test_the_group_c_bar_holds_what_was_published_for_the_size(monkeypatch):
    columns = {"small": ["cifar"], "both": ["cifar", "imagenet"], "large": ["imagenet"]}
    fog = registry.get("fog")
    records = {
        name: dataclasses.replace(fog, name=name, benchmark="c-bar", settings=dict.fromkeys(columns[name], (1,) * 5))
        for name in columns
    }
    monkeypatch.setattr(registry, "_records", lambda: {"fog": fog} | records)
    assert choose_names(["c-bar"]) == ["small", "both", "large"]
    assert choose_names(["c-bar"], 32) == ["small", "both"]
    assert choose_names(["c-bar"], 224) == choose_names(["c-bar"], 32, "imagenet") == ["both", "large"]
    assert choose_names(["c-bar"], 64) == ["small", "both", "large"]  # published for neither


def test_a_misspelt_group_is_told():
    with pytest.raises(InputError, match="Did you mean 'common'"):
        choose_names(["comon"])

"""Data sets of Hugging Face on disk: the pictures and classes that the library itself gives."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regrow.data import huggingface
from regrow.data.huggingface import load
from regrow.data.scan import scan
from regrow.errors import DataError, InputError

datasets = pytest.importorskip("datasets", reason="datasets is not installed (extra regrow[hf])")


@pytest.fixture
def make(jpeg: Callable[..., bytes]) -> Callable[..., Any]:
    """A data set of n JPEGs from a seed, with a column of other numbers."""

    def table(n: int, seed: int = 0, **changes: Any) -> Any:
        columns = {
            "id": [7 * i for i in range(n)],
            "img": [{"bytes": jpeg(seed + i), "path": f"{i}.jpg"} for i in range(n)],
            "kind": [i % 2 for i in range(n)],
        }
        features = {
            "id": datasets.Value("int64"),
            "img": datasets.Image(),
            "kind": datasets.ClassLabel(names=["ant", "bee/wasp"]),
        }
        for key, (values, feature) in changes.items():
            columns[key], features[key] = values, feature
        return datasets.Dataset.from_dict(columns, datasets.Features(features))

    return table


@pytest.fixture
def kinds(tmp_path: Path, make: Callable[..., Any]) -> dict[str, Path]:
    """Training and validation part, saved in each way."""
    parts = {"train": make(6), "validation": make(4, 20)}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    for name, table in parts.items():
        for layout in (f"files/data/{name}-00000-of-00001.parquet", f"hub/default/{name}/0000.parquet"):
            (tmp_path / layout).parent.mkdir(parents=True, exist_ok=True)
            table.to_parquet(str(tmp_path / layout))
    return {name: tmp_path / name for name in ("saved", "files", "hub")}


@pytest.mark.parametrize("kind", ["saved", "files", "hub"])
@pytest.mark.parametrize(("split", "n", "seed"), [("train", 6, 0), ("test", 4, 20), ("validation", 4, 20)])
def test_pictures_and_classes_are_those_of_the_table(kinds, jpeg, kind: str, split: str, n: int, seed: int) -> None:
    assert huggingface.is_table(kinds[kind])
    found = load(kinds[kind], split)
    assert len(found) == n
    assert found.classes == ("ant", "bee/wasp")
    assert found.labels == tuple(i % 2 for i in range(n)) == tuple(found.label(i) for i in range(n))
    assert [found.path(i) for i in (0, 3)] == ["ant/00000000", "bee-wasp/00000003"]
    for i in range(n):
        expected = Image.open(io.BytesIO(jpeg(seed + i)))
        np.testing.assert_array_equal(np.asarray(found.open(i)), np.asarray(expected))
    assert found.open(0, 10).size == (12, 10)
    assert scan(found).skipped == []


@pytest.mark.parametrize("kind", ["saved", "files"])
def test_another_process_gets_the_place_not_the_pictures(kinds, kind: str) -> None:
    found = load(kinds[kind], "train")
    content = pickle.dumps(found)
    assert len(content) < 6000
    np.testing.assert_array_equal(np.asarray(pickle.loads(content).open(5)), np.asarray(found.open(5)))


def test_one_saved_part_needs_no_name_and_a_shuffled_one_keeps_its_order(tmp_path: Path, make, jpeg) -> None:
    make(5).select([4, 1, 2]).save_to_disk(str(tmp_path / "one"))
    found = load(tmp_path / "one")
    assert found.labels == (0, 1, 0)
    np.testing.assert_array_equal(np.asarray(found.open(0)), np.asarray(Image.open(io.BytesIO(jpeg(4)))))


def test_columns_without_features_are_found_by_their_types(tmp_path: Path, make) -> None:
    table = make(4, kind=([2, 0, 1, 2], datasets.Value("int16"))).rename_column("kind", "label")
    arrow = table.with_format("arrow")[:].replace_schema_metadata(None)
    import pyarrow.parquet

    pyarrow.parquet.write_table(arrow, tmp_path / "x.parquet")
    found = load(tmp_path)
    assert found.classes == ("0", "1", "2")
    assert found.labels == (2, 0, 1, 2)
    assert found.open(1).size == (48, 40)
    assert load(tmp_path, label="id").labels == (0, 7, 14, 21)


def test_pictures_may_be_bytes_or_places_of_files(tmp_path: Path, make, jpeg, save) -> None:
    place = save(tmp_path / "pictures/a.jpg", 3)
    raw = ([jpeg(1), jpeg(2), b""], datasets.Value("binary"))
    placed = ([{"path": str(place), "bytes": None}, {"path": None, "bytes": jpeg(2)}, None], datasets.Image())
    make(3, raw=raw, img=placed).save_to_disk(str(tmp_path / "set"))
    found = load(tmp_path / "set")
    np.testing.assert_array_equal(np.asarray(found.open(0)), np.asarray(Image.open(place)))
    with pytest.raises(DataError, match="ant/00000002 has no picture in column 'img'"):
        found.open(2)
    found = load(tmp_path / "set", image="raw")
    np.testing.assert_array_equal(np.asarray(found.open(0)), np.asarray(Image.open(io.BytesIO(jpeg(1)))))
    kept, skipped = scan(found, "skip")
    assert kept.tolist() == [0, 1]
    assert [path for path, _ in skipped] == ["ant/00000002"]


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({}, {"split": "extra"}, "has no split 'extra': there is train, val"),
        ({}, {}, "holds several splits: there is train, val"),
        ({}, {"split": "train", "image": "imgs"}, "no column 'imgs'; it has id, img, kind"),
        ({}, {"split": "train", "label": "img"}, "does not hold whole numbers"),
        ({"more": ("img", "Image")}, {"split": "train"}, "more than one column that must be the picture"),
        ({"img": ("id", "int64")}, {"split": "train"}, "no column that must be the picture"),
        ({"kind": ("id", "string")}, {"split": "train", "label": "kind"}, "does not hold whole numbers"),
        ({"kind": ("gaps", "int64")}, {"split": "train", "label": "kind"}, "rows without a number"),
        ({"kind": ("hidden", "ClassLabel")}, {"split": "train"}, "rows of class -1 in column 'kind'"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, make, jpeg, changes, arguments, said: str) -> None:
    values = {
        "img": [{"bytes": jpeg(0), "path": None}] * 3,
        "id": [0, 1, 2],
        "hidden": [-1, -1, -1],
        "gaps": [0, None, 1],
    }
    kinds = {"Image": datasets.Image(), "ClassLabel": datasets.ClassLabel(names=["a", "b"])}
    given = {}
    for key, (what, kind) in changes.items():
        value = [str(v) for v in values[what]] if kind == "string" else values[what]
        given[key] = (value, kinds.get(kind) or datasets.Value(kind))
    for split in ("train", "validation"):
        make(3, **given).to_parquet(str(tmp_path / f"{split}.parquet"))
    with pytest.raises(DataError, match=said) as error:
        load(tmp_path, **arguments)
    assert "Next: " in str(error.value)


def test_other_and_damaged_folders_are_refused(tmp_path: Path, kinds) -> None:
    assert not huggingface.is_table(tmp_path / "absent")
    for path in (tmp_path / "absent", kinds["saved"].parent / "hub/default/nothing"):
        with pytest.raises(DataError, match="no data set of the library datasets"):
            load(path)
    for file in kinds["files"].rglob("train*.parquet"):
        file.write_bytes(file.read_bytes()[:300])
    for file in kinds["saved"].rglob("train/*.arrow"):
        file.write_bytes(file.read_bytes()[:100])
    for kind in ("files", "saved"):
        with pytest.raises(DataError, match="cannot be read"):
            load(kinds[kind], "train")


def test_without_the_library_it_says_how_to_get_it(kinds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'regrow\[hf\]'"):
        load(kinds["saved"], "train")


def test_the_fingerprint_follows_the_files(kinds) -> None:
    before = load(kinds["saved"], "train").fingerprint()
    assert load(kinds["saved"], "train").fingerprint() == before
    assert load(kinds["saved"], "test").fingerprint() != before
    for file in kinds["saved"].rglob("*.arrow"):
        os.utime(file, ns=(1, 1))
    assert load(kinds["saved"], "train").fingerprint() != before

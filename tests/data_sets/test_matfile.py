"""MATLAB's files against scipy, and files that claim more than they hold."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from regrow.data import matfile

TABLE = np.zeros((3, 1), [(name, "O") for name in ("id", "wnid", "words", "children")])
for i, words in enumerate(("tench", "näive, goldfish", "")):
    TABLE[i, 0] = (float(i + 1), f"n0{i}", words, np.array([[1.5, -2.0], [7, 1e9]])[:, : i % 2 + 1])
VALUES = {"synsets": TABLE, "n": np.int16([[-3, 4]]), "cells": np.array([["a", 2.5]], object), "none": np.zeros((0, 3))}


def saved(**how: Any) -> bytes:
    content = io.BytesIO()
    savemat(content, VALUES, **how)
    return content.getvalue()


@pytest.mark.parametrize("how", [{}, {"do_compression": True}, {"oned_as": "column"}], ids=str)
def test_values_are_those_that_scipy_has_written(how: dict[str, Any]) -> None:
    found = matfile.variables(saved(**how))
    assert set(found) == set(VALUES)
    assert found["n"] == [-3, 4]
    assert found["cells"] == ["a", [2.5]]
    assert found["none"] == []
    assert [row["id"] for row in found["synsets"]] == [[1], [2], [3]]
    assert [row["wnid"] for row in found["synsets"]] == ["n00", "n01", "n02"]
    assert [row["words"] for row in found["synsets"]] == ["tench", "näive, goldfish", ""]
    assert [row["children"] for row in found["synsets"]] == [[1.5, 7], [1.5, 7, -2, 1e9], [1.5, 7]]


def test_no_more_is_taken_than_is_there() -> None:
    content = saved()
    shape = struct.pack("<IIii", 5, 8, 3, 1)  # of the table
    assert content.count(shape) == 1
    for claimed in ((2**31 - 1, 1), (2**31 - 1, 2**31 - 1), (-3, 1), (4, 1)):
        with pytest.raises(ValueError, match=r"claims|negative"):
            matfile.variables(content.replace(shape, struct.pack("<IIii", 5, 8, *claimed)))
    packed = zlib.compress(bytes(2**20))
    bomb = content[:128] + struct.pack("<II", 15, len(packed)) + packed
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        matfile.variables(bomb, limit_bytes=1000)
    for wrong in (b"", content[:100], b"x" * 200, content[:-40]):
        with pytest.raises(ValueError, match=r"MATLAB 5|cut short|claims"):
            matfile.variables(wrong)

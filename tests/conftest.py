"""Shared by all tests: where data and browser are, and torch at one thread."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # bits depend on the number of threads, and tests run side by side


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated data go to one cache of the whole test run, never to the user's."""
    cache = tmp_path_factory.getbasetemp().parent / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture
def data_root() -> Path:
    """Folder of real data sets; the test is skipped where there is none."""
    root = os.environ.get("REGROW_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("REGROW_DATA names no folder of real data sets")
    return Path(root)

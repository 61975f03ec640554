"""Shared by all tests: where data and browser are, and torch at one thread."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
import torch

from regrow import _torchvision

torch.set_num_threads(1)  # bits depend on the number of threads, and tests run side by side


#: Files that take longest begin first, so that no worker is left with one of them at the end.
LONGEST = (
    "test_kill",
    "test_run_study",
    "test_report_browser",
    "test_methods_contract",
    "test_report_page",
    "test_cli",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files by how long they take; tests within a file stay in order."""
    place = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def libraries() -> None:
    """Make timm and torchvision importable (see regrow._torchvision), or skip."""
    for name in ("timm", "torchvision"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (extra regrow[models])")
    _torchvision.declare()
    importlib.import_module("timm")


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

"""The analyses of a run: found by listing, made once, made anew when what they are made from changes."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from regrow import analysis, data, files
from regrow.study import analyses as room
from regrow.study import execute
from regrow.study.analyses import Analysis, Subject, analyses, versions
from regrow.study.cells import CellSet
from regrow.study.recipe import AnalysisSettings, OnImages
from regrow.training.checkpoint import Weights
from regrow.training.settings import (
    DataSettings,
    MethodSettings,
    ModelSettings,
    Precision,
    RunSettings,
    SeedSettings,
    TrainingSettings,
)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """A small sparse network by hand, with ten test images of `cues`."""
    images = data.load_images("cues", "test", n=10)
    cells = CellSet(tmp_path / "cells", "cues", {("clean", 0): "c"}, [], images.spec)
    cells.folder.mkdir()
    np.save(cells.path("clean", 0), images.images)
    np.save(cells.folder / "labels.npy", images.labels)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    mask = torch.rand(16, 3, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    settings = RunSettings(
        data=DataSettings(name="cues"),
        model=ModelSettings(name="resnet8", width=4),
        method=MethodSettings(name="set"),
        training=TrainingSettings(steps=1),
        sparsity=0.5,
        seeds=SeedSettings(init=0, mask=0, data=0, growth=0),
        precision=Precision(),
    )
    weights = Weights(tensors=tensors, masks={"0.weight": mask}, meta={})
    return Subject(model.eval(), model, weights, settings, AnalysisSettings(), cells, 5, torch.device("cpu"))


def test_every_file_of_the_room_is_an_analysis_that_has_its_name() -> None:
    files_ = [module.name for module in pkgutil.iter_modules(room.__path__)]
    assert [one.name for one in analyses()] == sorted(files_)
    assert set(versions()) == set(files_)
    for name in files_:
        one = importlib.import_module(f"{room.__name__}.{name}").ANALYSIS
        assert isinstance(one, Analysis)
        assert one.version >= 1
        assert one.make.__doc__


def test_how_many_images_follows_the_recipe_the_size_and_what_there_is(subject: Subject) -> None:
    assert subject.n_images(None, usual=4) == 4
    assert subject.n_images(None, usual=500) == 10
    assert subject.n_images(7, usual=4) == 7
    assert subject.n_images(0, usual=4) == 0
    assert len(subject.pixels(3)) == len(subject.labels(3)) == len(subject.normalised(3)) == 3
    large = replace(subject, cells=replace(subject.cells, spec=replace(subject.spec, image_size=224)))
    assert not large.is_small
    assert large.n_images(None, usual=4) == 0
    assert large.n_images(6, usual=4) == 6
    clips = replace(subject, cells=replace(subject.cells, spec=replace(subject.spec, frames=8)))
    assert clips.n_images(None, usual=4) == 0


@pytest.mark.parametrize("name", ["heat_map", "gradients", "sharpness", "aliasing"])
def test_costly_analyses_are_left_out_where_no_images_are_asked_for(subject: Subject, name: str) -> None:
    make = importlib.import_module(f"{room.__name__}.{name}").make
    none = AnalysisSettings.model_validate({name: {"images": 0}})
    assert make(replace(subject, chosen=none)) is None
    clips = replace(subject, cells=replace(subject.cells, spec=replace(subject.spec, frames=8)))
    assert make(replace(clips, chosen=AnalysisSettings.model_validate({name: {"images": 3}}))) is None


def test_concentration_is_the_counted_row_of_the_network(subject: Subject) -> None:
    from regrow.study.analyses.spatial import make

    found = make(subject)
    masks = subject.weights.masks
    kernels, sizes = ({k: f(m) for k, m in masks.items()} for f in (analysis.kernel_map, lambda m: m[0, 0].numel()))
    assert found is not None
    assert found["concentration"] == pytest.approx(analysis.concentration(kernels, sizes))
    rows = {(row["of"], row["by"]): row for row in found["network"]}
    assert found["concentration"]["output"] == rows["count", "output"]["value"]
    assert rows["count", "output"]["z"] is not None
    dense = replace(subject, weights=Weights(tensors=subject.weights.tensors, masks={}, meta={}))
    assert make(dense) is None


class Counting:
    """Analyses that count how often they are made."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def one(self, name: str, version: int = 1, found: dict[str, Any] | None = None) -> Analysis:
        def make(subject: Subject) -> dict[str, Any] | None:
            self.made.append(name)
            return found

        return Analysis(name, version, make)


@pytest.fixture
def counting() -> Counting:
    return Counting()


@pytest.fixture
def analyse(subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make these analyses of what has these digests; gives the files that are there afterwards."""

    def make(*chosen: Analysis, weights: str = "w") -> dict[str, Any]:
        monkeypatch.setattr(execute, "analyses", lambda: chosen)
        execute.analyse(subject, tmp_path / "analysis", {"weights": weights}, lambda progress: None)
        return {path.stem: files.read_json(path) for path in (tmp_path / "analysis").glob("*.json")}

    return make


def test_analyses_are_made_once_and_anew_by_version_or_weights(counting: Counting, analyse) -> None:
    a, b = counting.one("a", found={"x": 1}), counting.one("b", found={"y": 2})
    assert analyse(a, b)["a"] == {"x": 1}
    analyse(a, b)
    assert counting.made == ["a", "b"]
    newer = counting.one("b", 2, {"y": 3})
    assert analyse(a, newer)["b"] == {"y": 3}
    assert counting.made == ["a", "b", "b"]
    there = analyse(a, newer, weights="others")
    assert counting.made == ["a", "b", "b", "a", "b"]
    assert there["made_from"] == {"weights": "others", "versions": {"a": 1, "b": 2}}


def test_an_analysis_that_no_longer_applies_leaves_no_file(counting: Counting, analyse) -> None:
    assert "a" in analyse(counting.one("a", found={"x": 1}))
    there = analyse(counting.one("a", 2, None))
    assert "a" not in there
    assert there["made_from"]["versions"] == {"a": 2}


def test_what_was_cut_short_goes_on_where_it_was(counting: Counting, analyse) -> None:
    def stop(subject: Subject) -> dict[str, Any]:
        raise KeyboardInterrupt

    a = counting.one("a", found={"x": 1})
    with pytest.raises(KeyboardInterrupt):
        analyse(a, Analysis("b", 1, stop))
    analyse(a, counting.one("b", found={}))
    assert counting.made == ["a", "b"]


def test_a_recipe_says_how_many_images_each_takes() -> None:
    chosen = AnalysisSettings.model_validate({"gradients": {"images": 3}})
    assert (chosen.gradients, chosen.sharpness) == (OnImages(images=3), OnImages())

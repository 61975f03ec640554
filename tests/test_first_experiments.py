"""The first three experiments of a newcomer: their scripts run at any size, and their pages show what was measured."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from regrow import SET, data, files, models
from regrow.data import generated
from regrow.sparsity import plan

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"
SCRIPTS = {
    "sparsity-at-every-step": "sparsity_at_every_step",
    "clean-accuracy": "clean_accuracy",
    "accuracy-by-severity": "accuracy_by_severity",
}
#: The same experiments in seconds.
SMALL: dict[str, Any] = {"width": 4, "train_images": 64, "test_images": 40, "batch": 16}
SMALLER: dict[str, dict[str, Any]] = {
    "sparsity-at-every-step": {"steps": 16, "update_every": 4},
    "clean-accuracy": {"seeds": 3, "epochs": 1},
    "accuracy-by-severity": {"seeds": 3, "epochs": 1, "corruptions": ["contrast", "gaussian_noise"]},
}


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def _no_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without CIFAR-10."""
    monkeypatch.setenv("REGROW_DATA", str(tmp_path / "nothing"))


def _run(name: str, folder: Path) -> tuple[ModuleType, dict[str, Any], str]:
    """The script of a page at a small size: itself, what it measured, and the page that it filled in."""
    script = importlib.import_module(SCRIPTS[name])
    page = folder / f"{name}.md"
    page.write_text((FOLDER / f"{name}.md").read_text())
    script.main([], {**script.SETTINGS, **SMALL, **SMALLER[name]}, folder)
    assert (folder / f"{name}.svg").read_text().startswith("<svg")
    return script, files.read_json(folder / f"{name}.json"), page.read_text()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_page_shows_what_was_measured_and_the_code_that_ran(name: str) -> None:
    script, pages = importlib.import_module(SCRIPTS[name]), importlib.import_module("tutorial_pages")
    found, page = files.read_json(FOLDER / f"{name}.json"), (FOLDER / f"{name}.md").read_text()
    assert found["settings"] == script.SETTINGS
    assert pages.filled(page, script.shown(found)) == page
    assert set(re.findall(r"<!-- ((?:text|code|table):\w+) -->", page)) == set(script.shown(found))
    assert f"]({name}.svg)" in page


def _encodings(chart: Any, channel: str) -> list[dict[str, Any]]:
    """A channel of every layer of a chart and of the charts in it."""
    own = chart.get("encoding", {}).get(channel)
    inner = [one for key in ("layer", "vconcat") for part in chart.get(key, ()) for one in _encodings(part, channel)]
    return inner + ([own] if own else [])


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_chart_has_one_axis_of_steps_and_a_legend_as_strong_as_its_lines(name: str) -> None:
    script = importlib.import_module(SCRIPTS[name])
    found = files.read_json(FOLDER / f"{name}.json")
    chart = script.figure(found).to_dict()
    axes = [x for x in _encodings(chart, "x") if x["field"] == "step"]
    assert all(x["scale"] == {"domain": [0, len(found["steps"])], "nice": False} for x in axes)
    assert [x["title"] for x in axes] == ([None, "step"] if name == "sparsity-at-every-step" else [])
    assert all(colour["legend"]["symbolOpacity"] == 1 for colour in _encodings(chart, "color"))
    assert _encodings(chart, "color")


@pytest.mark.usefixtures("_no_data")
def test_set_keeps_its_sparsity_at_every_step(tmp_path: Path) -> None:
    script, found, page = _run("sparsity-at-every-step", tmp_path)
    model = models.build("resnet8", 10, width=4)
    planned = plan(model, SET(script.SETTINGS["sparsity"]), total_steps=16)["n_active"]
    assert {row["active"] for row in found["steps"]} == {planned}
    assert {row["astray"] for row in found["steps"]} == {0}
    assert [row["step"] for row in found["steps"] if row["moved"]] == [4, 8]  # none from three quarters of the run on
    ever = [row["ever"] for row in found["steps"]]
    assert ever == sorted(ever)
    assert "`cues`" in page


@pytest.mark.usefixtures("_no_data")
def test_clean_accuracy_compares_within_seeds(tmp_path: Path) -> None:
    script, found, page = _run("clean-accuracy", tmp_path)
    assert {(run["arm"], run["seed"]) for run in found["runs"]} == {
        (arm, seed) for arm in ("dense", "static", "set", "rigl") for seed in range(3)
    }
    assert {run["density"] for run in found["runs"] if run["arm"] == "dense"} == {1.0}
    assert page.count("\n| rigl |") == 1
    # two pairs that differ by 10 and 20 points, one by 30: mean 20, sd 10, t of two degrees of freedom 4.3027
    assert script.difference([0.6, 0.7, 0.8], [0.5, 0.5, 0.5]) == "+20.0 [-4.8, +44.8]"
    assert script.difference([0.25, 0.5], [0.5, 0.75]) == "-25.0 in each seed"
    assert script.difference([0.4999, 0.5], [0.5, 0.5]) == "+0.0"
    assert script.difference([0.4], [0.5]) == "-10.0"


@pytest.mark.usefixtures("_no_data")
def test_accuracy_by_severity_has_every_cell(tmp_path: Path) -> None:
    script, found, page = _run("accuracy-by-severity", tmp_path)
    cells = {"clean.0"} | {f"{name}.{s}" for name in ("contrast", "gaussian_noise") for s in range(1, 6)}
    assert all(set(run["cells"]) == cells for run in found["runs"])
    assert [line.split("|")[1].strip() for line in page.splitlines() if re.match(r"\| (clean|\d) \|", line)] == [
        *("clean", "1", "2", "3", "4", "5")
    ]
    run = {"cells": {"clean.0": 0.9, "a.1": 0.8, "a.2": 0.6, "b.1": 0.4, "b.2": 0.2}}
    assert script.mean_at(run, ["a", "b"], [1, 2]) == pytest.approx(0.5)
    assert script.mean_at(run, ["a", "b"], [2]) == pytest.approx(0.4)
    assert script.mean_at(run, ["a"], [0]) == pytest.approx(0.9)


def test_the_experiments_take_cifar10_where_it_lies_and_say_what_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    generated.write("cifar10", tmp_path, train=100, test=50)
    monkeypatch.setenv("REGROW_DATA", str(tmp_path))
    networks = importlib.import_module("tutorial_networks")
    parts = networks.images(SMALL)
    about = networks.described(parts)
    assert (about["name"], about["train"], about["test"]) == ("cifar10", 64, 40)
    assert "generated" in networks.words(about)  # these are no images of CIFAR-10
    assert parts.train.images.shape == (64, 32, 32, 3)


@pytest.mark.usefixtures("_no_data")
def test_one_seed_gives_one_network_and_accuracy_is_the_share_of_right_answers() -> None:
    networks, clean = importlib.import_module("tutorial_networks"), importlib.import_module("clean_accuracy")
    some = data.load_images("cues", "train", n=64)
    settings = {**clean.SETTINGS, **SMALL, "epochs": 1}
    first, again = (networks.train(clean.arms(0.5)["set"], 3, some, settings)[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    x, labels = networks.inputs(some)
    with torch.no_grad():
        answers = torch.cat([first(image[None]) for image in x]).argmax(1)
    assert networks.accuracy(first, x, labels) == pytest.approx(float((answers == labels).float().mean()), abs=0.02)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """The scripts set the number of threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)

"""The tutorials' scripts run, their closed forms are those of networks on images, and pages show what was measured."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from regrow import files

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"
TABLES = ("alone", "together", "looks", "linear", "updates")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("density_and_frequency")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("density_and_frequency_figures")


def test_the_page_on_density_shows_what_was_measured(script: ModuleType, figures: ModuleType) -> None:
    found = files.read_json(FOLDER / "density-and-frequency.json")
    page = (FOLDER / "density-and-frequency.md").read_text()
    assert found["settings"] == script.SETTINGS
    assert all(f"<!-- table:{name} -->" in page for name in TABLES)
    assert figures.filled(page, found) == page
    for name in figures.FIGURES:
        assert f"](density-and-frequency-{name}.svg)" in page


@pytest.mark.system
def test_the_script_on_density_measures_draws_and_fills_in(
    script: ModuleType, figures: ModuleType, tmp_path: Path
) -> None:
    small = {"densities": [1.0, 0.2], "alone_densities": [1.0, 0.2], "seeds": 2, "width": 4, "steps": 30}
    small |= {"looks": [10, 30], "train_images": 60, "test_images": 20, "images_looked_at": 10}
    linear = {**script.SETTINGS["linear"], "steps": 90, "update_every": 10, "seeds": 2}
    page = tmp_path / "density-and-frequency.md"
    page.write_text("".join(f"<!-- table:{name} -->\n<!-- /table -->\n" for name in TABLES))
    script.main([], {**script.SETTINGS, **small, "linear": linear}, tmp_path)
    found = files.read_json(tmp_path / "density-and-frequency.json")
    assert len(found["runs"]) == len(found["linear"]) == len(found["alone"]) / 2 == 4 * 2
    for run in found["runs"]:
        assert run["steps"] == [10, 30]
        assert [look["step"] for look in run["looks"]] == [10, 30]
    for name in figures.FIGURES:
        assert (tmp_path / f"density-and-frequency-{name}.svg").read_text().startswith("<svg")
    text = page.read_text()
    assert text.count("| 0.2 | rigl |") == 4 + 4
    (tmp_path / "density-and-frequency-steps.svg").unlink()
    script.main(["--draw"], {}, tmp_path)
    assert page.read_text() == text
    assert (tmp_path / "density-and-frequency-steps.svg").exists()


def test_steps_to_reach_are_the_first_with_nine_tenths_of_what_was_learnt(figures: ModuleType) -> None:
    assert figures.steps_to_reach([10, 30, 50, 60], [0.1, 0.73, 0.7, 0.8]) == 30
    assert figures.steps_to_reach([10, 30, 50, 60], [0.1, 0.71, 0.7, 0.8]) == 60
    assert figures.steps_to_reach([10, 30], [0.1, 0.29]) is None


def test_the_response_of_a_linear_network_is_that_of_its_convolutions(script: ModuleType) -> None:
    torch.manual_seed(0)
    network = script.LinearNetwork(3, 5, 16).double()
    image = torch.randn(1, 1, 16, 16, dtype=torch.float64)
    # torch correlates; with flipped kernels it convolves, here round the edges and from the origin on
    answer = image
    for weight in (network.first.weight, network.second.weight):
        answer = F.conv2d(F.pad(answer, (4, 0, 4, 0), mode="circular"), weight.flip(-1, -2))
    expected = torch.fft.irfft2(torch.fft.rfft2(image) * network.response(), s=(16, 16))
    torch.testing.assert_close(answer, expected)


def test_the_closed_forms_of_loss_and_ridge(script: ModuleType) -> None:
    task = script.Task(16, 2.0, 5, seed=1)
    torch.manual_seed(0)
    response = torch.fft.rfft2(torch.randn(5, 5), s=(16, 16))
    whole = np.fft.fft2(np.fft.irfft2((response - task.target).numpy(), s=(16, 16)))
    frequency = np.fft.fftfreq(16, 1 / 16)
    rho = np.maximum(np.hypot(*np.meshgrid(frequency, frequency, indexing="ij")), 1)
    power = rho**-2.0 / (rho**-2.0).mean()
    assert float(task.loss(response)) == pytest.approx((power * np.abs(whole) ** 2).mean(), rel=1e-5)
    for penalty in (0.01, 1.0):
        ridge = task.ridge(penalty)
        near = [float(task.loss(ridge * f) + penalty * task.mean((ridge * f).abs() ** 2)) for f in (0.99, 1.0, 1.01)]
        assert near[1] < min(near[0], near[2])
        assert task.nearest_ridge(ridge) == pytest.approx((penalty, 1.0), rel=1e-3)
    whole_plane = torch.ones(16, 9, dtype=torch.bool)
    assert task.gain(0.5 * task.target, whole_plane) == pytest.approx(0.5)
    assert task.error(0.5 * task.target) == pytest.approx(0.25)

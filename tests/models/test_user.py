"""Networks of the user's own, by ``module:function``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch
import yaml

from regrow import models
from regrow.cli import run
from regrow.errors import InputError, UnknownNameError
from regrow.models.user import source_digest

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, n_classes, width=6):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.fc = nn.Linear(width, n_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean(dim=(2, 3)))

def sized(n_classes, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, n_classes))

def for_clips(n_classes, frames=None):
    parts = [nn.Conv3d(3, 4, 3, padding=1), nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
    if frames is not None:  # clips of this length alone
        parts[1:2] = [nn.Flatten(3), nn.Conv2d(4, 4, (frames, 1)), nn.Flatten(2)]
    return nn.Sequential(*parts, nn.Linear(4, n_classes))

def fails(n_classes):
    raise ValueError("no such luck")

def no_module(n_classes):
    return 7

def no_logits(n_classes):
    return nn.Conv2d(3, n_classes, 1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module whose name no other test has used."""
    monkeypatch.chdir(tmp_path)
    name = f"nets_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    importlib.invalidate_caches()
    yield tmp_path / f"{name}.py"
    sys.modules.pop(name, None)


@pytest.mark.parametrize(("options", "frames"), [({}, 5), ({"frames": 8}, 8)])
def test_a_network_for_clips_is_built(folder: Path, options: dict[str, int], frames: int) -> None:
    model = models.build(f"{folder.stem}:for_clips", 5, image_size=12, options=options)
    assert model.training
    assert model(torch.zeros(2, 3, frames, 12, 12)).shape == (2, 5)


def test_a_function_of_the_current_folder_is_built(folder: Path) -> None:
    before = list(sys.path)
    model = models.build(f"{folder.stem}:Net", 5, options={"width": 9})
    assert model.conv.out_channels == 9
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert models.build(f"{folder.stem}:sized", 4, image_size=8)(torch.zeros(1, 3, 8, 8)).shape == (1, 4)
    assert sys.path == before
    torch.manual_seed(3)
    first = models.build(f"{folder.stem}:Net", 5).state_dict()
    torch.manual_seed(3)
    again = models.build(f"{folder.stem}:Net", 5).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        ("fails", {}, "failed: ValueError: no such luck"),
        ("no_module", {}, "returned a int"),
        ("no_logits", {}, "not one row of logits per image"),
        ("Net", {"depth": 3}, "unexpected keyword argument 'depth'"),
    ],
)
def test_what_fails_is_one_line(folder: Path, function: str, options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        models.build(f"{folder.stem}:{function}", 5, options=options)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'sized'"):
        models.build(f"{folder.stem}:sizes", 5)
    with pytest.raises(InputError, match="there is no module nowhere_at_all"):
        models.build("nowhere_at_all:net", 5)
    (tmp_path / "broken_nets.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(InputError, match="not installed \\(not_installed_anywhere\\)"):
        models.build("broken_nets:net", 5)
    (tmp_path / "wrong_nets.py").write_text("def (\n")
    with pytest.raises(InputError, match="cannot be imported: SyntaxError"):
        models.build("wrong_nets:net", 5)
    assert source_digest("resnet20") is None
    assert source_digest("timm:resnet50") is None


@pytest.mark.slow
def test_a_study_trains_it_and_another_file_is_another_network(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {
        "schema": 1,
        "name": "mine",
        "title": "Mine",
        "tier": "T0",
        "data": {"name": "cues", "train_images": 64, "test_images": 20},
        "model": {"name": f"{folder.stem}:Net", "options": {"width": 8}},
        "methods": ["dense", "rigl"],
        "sparsity": [0.5],
        "seeds": [0],
        "training": {"steps": 8, "batch": 8, "precision": "fp32", "channels_last": "no"},
        "evaluation": {"corruptions": ["contrast"], "severities": [3]},
    }
    Path("mine.yaml").write_text(yaml.safe_dump(recipe))
    assert run(["study", "mine.yaml", "--out", "out"]) == 0
    assert run(["study", "mine.yaml", "--out", "out"]) == 0  # nothing is left to do
    folder.write_text(CODE.replace("stride=2", "stride=1"))
    assert run(["study", "mine.yaml", "--out", "out"]) == 0  # what was measured stays what it was
    next(Path("out/runs").glob("rigl*/records/*.npz")).unlink()
    capsys.readouterr()
    assert run(["study", "mine.yaml", "--out", "out"]) != 0
    captured = capsys.readouterr()
    assert f"the source of {folder.stem}:Net has changed" in captured.out + captured.err

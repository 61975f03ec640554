"""A user's own network, checkpoint and pictures through ``regrow check`` and ``regrow evaluate``."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from regrow import data
from regrow.cli import run
from regrow.data.pictures import read_picture

SIDE = 16
SOURCE = """
from torch import nn


def build(n_classes, depth=1):
    layers = [nn.Conv2d(3, 6, 3, 2), nn.ReLU()] + [nn.Conv2d(6, 6, 3, 1, 1), nn.ReLU()] * (depth - 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, n_classes))
"""
FEW = ("--corruptions", "contrast", "--severities", "1")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder: ``users_net.py``, its weights for three classes, and pictures of these."""
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("users_net", None)
    (tmp_path / "users_net.py").write_text(SOURCE)
    rng = np.random.default_rng(0)
    for name in ("ant", "bee", "cow"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(3):
            pixels = rng.integers(0, 256, (20, 27, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    torch.manual_seed(0)
    torch.save({"state_dict": network(3).state_dict()}, tmp_path / "mine.pt")
    return tmp_path


def network(n_classes: int, depth: int = 1) -> torch.nn.Module:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module("users_net").build(n_classes, depth)
    finally:
        sys.path.remove(str(Path.cwd()))


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


CHECK = ("check", "--model", "users_net:build", "--images", "photos", "--size", SIDE, *FEW)


@pytest.mark.parametrize("normalisation", [(), ("--mean", "0.5,0.4,0.3", "--std", "0.2,0.3,0.4")])
def test_check_gives_the_accuracy_of_the_weights_on_the_pictures(
    capsys: pytest.CaptureFixture[str], here: Path, normalisation: tuple[str, ...]
) -> None:
    code, out, err = call(capsys, *CHECK, "--weights", "mine.pt", *normalisation, "--json")
    assert (code, err) == (0, "")
    model = network(3)
    model.load_state_dict(torch.load("mine.pt", weights_only=True)["state_dict"])
    mean, std = (
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if not normalisation else ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    )
    right = 0
    for label, name in enumerate(("ant", "bee", "cow")):
        for i in range(3):
            pixels = read_picture(Path("photos") / name / f"{i}.png", SIDE) / 255
            x = torch.tensor((pixels - mean) / std, dtype=torch.float32).permute(2, 0, 1)[None]
            right += int(model.eval()(x).argmax() == label)
    numbers = json.loads(out)
    assert numbers["accuracy"]["clean.0"] == pytest.approx(right / 9)
    assert any(f"mean {mean[0]:.4g}" in note for note in numbers["notes"])
    assert "order of their names" in Path("runs/check/report.html").read_text()


def test_options_reach_the_network(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    torch.save(network(3, depth=3).state_dict(), "deep.pt")
    code, _, err = call(capsys, *CHECK, "--weights", "deep.pt")
    assert code == 2
    assert "unexpected" in err
    assert call(capsys, *CHECK, "--weights", "deep.pt", "--model-option", "depth=3")[0] == 0


def test_what_does_not_fit_is_one_line(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    torch.save(network(3), "whole.pt")
    torch.save(network(5).state_dict(), "five.pt")
    (here / "study/runs/dense").mkdir(parents=True)
    (here / "study/runs/dense/model.safetensors").write_bytes(b"")
    for arguments, said in (
        ((*CHECK,), "add --weights FILE"),
        ((*CHECK, "--weights", "whole.pt"), "only tensors are read"),
        ((*CHECK, "--weights", "absent.pt"), "absent.pt is not there"),
        ((*CHECK, "--weights", "five.pt"), "has 5 classes, there are 3 class folders (ant, bee, cow)"),
        ((*CHECK, "--weights", "mine.pt", "--model-option", "depth"), "NAME=VALUE"),
        ((*CHECK, "--weights", "mine.pt", "--model-option", "dpth=1"), "users_net:build failed"),
        ((*CHECK, "--weights", "mine.pt", "--mean", "0.5"), "three numbers"),
        ((*CHECK, "--weights", "mine.pt", "--std", "0,1,1"), "three numbers"),
        (("check", "--model", "mine.pt", "--images", "photos"), "holds weights alone"),
        (("check", "--model", "runs/x", "--images", "photos"), "is not there"),
        (("check", "--model", "study", "--images", "photos"), "study/runs/dense"),
        (("check", "--model", "study/runs/dense", "--images", "photos"), "not a readable safetensors"),
        (
            ("check", "--model", "study/runs/dense", "--images", "photos", "--size", 16),
            "--size is for networks by name",
        ),
        (("check", "--model", "resnet3d18", "--images", "photos", "--weights", "mine.pt"), "takes clips"),
        (("evaluate", "cues", "--model", "users_net:build", "--weights", "mine.pt"), "has 3 classes, cues has 10"),
    ):
        code, _, err = call(capsys, *arguments)
        assert code == 2, err
        assert said in err
        assert err.count("\n") == 1


def test_evaluate_takes_size_and_normalisation_from_the_data_set(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    torch.manual_seed(1)
    torch.save(network(10).state_dict(), "ten.pt")
    given = ("--model", "users_net:build", "--weights", "ten.pt", *FEW, "--json")
    code, out, err = call(capsys, "evaluate", "cues", *given, "--limit", 40)
    assert (code, err) == (0, "")
    live = json.loads(out)
    test = data.load_images("cues", "test", n=40)
    model = network(10)
    model.load_state_dict(torch.load("ten.pt", weights_only=True))
    x = (torch.tensor(test.images / 255.0) - torch.tensor(test.spec.mean)) / torch.tensor(test.spec.std)
    right = model.eval()(x.permute(0, 3, 1, 2).float()).argmax(1).numpy() == test.labels
    assert live["accuracy"]["clean.0"] == pytest.approx(right.mean())
    # a tree of the user's own pictures, in the order of the class folders
    corrupt = ("corrupt", "photos", "--out", "photos-c", "--side", SIDE, "--jobs", 1, *FEW)
    assert call(capsys, *corrupt)[0] == 0
    code, out, err = call(
        capsys, "evaluate", "photos-c", "--model", "users_net:build", "--weights", "mine.pt", "--json"
    )
    assert (code, err) == (0, "")
    assert set(json.loads(out)["accuracy"]) == {"contrast.1"}

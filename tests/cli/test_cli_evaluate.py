"""``regrow evaluate``: on a data set as it goes, and on a written set; both give the same numbers."""

import json
from pathlib import Path

import pytest
import yaml

from regrow.cli import run
from regrow.evaluation.records import load_record


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    recipe = {
        "schema": 1,
        "name": "tiny",
        "title": "Smoke",
        "tier": "T0",
        "data": {"name": "cues", "train_images": 64, "test_images": 20},
        "model": {"name": "resnet8", "width": 4},
        "methods": ["dense"],
        "seeds": [0],
        "training": {"steps": 10, "batch": 8, "precision": "fp32", "channels_last": "no"},
        "evaluation": {"corruptions": ["contrast"], "severities": [3], "on_the_fly": True},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    assert run(["study", str(folder / "tiny.yaml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(["evaluate", *(str(a) for a in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_as_it_goes_and_from_the_disk_are_the_same_and_a_study_stores_no_images(
    capsys: pytest.CaptureFixture[str], trained: Path, tmp_path: Path
) -> None:
    stored = sorted(p.name for p in (trained / "cells").glob("*.npy"))
    assert stored == ["cues.clean.0.npy", "labels.npy"]
    network = next((trained / "runs").iterdir())
    names = "contrast,gaussian_noise"
    code, out, err = call(capsys, "cues", "--model", network, "--corruptions", names, "--json", "--out", tmp_path / "r")
    assert (code, err) == (0, "")
    live = json.loads(out)
    assert {row["name"] for row in live["scores"]} >= {"clean", "mean2", "ECE"}
    assert all(row["formula"] and row["over"] for row in live["scores"])
    assert run(["corrupt", "cues", "--out", str(tmp_path / "set"), "--corruptions", names, "--jobs", "1"]) == 0
    code, out, _ = call(capsys, tmp_path / "set", "--model", network, "--json")
    assert code == 0
    written = json.loads(out)["accuracy"]
    assert written == {cell: value for cell, value in live["accuracy"].items() if cell != "clean.0"}
    record, _ = load_record(tmp_path / "r/cues.contrast.3.npz")
    assert record.accuracy == live["accuracy"]["contrast.3"]
    evaluated, _ = load_record(network / "records/cues.contrast.3.npz")
    assert (evaluated.correct == record.correct[:20]).all()


def test_scores_are_printed_with_their_formulas(capsys: pytest.CaptureFixture[str], trained: Path) -> None:
    network = next((trained / "runs").iterdir())
    code, out, _ = call(capsys, "cues", "--model", network, "--corruptions", "fog", "--limit", 30)
    assert code == 0
    assert "mean1" in out
    assert "formula" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["cuse"], "'cues'"), (["cues", "--corruptions", "fgo"], "'fog'"), (["."], "neither")],
)
def test_wrong_input_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trained: Path, tmp_path: Path, arguments, said
) -> None:
    network = next((trained / "runs").iterdir())
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, *arguments, "--model", network)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1

"""The command line as a user meets it: names found, wrong input refused in one line with exit code 2."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from regrow import data
from regrow.cli import run
from regrow.corruptions.frost import find_textures
from regrow.study import recipe as recipes


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stdy"], ["'study'"]),
        (["study", "quick/cuse"], ["quick/cues"]),
        (["study", "quick/cues", "--jbos", "2"], ["--jobs"]),
        (["study", "quick/cues", "--jobs", "0"], ["--jobs"]),
        (["study", "quick/cues", "--json"], ["--dry-run"]),
        (["list", "method"], ["'methods'"]),
        (["corrupt", "cifar11", "--out", "x"], ["'cifar10'"]),
        (["corrupt", "cues", "--out", "x", "--corruptions", "britness"], ["'brightness'"]),
        (["corrupt", "cues", "--out", "x", "--severities", "6"], ["1 to 5", "6"]),
        (["corrupt", "cues", "--out", "x", "--severities", "high"], ["'high'"]),
        (["corrupt", "cues", "--out", "x", "--mode", "fst"], ["fast", "exact"]),
        (["corrupt", "cues", "--out", "x", "--split", "tset"], ["'test'"]),
        (["check", "--model", "runs/nothing.safetensors", "--images", "."], ["nothing.safetensors"]),
        (["check", "--model", "resnet8", "--images", "."], ["no published weights"]),
        (["report", "nowhere"], ["no study"]),
        (["data", "get", "cifra10"], ["'cifar10'"]),
    ],
)
def test_wrong_input_is_one_line_with_the_next_step(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Next: " in err
    for word in words:
        assert word in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["methods", "corruptions", "data", "models", "recipes"])
def test_lists_name_what_there_is(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    code, out, _ = call(capsys, "list", kind, "--json")
    rows = json.loads(out)
    assert code == 0
    expected = {
        "methods": {"dense", "static", "set", "rigl"},
        "corruptions": {"gaussian_noise", "jpeg_compression", "saturate"},
        "data": {"cifar10", "cifar100", "cues"},
        "models": {"timm:NAME"},
        "recipes": set(recipes.names()),
    }
    assert expected[kind] <= {row["name"] for row in rows}
    code, table, _ = call(capsys, "list", kind)
    assert code == 0
    assert rows[0]["name"].split(",")[0][:12] in table


def test_doctor_says_what_is_missing_and_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REGROW_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "ray", None)
    code, out, _ = call(capsys, "doctor", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["environment"]["packages"]["torch"]
    assert any("cifar10" in line and "regrow data get cifar10" in line for line in facts["missing"])
    assert "studies on a Ray cluster (ray: not installed). Next: pip install 'regrow[ray]'." in facts["missing"]
    code, text, _ = call(capsys, "doctor")
    assert code == 0
    assert "missing: data set cifar10" in text


def test_corrupt_writes_a_set_and_verifies_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out_dir = tmp_path / "set"
    arguments = ["corrupt", "cues", "--out", out_dir, "--corruptions", "contrast", "--severities", "1,5"]
    code, out, err = call(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    assert {row["name"] for row in json.loads(out)} == {"contrast", "labels"}
    images, labels = np.load(out_dir / "contrast.npy"), np.load(out_dir / "labels.npy")
    test = data.load("cues", "test")
    assert images.shape == (2 * len(test), 32, 32, 3)
    assert (labels == np.tile(test.labels, 2)).all()
    code, _, err = call(capsys, *arguments[:2], "--out", out_dir, "--seed", "3", "--corruptions", "contrast")
    assert code == 2
    assert "--force" in err or "force" in err


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(capsys, "study", "quick/cues", "--dry-run", "--json", "--jobs", "2")
    plan = json.loads(out)
    assert code == 0
    assert len(plan["runs"]) == 8
    assert plan["runs"]["rigl-s0.5-seed1"]["updates"] == 24
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study run through the command line."""
    folder = tmp_path_factory.mktemp("cli")
    recipe = {
        "schema": 1,
        "name": "tiny",
        "data": {"name": "cues", "train_images": 64, "test_images": 20},
        "model": {"name": "resnet8", "width": 4},
        "methods": ["dense", "set"],
        "seeds": [0],
        "sparse": {"updates": 5},
        "training": {"steps": 20, "batch": 8, "precision": "fp32", "channels_last": "no"},
        "evaluation": {"corruptions": ["contrast", "frost"], "severities": [3]},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    assert run(["study", str(folder / "tiny.yaml"), "--out", str(folder / "out")]) == 0
    return folder


def test_a_study_ends_with_a_page_that_needs_nothing_else(finished: Path) -> None:
    page = (finished / "out" / "report.html").read_text()
    assert page[:15].lower() == "<!doctype html>"
    assert "tier T0: shows the path, judges nothing" in page
    assert "frost" in page
    if find_textures().note:
        assert "not comparable with published numbers" in page


def test_results_can_be_checked_from_their_packed_answers(
    finished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import base64

    out = tmp_path / "published"
    assert call(capsys, "report", finished / "out", "--publish", out)[0] == 0
    stored = json.loads((out / "runs" / "set-s0.5-seed0.json").read_text())
    for cell in stored["cells"].values():
        correct = np.unpackbits(np.frombuffer(base64.b64decode(cell["correct"]), np.uint8), count=cell["n"])
        assert correct.mean() == cell["accuracy"]
    assert (out / "report.html").exists()
    assert list((out / "tables").glob("*.csv"))
    assert not list(out.rglob("*.pt"))
    code, _, err = call(capsys, "report", finished / "out", "--publish", out)
    assert code == 2
    assert "--force" in err
    assert call(capsys, "report", finished / "out", "--publish", out, "--force")[0] == 0


def test_check_of_our_own_run_on_a_folder_of_pictures(
    finished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    test = data.load("cues", "test", n=20)
    names = test.spec.classes
    for i, (image, label) in enumerate(zip(test.images, test.labels, strict=True)):
        folder = tmp_path / "pictures" / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    (tmp_path / "pictures" / names[0] / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    out = tmp_path / "check"
    model = finished / "out" / "runs" / "dense-s0-seed0"
    code, text, err = call(
        capsys,
        "check",
        "--model",
        model,
        "--images",
        tmp_path / "pictures",
        "--out",
        out,
        "--corruptions",
        "contrast",
        "--severities",
        "3",
        "--on-error",
        "skip",
        "--json",
    )
    assert (code, err) == (0, "")
    numbers = json.loads(text)
    assert numbers["n_images"] == 20
    assert len(numbers["skipped"]) == 1
    assert "broken.jpg" in numbers["skipped"][0]
    page = (out / "report.html").read_text()
    assert "broken.jpg" in page
    assert call(capsys, "check", "--model", model, "--images", tmp_path / "pictures", "--out", out)[0] == 2


def test_check_refuses_folders_that_are_no_classes(
    finished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "pictures" / "zebra").mkdir(parents=True)
    model = finished / "out" / "runs" / "dense-s0-seed0"
    code, _, err = call(capsys, "check", "--model", model, "--images", tmp_path / "pictures", "--out", tmp_path / "o")
    assert code == 2
    assert "'zebra'" in err
    assert not (tmp_path / "o").exists()


@pytest.mark.data
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_corrupt_says_that_a_file_is_the_official_one(
    data_root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    code, out, _ = call(
        capsys,
        "corrupt",
        name,
        "--out",
        tmp_path / "set",
        "--corruptions",
        "pixelate",
        "--data-root",
        data_root,
        "--json",
    )
    assert code == 0
    assert {row["name"]: row["status"] for row in json.loads(out)} == {"pixelate": "official", "labels": "official"}

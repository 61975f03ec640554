"""``regrow evaluate``: on a data set as it goes, and on a written set; both give the same numbers."""

import json
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from regrow import data
from regrow.cli import run
from regrow.corruptions import writer
from regrow.evaluation import robustbench
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


@pytest.mark.system
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


@pytest.fixture(scope="module")
def common_tree(trained: Path) -> Path:
    """The fifteen types of 40 images as a tree, as ImageNet-C lies on the disk; beside it ``npy``, as CIFAR-10-C."""
    test = data.load("cues", "test", n=40)
    out = trained.parent / "common"
    named = writer.ArrayPictures("cues", test.images, test.labels, test.spec.classes)
    writer.write_tree(named, out, ["common"], jobs=1)
    writer.write_cifar_style(test.images, test.labels, trained.parent / "npy", ["common"], source="mine", jobs=1)
    return out


def test_robustbench_needs_its_list_and_the_whole_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trained: Path, common_tree: Path
) -> None:
    network = next((trained / "runs").iterdir())
    code, _, err = call(capsys, common_tree, "--model", network, "--robustbench")
    assert code == 2
    assert "--ids FILE" in err
    monkeypatch.setattr(robustbench, "N_IMAGENET", 12)
    stems = sorted(path.stem for path in (common_tree / "fog/1").rglob("*.JPEG"))
    chosen = stems[::-3][:12]
    (trained / "ids.txt").write_text("\n".join(f"any/{stem}.png" for stem in chosen))
    options = ("--robustbench", "--ids", trained / "ids.txt", "--json")
    code, out, _ = call(capsys, common_tree, "--model", network, *options, "--out", trained / "rb")
    assert code == 0
    answer = json.loads(out)
    assert [score["name"] for score in answer["scores"]] == ["RobustBench accuracy", "RobustBench mCE"]
    record, inputs = load_record(trained / "rb/common.fog.2.npz")
    assert len(record.correct) == 12
    assert inputs["ids"].endswith("ids.txt")
    code, out, _ = call(capsys, common_tree, "--model", network, "--corruptions", "fog", "--out", trained / "all")
    whole, _ = load_record(trained / "all/common.fog.2.npz")
    files = sorted((common_tree / "fog/2").rglob("*.JPEG"))
    places = [next(i for i, file in enumerate(files) if file.stem == stem) for stem in chosen]
    assert record.correct.tolist() == whole.correct[places].tolist()
    mean = sum(answer["accuracy"].values()) / 75
    assert answer["scores"][0]["value"] == pytest.approx(100 * mean)
    (trained / "ids.txt").write_text("\n".join([*chosen[:11], "val_of_nothing"]))
    code, _, err = call(capsys, common_tree, "--model", network, *options)
    assert code == 2
    assert "val_of_nothing" in err


def test_robustbench_on_cifar_takes_all_images(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trained: Path, common_tree: Path
) -> None:
    network, folder = next((trained / "runs").iterdir()), trained.parent / "npy"
    code, _, err = call(capsys, folder, "--model", network, "--robustbench")
    assert code == 2
    assert "takes 10000 images" in err
    monkeypatch.setattr(robustbench, "N_CIFAR", sum(1 for _ in (common_tree / "fog/1").rglob("*.JPEG")))
    code, out, _ = call(capsys, folder, "--model", network, "--robustbench", "--json")
    assert code == 0
    robust = json.loads(out)["scores"]
    code, out, _ = call(capsys, folder, "--model", network, "--json")
    plain = {score["name"]: score["value"] for score in json.loads(out)["scores"]}
    assert [score["name"] for score in robust] == ["RobustBench accuracy"]
    assert robust[0]["value"] == pytest.approx(plain["mean15"])
    code, _, err = call(capsys, folder, "--model", network, "--robustbench", "--ids", trained / "x")
    assert code == 2
    assert "leave --ids out" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cues", "--robustbench"], "published files"),
        (["cues", "--ids", "x"], "add --robustbench"),
        (["cues", "--verify"], "--verify is for folders"),
        ([".", "--robustbench", "--corruptions", "fog"], "its own types and severities"),
        ([".", "--verify"], "no .npy file and no published archive"),
    ],
)
def test_what_does_not_go_together_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trained: Path, tmp_path: Path, arguments, said
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, *arguments, "--model", next((trained / "runs").iterdir()))
    assert code == 2
    assert said in err


def test_checksums_are_compared_first_on_request(
    capsys: pytest.CaptureFixture[str], trained: Path, tmp_path: Path
) -> None:
    network, folder = next((trained / "runs").iterdir()), tmp_path / "set"
    assert run(["corrupt", "cues", "--out", str(folder), "--corruptions", "contrast", "--jobs", "1"]) == 0
    code, out, _ = call(capsys, folder, "--model", network, "--verify")
    assert code == 0
    assert "no published file" in out
    (folder / "contrast.npy").write_bytes((folder / "contrast.npy").read_bytes()[:-1] + b"\x00")
    code, _, err = call(capsys, folder, "--model", network, "--verify")
    assert code == 2
    assert "contrast" in err
    (tmp_path / "tree").mkdir()
    (tmp_path / "noise.tar").write_bytes(b"beside it: of another set, perhaps")
    code, _, err = call(capsys, tmp_path / "tree", "--model", network, "--verify")
    assert code == 2
    assert "no published archive" in err
    (tmp_path / "tree/noise.tar").write_bytes(b"cut short")
    code, _, err = call(capsys, tmp_path / "tree", "--model", network, "--verify")
    assert code == 2
    assert "noise.tar" in err


def test_two_networks_are_compared_image_by_image(capsys: pytest.CaptureFixture[str], trained: Path) -> None:
    network = next((trained / "runs").iterdir())
    other = trained / "other.safetensors"
    tensors = load_file(network / "model.safetensors")
    with safe_open(network / "model.safetensors", "pt") as opened:
        about = opened.metadata()
    save_file(
        {key: value.flip(0).contiguous() if "fc" in key else value for key, value in tensors.items()}, other, about
    )

    def answer(*arguments: object) -> dict:
        code, out, err = call(capsys, "cues", "--corruptions", "fog", "--limit", 20, "--json", *arguments)
        assert (code, err) == (0, "")
        return json.loads(out)

    alone = {name: answer("--model", path)["accuracy"] for name, path in (("one", network), ("other", other))}
    found = {score["name"]: score for score in answer("--model", network, "--against", other)["scores"]}
    assert alone["one"] != alone["other"]
    clean = 100 * (alone["one"]["clean.0"] - alone["other"]["clean.0"])
    assert found["clean difference"]["value"] == pytest.approx(clean)
    fog = [100 * (alone["one"][f"fog.{s}"] - alone["other"][f"fog.{s}"]) for s in range(1, 6)]
    assert found["mean1 difference"]["value"] == pytest.approx(sum(fog) / 5)
    assert "20 images" in found["mean1 difference"]["over"]

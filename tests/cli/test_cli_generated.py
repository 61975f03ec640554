"""``regrow data generate``, and what other commands say of generated data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from regrow import data
from regrow.cli import run
from regrow.data import generated
from regrow.study import recipe as recipes
from regrow.study.plan import expand
from regrow.training.checkpoint import save_weights
from regrow.training.network import build_network
from regrow.training.settings import Precision

CAVEAT = "generated pictures in the official layout of CIFAR-10, not CIFAR-10"


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("REGROW_DATA", raising=False)
    return generated.write("cifar10", tmp_path / "data", train=20, test=10).parent


def test_a_set_is_made_and_listed_and_not_taken_for_a_download(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("REGROW_DATA", str(tmp_path / "data"))
    arguments = ["data", "generate", "cifar10", "--root", tmp_path / "data", "--train", 20, "--test", 10]
    code, out, _ = call(capsys, *arguments)
    assert code == 0
    assert out == f"cifar10: {tmp_path / 'data' / 'cifar-10-batches-py'} (generated)\n"
    rows = {row["name"]: row for row in json.loads(call(capsys, "list", "data", "--json")[1])}
    assert "(generated: train 20, test 10)" in rows["cifar10"]["where"]
    code, out, _ = call(capsys, "list", "data")
    assert CAVEAT in out
    code, _, err = call(capsys, "data", "get", "cifar10")
    assert code == 2
    assert "is generated: it is not cifar10" in err


def test_all_are_made_by_default(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(generated, "write", lambda name, root, **_: made.append((name, root)) or root / name)
    assert call(capsys, "data", "generate", "--root", tmp_path)[0] == 0
    assert made == [(name, tmp_path) for name in generated.names()]
    monkeypatch.setattr(generated, "possible", lambda: ["cifar10"])
    code, out, _ = call(capsys, "data", "generate", "--root", tmp_path)
    assert code == 0
    assert "video, clips: left out, coded video needs PyAV" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cifar10", "cifra100"], "'cifar100'"),
        (["cifar10", "cifar100", "--train", "500"], "name one set"),
        (["cifar10", "--classes", "5"], "classes"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], words: str
) -> None:
    code, _, err = call(capsys, "data", "generate", *arguments, "--root", tmp_path / "data")
    assert code == 2
    assert words in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_all_that_can_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert "generate" in call(capsys, "data", "--help")[1]
    out = call(capsys, "data", "generate", "--help")[1]
    assert all(name in out for name in generated.names())


def network(path: Path, root: Path) -> Path:
    """Weights of a network as a run on the generated set leaves them."""
    recipe = {"schema": 1, "name": "tiny", "data": {"name": "cifar10"}, "methods": ["dense"],
              "model": {"name": "resnet8", "width": 4}, "seeds": [0], "training": {"steps": 4}}  # fmt: skip
    settings = expand(recipes.parse(recipe, "tiny"), Precision(channels_last=False))[0].settings
    model = build_network(settings.model, 10, 32, seed=0, precision=settings.precision)
    facts = data.spec("cifar10", root=root).as_json()
    save_weights(path, model, {}, {"settings": settings.model_dump(mode="json"), "data": facts, "fingerprint": "0"})
    return path


def test_numbers_of_other_commands_carry_the_caveat(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    how = ["--corruptions", "contrast", "--severities", "3"]
    out_dir = tmp_path / "set"
    code, out, _ = call(capsys, "corrupt", "cifar10", "--out", out_dir, "--data-root", root, *how[:2])
    assert code == 0
    assert CAVEAT in out
    weights = network(tmp_path / "model.safetensors", root)
    for source in ("cifar10", out_dir):
        code, out, err = call(capsys, "evaluate", source, "--model", weights, "--data-root", root, *how, "--json")
        assert (code, err) == (0, "")
        notes = json.loads(out)["notes"]
        assert sum(CAVEAT in note for note in notes) == 2
        assert sum(note.startswith("the network was trained on generated pictures") for note in notes) == 1
    generated.write("imagenet_samples", tmp_path / "data", classes=2)
    code, out, _ = call(
        capsys,
        "corrupt",
        tmp_path / "data" / "imagenet-samples" / "val",
        "--out",
        tmp_path / "tree",
        *how,
        "--side",
        32,
    )
    assert code == 0
    assert "not ImageNet" in out


def test_the_page_of_a_check_says_that_the_network_learnt_from_generated_pictures(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "photos" / "cat" / "1.png"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (40, 40), (90, 20, 60)).save(picture)
    weights = network(tmp_path / "model.safetensors", root)
    arguments = ["--model", weights, "--images", tmp_path / "photos", "--out", tmp_path / "check"]
    code, _, err = call(capsys, "check", *arguments, "--corruptions", "contrast", "--severities", "3")
    assert (code, err) == (0, "")
    assert "the network was trained on generated pictures" in (tmp_path / "check" / "report.html").read_text()

"""``regrow export`` on the weights of a run, as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from regrow import data
from regrow.cli import run
from regrow.sparsity.channels import channel_groups
from regrow.sparsity.export.compact import load_compact
from regrow.sparsity.export.csr import load_csr
from regrow.sparsity.export.resize import fit_to_state
from regrow.study import recipe as recipes
from regrow.study.plan import expand
from regrow.training.checkpoint import load_weights, save_weights
from regrow.training.network import build_network
from regrow.training.settings import Precision, RunSettings

RECIPE = {
    "schema": 1,
    "name": "tiny",
    "data": {"name": "cues", "train_images": 64, "test_images": 20},
    "model": {"name": "resnet8", "width": 8},
    "methods": ["set"],
    "seeds": [0],
    "sparse": {"updates": 5},
    "training": {"steps": 20, "batch": 8, "precision": "fp32", "channels_last": "no"},
}


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def fresh() -> tuple[RunSettings, torch.nn.Module]:
    settings = expand(recipes.parse(RECIPE, "tiny"), Precision(channels_last=False))[0].settings
    spec = data.spec("cues")
    assert spec.image_size == 32
    return settings, build_network(settings.model, len(spec.classes), 32, seed=0, precision=settings.precision)


def write_run(folder: Path, choose: Callable[[torch.nn.Module], dict[str, torch.Tensor]]) -> Path:
    """The folder of a run that ended with these masks."""
    settings, model = fresh()
    torch.manual_seed(0)
    model(torch.randn(16, 3, 32, 32))  # so that batch norm has statistics
    masks = choose(model)
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).masked_fill_(~mask, 0)
    meta = {"settings": settings.model_dump(mode="json"), "fingerprint": "0"}
    folder.mkdir()
    save_weights(folder / "model.safetensors", model, masks, meta)
    return folder


def scattered(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: torch.rand(p.shape) < 0.5 for n, p in model.named_parameters() if p.ndim > 1}


def channels(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    masks = {n: torch.ones(p.shape, dtype=torch.bool) for n, p in model.named_parameters() if p.ndim > 1}
    for group in channel_groups(model):
        for name in group.producers if group.prunable else ():
            masks[name][::2] = False
    return masks


def two_of_four(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    pattern = torch.tensor([True, True, False, False])
    weights = {n: p for n, p in model.named_parameters() if p.ndim > 1 and p[0].numel() % 4 == 0}
    return {n: pattern.repeat(p.numel() // 4).reshape(p.shape) for n, p in weights.items()}


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", scattered)


def test_all_forms_are_written_verified_and_measured(
    sparse: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, text, err = call(capsys, "export", sparse, "--out", out, "--format", "compact,csr,dense-small", "--json")
    assert (code, err) == (0, "")
    facts: dict[str, Any] = json.loads(text)
    assert facts == json.loads((out / "export.json").read_text())
    assert set(facts["formats"]) == {"compact", "csr", "dense-small"}
    assert facts["density"] == pytest.approx(0.5, abs=0.02)
    for row in facts["formats"].values():
        assert row["bytes"] == (out / row["file"]).stat().st_size
        assert row["max_difference"] <= 1e-5
    assert facts["formats"]["compact"]["bytes"] < 0.65 * facts["dense"]["bytes"]
    assert facts["dense"]["latency_ms"]["median_ms"] > 0
    assert facts["dense"]["memory_bytes"]["peak"] > facts["dense"]["memory_bytes"]["weights"] > 0
    assert facts["formats"]["compact"]["latency_ms"] is None
    assert facts["formats"]["csr"]["latency_ms"]["median_ms"] > 0
    assert any("not the network faster" in line for line in facts["summary"])
    stored = load_weights(sparse / "model.safetensors")
    for state, masks in (load_compact(out / "model.rgz")[:2], load_csr(out / "model.csr.npz")):
        assert all(torch.equal(stored.tensors[name], value) for name, value in state.items())
        assert all(torch.equal(stored.masks[name], value) for name, value in masks.items())
    assert load_compact(out / "model.rgz")[2]["run"]["settings"]["model"]["name"] == "resnet8"


def test_the_table_says_what_is_not_faster(sparse: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, text, _ = call(capsys, "export", sparse, "--out", tmp_path / "out", "--format", "compact")
    assert code == 0
    assert "max difference" in text
    assert "0.0e+00" in text
    assert "dense kernels multiply zeros like any number" in text


def test_nothing_is_overwritten_without_force(sparse: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("export", sparse / "model.safetensors", "--out", out, "--format", "compact")
    assert call(capsys, *arguments)[0] == 0
    before = (out / "model.rgz").read_bytes()
    code, _, err = call(capsys, *arguments)
    assert code == 2
    assert "--force" in err
    assert call(capsys, *arguments, "--force")[0] == 0
    assert (out / "model.rgz").read_bytes() == before  # the same weights make the same file


def test_dead_channels_make_it_smaller_and_the_change_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = write_run(tmp_path / "run", channels)
    sizes, changes = [], []
    for number, extra in enumerate(([], ["--zero-dead-norms"])):
        out = tmp_path / f"out{number}"
        code, text, _ = call(capsys, "export", folder, "--out", out, "--format", "dense-small", "--json", *extra)
        assert code == 0
        facts = json.loads(text)
        sizes.append(facts["formats"]["dense-small"]["bytes"])
        changes.append(facts["norms_change"])
    assert sizes[1] < 0.4 * facts["dense"]["bytes"]
    assert sizes[1] < sizes[0]
    assert changes[0] is None
    assert changes[1] is not None
    state, _, meta = load_compact(tmp_path / "out1" / "dense-small.rgz")
    small = fit_to_state(fresh()[1], state)
    assert small.conv1.out_channels == 4
    assert meta["compaction"][0]["removed"] == 4


def test_a_format_that_cannot_be_had_is_refused_or_noted(
    sparse: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = call(capsys, "export", sparse, "--out", tmp_path / "a", "--format", "2:4")
    assert code == 2
    assert err.count("\n") == 1
    assert "not 2:4 sparse" in err
    assert "conv1.weight" in err


@pytest.mark.slow
def test_all_notes_what_cannot_be_had(sparse: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, text, _ = call(capsys, "export", sparse, "--out", tmp_path / "b", "--format", "all", "--json")
    assert code == 0
    facts = json.loads(text)
    assert "not 2:4 sparse" in facts["refused"]["2:4"]
    assert set(facts["formats"]) | set(facts["refused"]) == {"compact", "csr", "2:4", "dense-small", "onnx"}
    if "onnx" in facts["formats"]:
        assert facts["formats"]["onnx"]["max_difference"] < 1e-4


def test_a_network_that_is_2_4_gets_its_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", two_of_four)
    code, text, _ = call(capsys, "export", folder, "--out", tmp_path / "out", "--format", "2:4", "--json")
    assert code == 0
    rows = json.loads((tmp_path / "out" / "two-of-four.json").read_text())
    assert rows
    assert all(row["violations"] == 0 for row in rows)
    if not torch.cuda.is_available():
        assert "no CUDA device" in json.loads(text)["formats"]["2:4"]["note"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "--out", "o"], ["nowhere"]),
        (["foreign.safetensors", "--out", "o"], ["not written by regrow"]),
        (["nowhere", "--out", "o", "--format", "compct"], ["'compct'", "'compact'"]),
        (["nowhere", "--out", "o", "--batch", "0"], ["--batch"]),
        (["nowhere"], ["--out"]),
    ],
)
def test_wrong_input_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file({"w": torch.ones(2)}, tmp_path / "foreign.safetensors")
    code, _, err = call(capsys, "export", *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words), err
    assert not (tmp_path / "o").exists()

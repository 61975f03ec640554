"""Networks as folders to share: the same bits come back, nothing of this machine goes along, and no code runs."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from regrow import data, from_pretrained
from regrow.cli import run as regrow
from regrow.errors import DataError, InputError
from regrow.study import recipe as recipes
from regrow.study.execute import restore
from regrow.study.hub import save_pretrained
from regrow.study.networks import open_model
from regrow.study.plan import expand
from regrow.training import network as networks
from regrow.training.checkpoint import Weights, load_weights, save_compact_weights, save_weights
from regrow.training.settings import Precision, RunSettings

FRESH = """
import sys, torch, regrow
model = regrow.from_pretrained(sys.argv[1])
with torch.no_grad():
    logits = model(torch.load(sys.argv[2], weights_only=True))
torch.save(logits, sys.argv[3])
"""
OWN = """
from torch import nn

def build(n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, n_classes))
"""


@pytest.fixture
def sparse_run(finished: Path) -> Path:
    return finished / "runs" / "rigl-s0.5-seed0"


def share(run: Path, hub: Path, *more: str) -> int:
    return regrow(["export", str(run), "--hub", str(hub), *more])


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


def test_a_fresh_process_gets_the_logits_of_the_run_to_the_bit(sparse_run: Path, tmp_path: Path) -> None:
    hub, batch = tmp_path / "hub", torch.randn(7, 3, 32, 32)
    assert share(sparse_run, hub) == 0
    assert {path.name for path in hub.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    weights = load_weights(sparse_run / "model.safetensors")
    model = restore(weights, RunSettings.model_validate(weights.meta["settings"])).eval()
    with torch.no_grad():
        expected = model(batch)
    torch.save(batch, tmp_path / "batch.pt")
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(hub), str(tmp_path / "batch.pt"), str(tmp_path / "logits.pt")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert same_bits(torch.load(tmp_path / "logits.pt", weights_only=True), expected)
    opened = open_model(str(hub))  # and so do check and evaluate
    with torch.no_grad():
        assert same_bits(opened.model.eval()(batch), expected)
    assert opened.spec.classes == data.spec("cues").classes


def test_weights_are_compact_and_the_said_sizes_are_true(
    sparse_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = tmp_path / "hub"
    assert share(sparse_run, hub, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    whole, compact = load_weights(sparse_run / "model.safetensors"), load_weights(hub / "model.safetensors")
    assert all(same_bits(compact.tensors[name], value) for name, value in whole.tensors.items())
    assert all(torch.equal(compact.masks[name], mask) for name, mask in whole.masks.items())
    dense = sum(value.nbytes for value in load_file(sparse_run / "model.safetensors").values())
    masks = sum((mask.numel() + 7) // 8 for mask in whole.masks.values())
    assert said["dense_bytes"] == dense - masks
    assert said["bytes"] == (hub / "model.safetensors").stat().st_size
    active = sum(int((value != 0).sum()) for name, value in whole.tensors.items() if name in whole.masks)
    assert said["density"] == pytest.approx(active / sum(mask.numel() for mask in whole.masks.values()))
    with safe_open(hub / "model.safetensors", framework="np") as file:
        stored = sum(file.get_tensor(name).size for name in file.keys() if name.startswith("active:"))  # noqa: SIM118
    kept = {name for name, mask in whole.masks.items() if bool(mask.all())}
    assert stored == sum(int(m.sum()) for name, m in whole.masks.items() if name not in kept)
    readme = (hub / "README.md").read_text()
    assert f"{100 * said['bytes'] / said['dense_bytes']:.1f} %" in readme
    before = (hub / "model.safetensors").read_bytes()
    assert share(sparse_run, hub, "--force") == 0
    assert (hub / "model.safetensors").read_bytes() == before


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_weights_and_masks_come_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("compact") / "w.safetensors"
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    kind = data.draw(st.sampled_from([np.uint16, np.uint32, np.uint64]))
    size = int(np.prod(shape))
    bits = np.array(data.draw(st.lists(st.integers(0, np.iinfo(kind).max), min_size=size, max_size=size)), kind)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    if data.draw(st.booleans()):
        bits[~mask] = 0  # else something lies outside the mask: -0, NaN, anything
    wanted = {np.uint16: torch.bfloat16, np.uint32: torch.float32, np.uint64: torch.float64}[kind]
    weight = torch.from_numpy(bits.copy()).view(wanted).reshape(shape)
    given = Weights({"a.b": weight, "c": torch.ones(2)}, {"a.b": torch.from_numpy(mask).reshape(shape)}, {"schema": 1})
    save_compact_weights(path, given)
    got = load_weights(path)
    assert got.meta == given.meta
    assert got.tensors.keys() == given.tensors.keys()
    assert got.tensors["a.b"].dtype == wanted
    assert got.tensors["a.b"].contiguous().view(torch.uint8).numpy().tobytes() == bits.tobytes()
    assert torch.equal(got.masks["a.b"], given.masks["a.b"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t, h: t.pop("active:w"),
        lambda t, h: t.pop("mask:w"),
        lambda t, h: t.update({"active:w": torch.ones(1)}),  # one value would fit everywhere
        lambda t, h: t.update({"mask:w": torch.ones(9, dtype=torch.uint8)}),
        lambda t, h: h.update(compact={"w": [2**40, 2**20]}),
        lambda t, h: h.update(compact={"w": "xy"}),
        lambda t, h: h.update(compact=["w"]),
        lambda t, h: h.update(compact={"w": [-8, -1]}),
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(tmp_path: Path, spoil: Callable[[dict, dict], Any]) -> None:
    path = tmp_path / "w.safetensors"
    mask = torch.tensor([True, False, True, False, True, True, False, False])
    save_compact_weights(path, Weights({"w": torch.arange(1.0, 9) * mask}, {"w": mask}, {}))
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["regrow"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    spoil(tensors, header)
    save_file(tensors, path, metadata={"regrow": json.dumps(header)})
    with pytest.raises(DataError, match="do not fit each other"):
        load_weights(path)


def test_the_card_is_read_by_its_own_reader_and_tells_the_measured_numbers(sparse_run: Path, tmp_path: Path) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    hub = tmp_path / "hub"
    assert share(sparse_run, hub, "--license", "apache-2.0") == 0
    card = huggingface_hub.ModelCard.load(hub / "README.md")
    assert (card.data.library_name, card.data.license) == ("regrow", "apache-2.0")
    assert card.data.pipeline_tag == "image-classification"
    assert "rigl" in card.data.tags
    from regrow.evaluation.records import load_record

    right = {
        path.stem: load_record(path)[0].correct.mean() for path in (sparse_run / "records").rglob("*") if path.is_file()
    }
    clean = next(value for name, value in right.items() if "clean" in name)
    by_type = {
        kind: np.mean([value for name, value in right.items() if kind in name])
        for kind in ("contrast", "gaussian_noise")
    }
    found = {one.dataset_name: one.metric_value for one in card.data.eval_results}
    assert found["cues"] == pytest.approx(clean, abs=1e-6)
    assert found[next(k for k in found if ", noise " in k)] == pytest.approx(by_type["gaussian_noise"], abs=1e-6)
    assert found[next(k for k in found if ", mean2 " in k)] == pytest.approx(np.mean(list(by_type.values())), abs=1e-6)
    for said in (f"{100 * clean:.1f} %", "## How it was made", "rigl", "init 0", "torch", "tier T0", "cues"):
        assert said in card.text, said
    config = json.loads((hub / "config.json").read_text())
    assert config["id2label"] == {str(i): name for i, name in enumerate(data.spec("cues").classes)}
    assert not any(
        str(place) in path.read_text() for place in (tmp_path, Path.home()) for path in hub.glob("*.[jm][sd]*")
    )


def test_a_card_says_what_it_does_not_know(sparse_run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone" / "weights.safetensors"
    alone.parent.mkdir()
    alone.write_bytes((sparse_run / "model.safetensors").read_bytes())
    assert share(alone, tmp_path / "hub") == 0
    text = (tmp_path / "hub" / "README.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert "It was not evaluated." in text
    assert "model-index" not in head
    assert "license" not in head


def changed(folder: Path, file: str, change: Callable[[bytes], bytes]) -> None:
    (folder / file).write_bytes(change((folder / file).read_bytes()))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda hub: (hub / "config.json").unlink(), "config.json is not there"),
        (lambda hub: (hub / "model.safetensors").unlink(), "model.safetensors is not there"),
        (lambda hub: changed(hub, "config.json", lambda b: b"[]"), "not written by regrow"),
        (lambda hub: changed(hub, "config.json", lambda b: b[:40]), "not readable as JSON"),
        (lambda hub: changed(hub, "config.json", lambda b: b.replace(b'"steps": 24', b'"steps": 25')), "do not belong"),
        (lambda hub: changed(hub, "model.safetensors", lambda b: b[:-4] + b"abcd"), "do not belong"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    sparse_run: Path, tmp_path: Path, spoil: Callable[[Path], Any], said: str
) -> None:
    hub = tmp_path / "hub"
    assert share(sparse_run, hub) == 0
    spoil(hub)
    with pytest.raises(DataError, match=said):
        from_pretrained(hub)


def test_wrong_calls_are_one_line(sparse_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hub = tmp_path / "hub"
    assert share(sparse_run, hub) == 0
    before = (sparse_run / "model.safetensors").read_bytes()
    for arguments, said in (
        ((sparse_run, hub), "holds model.safetensors, config.json, README.md already"),
        ((sparse_run, sparse_run, "--force"), "is the folder of the run itself"),
        ((sparse_run, tmp_path / "b", "--out", str(tmp_path / "c")), "two kinds of export"),
        ((tmp_path / "nowhere", tmp_path / "b"), "is not there"),
    ):
        capsys.readouterr()
        assert share(*arguments) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert (sparse_run / "model.safetensors").read_bytes() == before
    assert regrow(["export", str(sparse_run), "--out", str(tmp_path / "d"), "--license", "mit"]) == 2
    with pytest.raises(InputError, match="hf download"):
        from_pretrained("someone/something")


def weights_of(tmp_path: Path, name: str, options: dict[str, Any] | None = None, **more: Any) -> Path:
    """Final weights of a run that was never trained."""
    recipe = {
        "schema": 1,
        "name": "tiny",
        "data": {"name": "cues", "train_images": 64, "test_images": 20},
        "model": {"name": name, "options": options or {}},
        "methods": ["dense"],
        "training": {"steps": 20, "batch": 8, "precision": "fp32", "channels_last": "no"},
    }
    made = expand(recipes.parse(recipe, "tiny"), Precision(channels_last=False))[0].settings
    spec = data.spec("cues")
    model = networks.build_network(made.model, spec.n_classes, spec.image_size, seed=0, precision=made.precision)
    meta = {"settings": made.model_dump(mode="json"), "data": spec.as_json(), "fingerprint": "0"}
    for key, value in more.items():
        meta["settings"]["data"]["options"][key] = value
        meta["data"]["options"][key] = value
    save_weights(tmp_path / "run.safetensors", model, {}, meta)
    return tmp_path / "run.safetensors"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a network in the current folder that no other test has used."""
    monkeypatch.chdir(tmp_path)
    name = f"hub_net_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


def test_a_network_of_its_authors_is_named_and_imported_only_by_consent(own: str, tmp_path: Path) -> None:
    hub, name = tmp_path / "hub", f"{own}:build"
    assert share(weights_of(tmp_path, name), hub, "--network", name) == 0
    source = json.loads((hub / "config.json").read_text())["network_file"]
    assert source["name"] == f"{own}.py"
    assert f"{own}.py" in (hub / "README.md").read_text()
    assert source["sha256"] in (hub / "README.md").read_text()
    batch = torch.randn(2, 3, 32, 32)
    loaded = from_pretrained(hub, network=name)
    stored = load_file(tmp_path / "run.safetensors")
    assert torch.equal(
        loaded(batch), torch.nn.functional.linear(batch.flatten(1), stored["1.weight"], stored["1.bias"])
    )

    sys.modules.pop(own)
    (tmp_path / f"{own}.py").write_text("raise SystemExit('code of the folder ran')")
    with pytest.raises(InputError, match=f"network='{name}'"):
        from_pretrained(hub)
    with pytest.raises(InputError, match="not os:getcwd"):
        from_pretrained(hub, network="os:getcwd")
    (tmp_path / f"{own}.py").write_text(OWN + "\n# another file\n")
    importlib.invalidate_caches()
    with pytest.raises(InputError, match=source["sha256"]):
        from_pretrained(hub, network=name)


def test_folders_of_this_machine_stay_here(tmp_path: Path) -> None:
    file = weights_of(tmp_path, "resnet8", path=str(tmp_path / "secret" / "photos"), win="C:\\Users\\me\\photos")
    save_pretrained(load_weights(file), tmp_path / "hub", file=file)
    for written in (tmp_path / "hub").iterdir():
        assert str(tmp_path).encode() not in written.read_bytes()
        assert b"Users" not in written.read_bytes()
        assert b"photos" in written.read_bytes()


def test_nothing_is_fetched_for_a_network_that_began_with_published_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = weights_of(tmp_path, "resnet8")
    weights, seen = load_weights(file), []
    weights.meta["settings"]["model"]["options"] = {"pretrained": True}
    build = networks.models.build
    monkeypatch.setattr(
        networks.models, "build", lambda name, *rest, options, **k: seen.append(options) or build(name, *rest, **k)
    )
    save_pretrained(weights, tmp_path / "hub", file=file)
    from_pretrained(tmp_path / "hub")
    assert seen
    assert not any(seen)

"""What docs/threat-model.md promises: no code from data, no path out of its folder, only checked downloads."""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import regrow
from regrow import data, files
from regrow.cli import run
from regrow.corruptions.writer.manifest import MANIFEST, Manifest
from regrow.data import archive, packed
from regrow.data.pictures import tiny_imagenet
from regrow.data.published_clips import ClipSet
from regrow.errors import DataError, InputError, RegrowError
from regrow.models.user import named
from regrow.study import recipe as recipes
from regrow.study.cells import open_cells
from regrow.study.execute import require_named_network
from regrow.study.plan import expand
from regrow.study.store import Store
from regrow.study.summaries import load_summaries
from regrow.training.checkpoint import save_weights
from regrow.training.settings import Precision

SOURCE = Path(regrow.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

#: Where code may come in, each with the reason; see docs/threat-model.md.
ALLOWED = {
    ("files/pickles.py", "pickle._Unpickler"),  # restricted to names and opcodes that build plain values
    ("corruptions/writer/pool.py", "pickle.load"),  # from processes that regrow itself has started
    ("corruptions/writer/worker.py", "pickle.load"),
    ("corruptions/writer/worker.py", "pickle.loads"),
    ("corruptions/kernel/__init__.py", "ctypes.CDLL"),  # compiled from regrow's own source
}


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_code_is_read_from_data_but_where_it_is_said() -> None:
    dangerous = re.compile(
        r"(eval|exec|compile|__import__|os\.system|(c?pickle|dill|joblib|marshal|shelve)\.\w*([Ll]oads?|Unpickler)|"
        r"ctypes\.CDLL|yaml\.(load|unsafe_load|full_load|load_all)|torch\.(load|jit\.load|hub\.\w+)|np\.load|runpy\.\w+)"
    )
    found = set()
    for module in MODULES:
        for name, call in calls(ast.parse(module.read_text())):
            if not dangerous.fullmatch(name):
                continue
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            if name == "torch.load":
                assert options.get("weights_only") == "True", module
            elif name == "yaml.load":
                assert ast.unparse(call.args[1]) in ("StrictLoader", "_StoredLoader"), module
            elif name != "np.load" or options.get("allow_pickle", "False") != "False":
                found.add((module.relative_to(SOURCE).as_posix(), name))
    assert found <= ALLOWED


def test_no_process_goes_through_a_shell() -> None:
    for module in MODULES:
        for name, call in calls(ast.parse(module.read_text())):
            if name.startswith("subprocess."):
                assert not any(keyword.arg == "shell" for keyword in call.keywords), module


def test_addresses_are_https_and_others_are_not_fetched(tmp_path: Path) -> None:
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("http:"):
                assert re.fullmatch(r"http://(127\.0\.0\.1|localhost):", node.value), (module, node.value)
    for address in ("http://example.org/x", "ftp://example.org/x", "file:///etc/passwd", "HTTP://127.0.0.1:1/x"):
        with pytest.raises(DataError, match="only https"):
            files.download([address], tmp_path / "x", size=1, sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------- paths

OUTSIDE = ["../secret", "a/../../secret", "/etc/passwd", "", "."]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_of_lists_stay_in_their_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        files.inside(tmp_path, name)


def test_a_list_of_clips_names_none_outside(tmp_path: Path) -> None:
    cell = tmp_path / "set/fog/3"
    (cell / "a").mkdir(parents=True)
    (cell / "a/1.mp4").write_bytes(b"")
    (tmp_path / "set/secret.mp4").write_bytes(b"")
    (cell / "clips.txt").write_text("../../secret.mp4 3 0\n")
    with pytest.raises(DataError, match="secret"):
        ClipSet(tmp_path / "set").cell("fog", 3)


def test_notes_of_tiny_imagenet_name_no_picture_outside(tmp_path: Path) -> None:
    (tmp_path / "val/images").mkdir(parents=True)
    (tmp_path / "secret.JPEG").write_bytes(b"")
    (tmp_path / "val/images/val_0.JPEG").write_bytes(b"")
    (tmp_path / "val/val_annotations.txt").write_text("../../secret.JPEG\tn1\nval_0.JPEG\tn1\nval_0.JPEG\t../n1\n")
    assert list(tiny_imagenet(tmp_path).files) == ["n1/val_0.JPEG"]


def test_a_pack_names_no_file_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"12")
    said = {"version": packed._VERSION, "files": {"../secret": {"size": 2, "sha256": "0"}}}
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / packed.FACTS).write_text(json.dumps(said))
    with pytest.raises(DataError, match="secret"):
        packed.load(tmp_path / "pack")


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifest_names_no_file_outside(name: str, tmp_path: Path) -> None:
    Manifest(tmp_path, {"layout": "tree", "source": "x", "severities": [1]}, ["fog/1", name]).save()
    assert (tmp_path / MANIFEST).exists()
    with pytest.raises(DataError, match="no manifest"):
        Manifest.read(tmp_path)


def test_an_index_of_cells_names_no_file_outside(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"digests": {"cues.../../x.1.npy": "0"}, "notes": []}))
    with pytest.raises(DataError):
        open_cells(tmp_path, "cues")


@pytest.mark.parametrize(("outer", "inner"), [("...tar", "x"), ("n1.tar", "../x"), ("n1.tar", "/etc/x"), (".tar", "x")])
def test_an_archive_in_an_archive_leads_nowhere_else(outer: str, inner: str, tmp_path: Path) -> None:
    def tar(name: str, content: bytes) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as made:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()

    (tmp_path / "a.tar").write_bytes(tar(outer, tar(inner, b"1")))
    with pytest.raises(DataError):
        archive.index(tmp_path / "a.tar", nested=True, cache=tmp_path / "cache")


def recipe(**more: object) -> dict[str, object]:
    return {
        "schema": 1,
        "name": "tiny",
        "data": {"name": "cues"},
        "model": {"name": "mlp", "width": 8},
        "methods": ["dense", {"name": "rigl", "label": "late", "source": {"label": "dense", "weights": "final"}}],
        "training": {"steps": 5, "batch": 8},
        **more,
    }


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..", ""])
def test_names_and_labels_of_a_recipe_make_no_path(name: str) -> None:
    with pytest.raises(InputError):
        recipes.parse(recipe(name=name), "x")
    with contextlib.suppress(InputError):
        parsed = recipes.parse(recipe(methods=["dense", {"name": "rigl", "label": name}]), "x")
        assert all(files.inside(Path("runs"), run.name).parent == Path("runs") for run in expand(parsed, Precision()))


def published(folder: Path, values: dict[str, object]) -> Path:
    """A published study without the summary of any run."""
    parsed = recipes.parse(values, "x")
    Store(folder).create(parsed, Precision(), {}, {})
    whole = {"schema": 2, "name": "tiny", "title": "", "tier": "T0", "environment": {}, "data": {"name": "cues"}}
    whole |= {"corruptions": [], "severities": [], "families": {}, "common": [], "common_words": "", "notes": []}
    whole |= {"started": 0, "analyses": {}, "problems": []}
    (folder / "study.json").write_text(json.dumps(whole))
    return folder


def test_a_published_study_names_no_run_outside(tmp_path: Path) -> None:
    folder = published(tmp_path / "study", recipe())
    assert {view.state for view in load_summaries(folder).runs} == {"planned"}
    content = yaml.safe_load((folder / "study.yaml").read_text())
    (tmp_path / "secret.json").write_text("{}")
    content["runs"].append("../../secret")
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match="secret"):
        load_summaries(folder)


# ----------------------------------------------------------------------------------------------------------------- code


def test_a_stranger_s_study_runs_no_code_that_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "was here"
    (tmp_path / "their_net.py").write_text(
        f"from pathlib import Path\nfrom torch import nn\nPath({str(mark)!r}).touch()\n"
        "def build(n_classes): return nn.Sequential(nn.Flatten(), nn.Linear(3072, n_classes))\n"
    )
    folder = published(tmp_path / "study", recipe(model={"name": "their_net:build"}))
    mark.unlink()  # whoever makes a study runs its code
    monkeypatch.delitem(__import__("sys").modules, "their_net")
    with pytest.raises(RegrowError, match="code"):
        load_summaries(folder)
    assert run(["report", str(folder)]) == 2
    assert not mark.exists()


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a stranger's study and run whose network lies beside them and marks that it ran."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "their_net", raising=False)
    (tmp_path / "their_net.py").write_text(
        f"from pathlib import Path\nfrom torch import nn\nPath({str(tmp_path / 'was here')!r}).touch()\n"
        "def build(n_classes): return nn.Sequential(nn.Flatten(), nn.Linear(3072, n_classes))\n"
    )
    parsed, spec = recipes.parse(recipe(model={"name": "their_net:build"}), "x"), data.spec("cues")
    store = Store(tmp_path / "study")
    with named("their_net:build"):
        store.create(parsed, Precision(channels_last=False), {}, {})
        settings = store.prepare()[0].settings
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, spec.n_classes))
    meta = {"settings": settings.model_dump(mode="json"), "data": spec.as_json(), "fingerprint": "0"}
    save_weights(tmp_path / "theirs.safetensors", model, {}, meta)
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    for name in spec.classes:
        (tmp_path / "photos" / name).mkdir(parents=True)
        shutil.copy(tmp_path / "x.png", tmp_path / "photos" / name)
    (tmp_path / "was here").unlink()  # whoever makes a study runs its code
    del sys.modules["their_net"]
    return tmp_path


FEW = ("--corruptions", "contrast", "--severities", "1")


@pytest.mark.parametrize(
    "command",
    [
        ("check", "--model", "theirs.safetensors", "--images", "photos", *FEW),
        ("evaluate", "cues", "--model", "theirs.safetensors", *FEW, "--limit", "4"),
        ("evaluate", "cues", "--model", "theirs.safetensors", "--against", "theirs.safetensors", *FEW, "--limit", "4"),
        ("export", "theirs.safetensors", "--out", "out", "--format", "compact"),
        ("export", "theirs.safetensors", "--hub", "hub"),
        ("report", "study"),
        ("verdict", "study"),
        ("compare", "study", "study"),
        ("track", "study", "--to", "tensorboard:events"),
        ("run", "study/runs/dense-s0-seed0"),
    ],
    ids=lambda command: " ".join(command[:1]),
)
def test_no_command_imports_what_a_folder_names_and_the_user_does_not(
    command: tuple[str, ...], stranger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: their_net:build is code that the folder names")
    assert "add --network their_net:build" in error
    assert run([*command, "--network", "os:getcwd"]) == 2
    assert not (stranger / "was here").exists()


def test_a_network_that_the_user_names_as_well_is_imported(stranger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("check", "--model", "theirs.safetensors", "--images", "photos", *FEW)
    assert run([*command, "--network", "resnet8"]) == 2
    assert "no network of your own" in capsys.readouterr().err
    assert run([*command, "--network", "their_net:build"]) == 0
    assert (stranger / "was here").exists()
    assert run([*command, "--force"]) == 2, "what was said holds for one command"
    with pytest.raises(InputError, match="network='their_net:build'"):
        regrow.load_study(Path("study"))
    assert len(regrow.load_study(Path("study"), network="their_net:build").runs) == 2


def test_a_run_names_no_other_network_than_the_recipe_that_the_user_gave(stranger: Path) -> None:
    path = stranger / "study" / "runs" / "dense-s0-seed0" / "run.json"
    files.write_json(path, {"settings": {"model": {"name": "their_net:build"}}})
    with named("my_net:build"), pytest.raises(InputError, match="their_net:build is code"):
        require_named_network(path.parent)
    for said in ({}, [], {"settings": {"model": {}}}):
        files.write_json(path, said)
        with pytest.raises(DataError, match="damaged"):
            require_named_network(path.parent)
    assert not (stranger / "was here").exists()


def test_yaml_tags_make_no_objects(tmp_path: Path) -> None:
    mark = tmp_path / "was here"
    text = f"!!python/object/apply:os.mkdir ['{mark}']"
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError):
        recipes.load(str(tmp_path / "r.yaml"))
    (tmp_path / "study.yaml").write_text(f"recipe: {text}\n")
    with pytest.raises(DataError):
        Store(tmp_path).load()
    assert not mark.exists()


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> object:
            return os.mkdir, (str(tmp_path / "was here"),)

    array = np.array([Runs()], dtype=object)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=array)
    for read, name in ((files.read_array, "a.npy"), (files.read_arrays, "a.npz")):
        with pytest.raises(DataError):
            read(tmp_path / name)
    assert not (tmp_path / "was here").exists()


# ------------------------------------------------------------------------------------------------------------- terminal


def test_messages_hold_no_control_characters() -> None:
    error = RegrowError("a \x1b[2Jfolder\r\n\u202eof \udcffnames", "look\x07")
    assert str(error).isprintable()
    assert error.message == r"a \x1b[2Jfolder \u202eof \udcffnames"
    assert base64.b64encode(str(error).encode())

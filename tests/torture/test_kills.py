"""kill -9 at any operation on files, or any moment, of study, evaluate and corrupt; then the same command again.

Its end is that of a command which was never killed: the same bits, whole files, nothing unfinished left, and no run
executed that was done.
"""

from __future__ import annotations

import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

RECIPE = {
    "schema": 1,
    "name": "killed",
    "data": {"name": "cues", "train_images": 32, "test_images": 8},
    "model": {"name": "mlp", "width": 16},
    "methods": [
        "dense",
        {"name": "rigl", "training": {"ema": 0.9}},
        {"name": "set", "label": "late", "source": {"label": "dense", "weights": 0.5}},
    ],
    "seeds": [0],
    "sparse": {"updates": 2},
    "training": {
        "steps": 8,
        "batch": 8,
        "lr": 0.05,
        "precision": "fp32",
        "channels_last": "no",
        "log_every": 3,
        "checkpoint_seconds": 0.001,  # at every step
    },
    "evaluation": {"corruptions": ["contrast", "gaussian_noise"], "severities": [5]},
    "analysis": {name: {"images": 0} for name in ("heat_map", "gradients", "sharpness", "aliasing")}
    | {"attenuation": {"low": [4.0], "high": [4.0], "images": 4}},
}

#: What differs between two runs of the same command: times, and how often something was tried.
TIMES = {
    "result.json": {"wall_s", "images_per_s", "peak_memory_bytes"},
    "state.json": {"attempts"},
    "metrics.jsonl": {"images_per_s"},
    "study.yaml": {"planned_at", "probe", "environment"},
    "verdict.json": {"registered_at"},
}
#: Files of which the times are most, or which other files say better: only that they are whole is looked at.
ONLY_WHOLE = {"checkpoint.pt", "report.html", "environment.json", ".lock"}


def unfinished(folder: Path) -> list[str]:
    """Files that a command leaves only while it is at work."""
    return sorted(str(path) for path in folder.rglob(".*") if path.name.endswith((".tmp", ".part", ".journal")))


def whole(path: Path, *, ended: bool) -> Any:
    """The content of a file; raises where it is torn. Lists of lines may end in half a line until the next run."""
    content = path.read_bytes()
    match path.suffix:
        case ".json":
            return json.loads(content)
        case ".jsonl":
            lines = content.decode().split("\n")
            assert not ended or lines[-1] == ""
            return [json.loads(line) for line in lines[:-1]]
        case ".yaml":
            return yaml.safe_load(content)
        case ".npz":
            with np.load(io.BytesIO(content)) as arrays:
                return {name: arrays[name].tobytes() for name in arrays.files}
        case ".npy":
            return np.load(io.BytesIO(content)).tobytes()
        case ".safetensors":
            load_file(path)
        case ".pt":
            torch.load(io.BytesIO(content), weights_only=True)
        case ".html":
            assert content.rstrip().endswith(b"</html>")
        case ".JPEG":
            Image.open(io.BytesIO(content)).load()
    return content


def require_whole(folder: Path, *, ended: bool) -> None:
    """Every file under its own name is whole; those that are not yet finished have names that say so."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            whole(path, ended=ended)


def end_of(folder: Path) -> dict[str, Any]:
    """What a command has left, without times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name in ONLY_WHOLE:
            continue
        value = whole(path, ended=True)
        left_out = TIMES.get(path.name, set())
        if isinstance(value, dict):
            value = {key: inner for key, inner in value.items() if key not in left_out}
        if isinstance(value, list):
            value = [{key: inner for key, inner in row.items() if key not in left_out} for row in value]
        found[str(path.relative_to(folder))] = value
    return found


def runs_that_are_done(folder: Path) -> dict[str, tuple[int, int]]:
    """Runs of a study whose state is done: attempts, and when their weights were written."""
    found = {}
    for run in folder.glob("runs/*"):
        state = json.loads((run / "state.json").read_text()) if (run / "state.json").exists() else {}
        if state.get("state") == "done":
            found[run.name] = (state["attempts"], (run / "model.safetensors").stat().st_mtime_ns)
    return found


@dataclass
class Case:
    """A command that writes into a folder, and its end when it is never killed."""

    name: str
    command: Callable[[Path], list[object]]
    folder: Path
    end: dict[str, Any] = field(default_factory=dict)
    operations: int = 0
    seconds: float = 0.0

    def prepare(self, server: Any) -> None:
        """Run it to its end."""
        out = self.folder / self.name / "undisturbed"
        ended = server.run(out, *self.command(out))
        assert ended.code == 0, ended.err
        assert not unfinished(out)
        self.end, self.operations, self.seconds = end_of(out), ended.operations, ended.seconds

    def kill(self, server: Any, chance: random.Random, kills: int, counts: Counter[str]) -> int:
        """Kill it some times in a row, then let it end, and compare; the number of kills."""
        out = self.folder / self.name / "killed"
        done, started, were_done = 0, 0, {}
        while True:
            at_operation = chance.random() < 0.7
            moment = {"kill_at": chance.randint(1, self.operations)} if at_operation else {
                "kill_after": chance.uniform(0, self.seconds)}  # fmt: skip
            page = chance.random() < 0.1  # which takes longer than all the rest
            ended = server.run(out, *self.command(out), page=page, **(moment if done < kills else {}))
            started += 1
            require_whole(out, ended=ended.code == 0)
            now = runs_that_are_done(out)
            assert all(now[name] == fact for name, fact in were_done.items()), "a run that was done was run again"
            were_done = now
            if ended.code is None:
                assert ended.signal == 9
                counts[ended.stage] += 1
                done += 1
                if chance.random() < 0.3:
                    tear(out, chance)
                continue
            assert ended.code == 0, ended.err
            break
        assert end_of(out) == self.end
        assert unfinished(out) == []
        assert all(attempts <= started for attempts, _ in were_done.values())
        shutil.rmtree(out)
        return done


def tear(folder: Path, chance: random.Random) -> None:
    """What a kill in the middle of a write leaves of lists that are appended to: half a line."""
    lists = [*folder.rglob("*.jsonl"), *folder.rglob(".*.journal")]
    for path in sorted(lists):
        if not (path.parent / "result.json").exists():  # of a run that is trained nothing is appended to
            with path.open("ab") as file:
                file.write(b'{"step": 12, "at": 3, "los'[: chance.randint(1, 26)])


@pytest.fixture(scope="module")
def cases(server: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """A study of three runs, an evaluation of one of them, and corrupted copies as arrays and as a tree."""
    folder = tmp_path_factory.mktemp("torture")
    recipe = folder / "killed.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    pictures = folder / "pictures"
    stream = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (pictures / label).mkdir(parents=True)
        for i in range(3):
            pixels = stream.integers(0, 256, (40, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(pictures / label / f"{i}.png")
    corrupt = ["corrupt", pictures, "--corruptions", "contrast,gaussian_noise", "--severities", "1,5", "--side", 32]
    model = folder / "study" / "undisturbed" / "runs" / "dense-s0-seed0"
    few = ["--corruptions", "contrast,fog", "--severities", "1,5", "--limit", 12]
    made = [
        Case("study", lambda out: ["study", recipe, "--out", out, "--jobs", 1], folder),
        Case("evaluate", lambda out: ["evaluate", "cues", "--model", model, *few, "--out", out], folder),
        Case("corrupt npy", lambda out: [*corrupt, "--format", "npy", "--jobs", 1, "--out", out], folder),
        Case("corrupt tree", lambda out: [*corrupt, "--clean", "--jobs", 1, "--out", out], folder),
    ]
    for case in made:
        case.prepare(server)
    return made


def rounds(server: Any, cases: list[Case], wanted: dict[str, int], seed: int, counts: Counter[str]) -> int:
    chance, total = random.Random(seed), 0
    for case in cases:
        left = wanted[case.name]
        while left > 0:
            left -= case.kill(server, chance, min(left, chance.randint(1, 3)), counts)
        total += wanted[case.name] - left
    return total


@pytest.mark.parametrize(
    ("study", "others"), [(2, 1), pytest.param(6, 4, marks=pytest.mark.system)], ids=["a few", "more"]
)
def test_some_kills(server: Any, cases: list[Case], tally: dict[str, Counter[str]], study: int, others: int) -> None:
    wanted = {case.name: study if case.name == "study" else others for case in cases}
    assert rounds(server, cases, wanted, 11, tally["kills"]) == sum(wanted.values())


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_two_hundred_kills(server: Any, cases: list[Case], tally: dict[str, Counter[str]]) -> None:
    wanted = {"study": 110, "evaluate": 30, "corrupt npy": 40, "corrupt tree": 40}
    assert rounds(server, cases, wanted, 5, tally["kills"]) >= 200
    for stage in ("test images", "train", "evaluate", "analyse", "report"):
        assert tally["kills"][f"study: {stage}"], f"none fell into {stage}"


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_a_kill_before_every_single_operation_of_a_corrupted_set(
    server: Any, cases: list[Case], tally: dict[str, Counter[str]]
) -> None:
    for case in cases:
        if case.name.startswith("corrupt"):
            for at in range(1, case.operations + 1):
                out = case.folder / case.name / "each"
                killed = server.run(out, *case.command(out), kill_at=at)
                if killed.code == 0:  # it took an operation less than the time that was counted
                    assert killed.operations < at
                else:
                    assert killed.signal == 9
                    tally["kills"]["corrupt"] += 1
                require_whole(out, ended=False) if out.exists() else None
                ended = server.run(out, *case.command(out))
                assert ended.code == 0, (at, ended.err)
                assert end_of(out) == case.end, at
                assert unfinished(out) == [], at
                shutil.rmtree(out)

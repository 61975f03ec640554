"""kill -9 of the whole process group at random moments; the same call ends with the bits of a study never killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from regrow.study import recipe as recipes

CALL = [sys.executable, "-c", "from regrow.cli import main; main()", "study"]


def weights(folder: Path) -> dict[str, bytes]:
    return {p.parent.name: p.read_bytes() for p in sorted(folder.glob("runs/*/model.safetensors"))}


def records(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.glob("runs/*/records/*.npz"))}


def wait_for_training(process: subprocess.Popen[bytes], out: Path) -> None:
    """Return once a run has written a checkpoint since the process started, or the process has ended."""
    started = time.time()
    while process.poll() is None:
        if any(p.stat().st_mtime > started for p in out.glob("runs/*/checkpoint.pt")):
            return
        time.sleep(0.02)


def run_killed(recipe: Path, out: Path, kills: int, longest: float, seed: int) -> int:
    """Start the study and kill its process group, ``kills`` times; then let it end.

    Every third kill comes at a random moment of the start (planning, test images, loading), the others at a random
    moment after training has gone on.
    """
    chance, done = random.Random(seed), 0
    while True:
        process = subprocess.Popen(
            [*CALL, str(recipe), "--out", str(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        if done < kills and done % 3:
            wait_for_training(process, out)
        limit = None if done == kills else chance.uniform(0, longest) if done % 3 else chance.uniform(0.5, 6)
        try:
            _, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            done += 1
            # nothing half-written under its own name: what can be read is whole
            for file in out.glob("runs/*/*.json"):
                assert file.read_text().endswith("\n")
            continue
        assert process.returncode == 0, errors.decode()
        return done


def compare(recipe: Path, tmp_path: Path, kills: int, longest: float) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*CALL, str(recipe), "--out", str(whole)], check=True, stdout=subprocess.DEVNULL)
    done = run_killed(recipe, killed, kills, longest, seed=7)
    assert done == kills
    assert weights(killed) == weights(whole)
    assert weights(whole)
    assert records(killed) == records(whole)
    assert not list(killed.rglob("*.tmp"))


@pytest.mark.system
def test_three_kills(tiny, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    values = tiny.resolved()
    values["training"] |= {"steps": 600, "checkpoint_seconds": 0.1}
    recipe.write_text(yaml.safe_dump(values))
    compare(recipe, tmp_path, kills=3, longest=0.5)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_dozen_kills_of_the_demo(tmp_path: Path) -> None:
    values = recipes.load("quick/cues").resolved()
    values["training"] |= {"precision": "fp32", "channels_last": "yes", "checkpoint_seconds": 5.0}
    recipe = tmp_path / "cues.yaml"
    recipe.write_text(yaml.safe_dump(values))
    compare(recipe, tmp_path, kills=12, longest=12.0)

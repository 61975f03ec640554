"""How long does it take to list and to report a study of many runs?

    PYTHONPATH=src python benchmarks/bench_store.py [--runs 10000]

A tiny study of two arms is trained; its runs are then linked under the names of as many seeds as are asked for.
Aims for 10,000 runs: the list in under 2 s, the report in under 30 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from _measure import save, show

from regrow.report.write import write_report
from regrow.study import recipe as recipes
from regrow.study.engines.engine import Event
from regrow.study.run import run_study
from regrow.study.store import Store

RECIPE = {
    "schema": 1,
    "name": "store",
    "data": {"name": "cues", "train_images": 64, "test_images": 50},
    "model": {"name": "mlp", "width": 8},
    "methods": ["dense", "set"],
    "seeds": [0],
    "sparse": {"updates": 2},
    "training": {"steps": 20, "batch": 16, "precision": "fp32", "channels_last": "no"},
    "evaluation": {"corruptions": ["contrast", "gaussian_noise"], "severities": [1, 5]},
    "analysis": {name: {"images": 0} for name in ("heat_map", "gradients", "sharpness", "aliasing")}
    | {"attenuation": {"low": [4.0], "high": [4.0], "images": 10}},
}


class Silent:
    """A console that says nothing."""

    def say(self, text: str) -> None:
        del text

    def stage(self, text: str, done: int, total: int) -> None:
        del text, done, total

    def event(self, event: Event) -> None:
        del event


def many(small: Store, folder: Path, runs: int) -> Store:
    """A store of many runs whose files are those of the small one, by links where the disk has them."""
    recipe = recipes.parse({**RECIPE, "seeds": list(range(runs // 2))}, "store")
    content, store = small.load(), Store(folder)
    store.create(recipe, small.precision(), content["probe"], content["environment"])
    shutil.copytree(small.cells, store.cells, copy_function=os.link)
    store.prepare()
    for run in store.planned():
        like = small.run(f"{run.label}-s{run.settings.sparsity:g}-seed0")
        for path in like.rglob("*"):
            target = store.run(run.name) / path.relative_to(like)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            elif path.name not in ("run.json", ".lock"):
                os.link(path, target)
    return store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="write the result here instead of benchmarks/results/store.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        small = run_study(recipes.parse(RECIPE, "store"), Path(scratch) / "small", Silent(), jobs=1)
        store = many(small, Path(scratch) / "many", given.runs)
        seconds = {}
        begun = time.perf_counter()
        states = store.states()
        seconds["list"] = time.perf_counter() - begun
        begun = time.perf_counter()
        page = write_report(store.folder)
        seconds["report"] = time.perf_counter() - begun
        size = page.stat().st_size
    assert len(states) == given.runs // 2 * 2
    assert {state["state"] for state in states.values()} == {"done"}
    show([["list", f"{seconds['list']:.2f} s"], ["report", f"{seconds['report']:.1f} s"], ["page", f"{size:,} bytes"]])
    question = "How long does it take to list and to report a study of many runs?"
    save("store", question, {"runs": len(states), "seconds": seconds, "page_bytes": size}, given.out)


if __name__ == "__main__":
    main()

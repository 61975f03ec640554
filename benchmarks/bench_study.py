"""How many runs an hour does a study make, side by side and one after another, and what does starting an engine cost?

On the processor: eight small runs (an MLP on generated pictures) by the local engine and by Ray, with one worker and
with two, each in turn in one session, a round after the other; the figure of a case is the median over rounds of runs
an hour, and ratios are taken within a round, against the local engine with one worker: one run after another. Making
the study and its test images, and the page, are left out; starting the process of each run is in. The Ray cluster is
there before the first round. What it takes to start one on this machine (`--address local`), to join one, and to make a
first run end in it, beside the same run by the local engine, is measured on its own.

On a GPU, where there is one: eight small ResNet-20s that share it (`resources: {gpus: 0.125}`) against one after
another; aim 3 x. Where there is none the result says so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from _measure import median, rounds, save, show

from regrow import files
from regrow.study import recipe as recipes
from regrow.study.engines.choice import opened
from regrow.study.engines.engine import Engine, execute_all
from regrow.study.engines.local import LocalEngine
from regrow.study.recipe import Recipe, Resources
from regrow.study.run import run_study
from regrow.study.store import get_state

RUNS, GPU_AIM = 8, 3.0
#: Analyses that take images are off: the figure is of the engine, and not of them.
COMMON: dict[str, Any] = {
    "schema": 1,
    "evaluation": {"corruptions": ["contrast"], "severities": [1]},
    "analysis": {name: {"images": 0} for name in ("heat_map", "gradients", "sharpness", "aliasing")}
    | {"attenuation": {"images": 4}},
}


def small(steps: int) -> Recipe:
    """Eight runs for a processor's core each."""
    values = {
        "name": "bench-study",
        "data": {"name": "cues", "train_images": 64, "test_images": 10},
        "model": {"name": "mlp", "width": 32},
        "methods": ["dense", "rigl"],
        "seeds": list(range(RUNS // 2)),
        "training": {"steps": steps, "batch": 8, "lr": 0.01, "precision": "fp32", "channels_last": "no"},
    }
    return recipes.parse({**COMMON, **values}, "bench-study")


def of_gpu(steps: int) -> Recipe:
    """Eight runs that a GPU is too large for."""
    values = {
        "name": "bench-study-gpu",
        "data": {"name": "cues", "train_images": 2000, "test_images": 100},
        "model": {"name": "resnet20"},
        "methods": ["dense", "rigl"],
        "seeds": list(range(RUNS // 2)),
        "training": {"steps": steps, "batch": 128, "lr": 0.1},
    }
    return recipes.parse({**COMMON, **values}, "bench-study-gpu")


class Silent:
    """A console that nobody looks at."""

    def say(self, text: str) -> None: ...

    def stage(self, text: str, done: int, total: int) -> None: ...

    def event(self, event: object) -> None: ...


def prepared(recipe: Recipe, folder: Path) -> Path:
    """A study with its test images, before its first run."""
    return run_study(recipe, folder, Silent(), only_prepare=True).folder


def seconds_of(study: Path, engine: Engine, resources: Resources, n: int = RUNS) -> float:
    """Wall time of n runs of a copy of a prepared study."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(shutil.copytree(study, Path(temporary) / "study"))
        runs = sorted((copy / "runs").iterdir())[:n]
        start = time.perf_counter()
        with files.owned(copy, "study"):  # as whoever executes a study's runs does
            failed = execute_all(runs, engine=engine, data_root=None, on_event=lambda event: None, resources=resources)
        seconds = time.perf_counter() - start
        if failed:
            sys.exit(f"{failed[0]} failed: {get_state(copy / 'runs' / failed[0])['reason']}")
    return seconds


def rates(cases: dict[str, Callable[[], float]], n: int, base: str) -> dict[str, Any]:
    """Of each case its runs an hour, and how many times those of the base it makes."""
    seconds = rounds(cases, n)
    ratios = {name: [b / own for b, own in zip(seconds[base], seconds[name], strict=True)] for name in cases}
    return {
        "runs": RUNS,
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "runs_per_hour": {name: round(3600 * RUNS / median(values), 1) for name, values in seconds.items()},
        "times_one_after_another": {
            name: {"median": round(median(v), 3), "lowest": round(min(v), 3), "highest": round(max(v), 3)}
            for name, v in ratios.items()
        },
    }


@contextlib.contextmanager
def cluster(cpus: int) -> Iterator[str]:
    """A Ray cluster of one node, in processes of its own, as `ray start --head` makes it; its address."""
    code = (
        "import sys; from ray.cluster_utils import Cluster; "
        f"c = Cluster(initialize_head=True, head_node_args={{'num_cpus': {cpus}, 'include_dashboard': False}}); "
        "print('at', c.address, flush=True); sys.stdin.read(); c.shutdown()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield next(line.split()[1] for line in process.stdout if line.startswith("at "))
    finally:
        process.stdin.close()
        process.wait()


def start_up(study: Path, n: int) -> dict[str, Any]:
    """Seconds from nothing to an engine at hand, and to the end of its first run."""
    found: dict[str, list[float]] = {}

    def timed(name: str, of: contextlib.AbstractContextManager[Engine]) -> None:
        start = time.perf_counter()
        with of as engine:
            found.setdefault(f"{name}: engine at hand", []).append(time.perf_counter() - start)
            run = seconds_of(study, engine, Resources(), 1)
            found.setdefault(f"{name}: its first run", []).append(run)

    for _ in range(n):
        timed("local", opened("local", jobs=1))
        timed("ray, a cluster started for it", opened("ray", jobs=1, address="local"))
        with cluster(2) as address:
            timed("ray, a cluster that is there", opened("ray", jobs=1, address=address))
    return {
        "seconds": {name: [round(value, 2) for value in values] for name, values in found.items()},
        "median_seconds": {name: round(median(values), 2) for name, values in found.items()},
    }


def on_processor(steps: int, n: int) -> dict[str, Any]:
    """Local engine and Ray with one and two workers."""
    with tempfile.TemporaryDirectory() as temporary:
        study = prepared(small(steps), Path(temporary) / "study")
        starts = start_up(study, n)
        with (
            cluster(2) as address,
            opened("ray", jobs=1, address=address) as one,
            opened("ray", jobs=2, address=address) as two,  # over the same connection
        ):
            engines = {
                "local, 1 worker": LocalEngine(1),
                "local, 2 workers": LocalEngine(2),
                "ray, 1 worker": one,
                "ray, 2 workers": two,
            }
            cases = {name: (lambda e=engine: seconds_of(study, e, Resources())) for name, engine in engines.items()}
            return {"steps": steps, **rates(cases, n, "local, 1 worker"), "start": starts}


def on_gpu(steps: int, n: int) -> dict[str, Any]:
    """Eight runs that share the GPU against one after another; or that there is none."""
    if not torch.cuda.is_available():
        return {"measured": False, "why": "torch finds no CUDA device on this machine", "aim": GPU_AIM}
    share = Resources(gpus=1 / RUNS)
    with tempfile.TemporaryDirectory() as temporary:
        study = prepared(of_gpu(steps), Path(temporary) / "study")
        cases = {
            "one after another": lambda: seconds_of(study, LocalEngine(1), share),
            "eight side by side": lambda: seconds_of(study, LocalEngine(RUNS), share),
        }
        measured = rates(cases, n, "one after another")
    reached = measured["times_one_after_another"]["eight side by side"]["median"]
    device = torch.cuda.get_device_name(0)
    return {"measured": True, "device": device, "steps": steps, **measured, "aim": GPU_AIM, "met": reached >= GPU_AIM}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="of each run on the processor")
    parser.add_argument("--gpu-steps", type=int, default=1000, help="of each run on a GPU")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write here instead of benchmarks/results")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    processor = on_processor(given.steps, given.rounds)
    content = {
        "load_average": {"before": round(load, 2), "after": round(os.getloadavg()[0], 2)},
        "processor": processor,
        "gpu": on_gpu(given.gpu_steps, given.rounds),
    }
    save("study", " ".join(__doc__.split("\n\n")[0].split()), content, given.out)
    show(
        [
            ["case", "runs an hour", "times one after another"],
            *(
                [name, f"{rate:.0f}", f"{processor['times_one_after_another'][name]['median']:.2f}"]
                for name, rate in processor["runs_per_hour"].items()
            ),
        ]
    )


if __name__ == "__main__":
    main()

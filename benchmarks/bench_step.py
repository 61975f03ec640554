"""Which share of the speed of a bare loop do a run's training steps keep, and how far is the device from its peak?

Bare: the same network in the same arithmetic, compiled in the same way, on one batch that lies on the device: forward,
loss, backward, SGD, nothing else. A run: what `regrow study` executes, with its input (shuffled, cropped, flipped on
the device), metrics and sparsifier: dense, and RigL at 50 % with an update every 100 steps. All cases take turns in one
process; figures are medians over rounds. Utilisation: 3 x the forward pass's FLOPs (torch's counter) x images/s over
the rate of a large matrix product in the same number format, measured here too. Without options: ResNet-18 at batch 512
in bf16 on an accelerator, ResNet-20 at batch 128 on a processor (one thread, as each run of a study has it there).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _measure import median, rounds, save
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from regrow import data
from regrow.data.batches import normalise
from regrow.data.spec import ImageSet
from regrow.training.compiling import begin_pass, compiled
from regrow.training.loop import Trainer, make_fabric
from regrow.training.network import build_network, build_optimizer
from regrow.training.settings import MethodSettings, Precision, RunSettings

#: An update every so many steps; what is timed holds whole periods.
INTERVAL = 100
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def images(n: int) -> ImageSet:
    stream = np.random.default_rng(0)
    spec = data.nominal_spec("cifar10", {})
    pixels = stream.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    return ImageSet(pixels, stream.integers(0, 10, n), spec, "train", np.arange(n))


def settings(method: str, network: str, batch: int, precision: Precision) -> RunSettings:
    return RunSettings.model_validate(
        {
            "data": {"name": "cifar10"},
            "model": {"name": network},
            "method": MethodSettings(name=method, interval=None if method == "dense" else INTERVAL).model_dump(),
            "sparsity": 0.0 if method == "dense" else 0.5,
            "seeds": {"init": 0, "mask": 0, "data": 0, "growth": 0},
            "training": {"steps": 10**6, "batch": batch, "lr": 0.1, "augment": {"crop": 4}},
            "precision": precision.model_dump(),
        }
    )


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def speed(step: Callable[[], object], batch: int, device: torch.device, steps: int) -> float:
    wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return steps * batch / (time.perf_counter() - start)


def bare(network: str, batch: int, precision: Precision) -> tuple[Callable[[], object], int]:
    """A step of the bare loop, and the FLOPs of a forward pass of one image."""
    run = settings("dense", network, batch, precision)
    fabric = make_fabric(precision)
    model = build_network(run.model, 10, 32, seed=0, precision=precision).to(fabric.device)
    given = images(batch)
    inputs = normalise(
        torch.from_numpy(given.images).to(fabric.device), given.spec, channels_last=precision.channels_last
    )
    labels = torch.from_numpy(given.labels).to(fabric.device)
    with FlopCounterMode(display=False) as counter:
        model(inputs)
    module, optimizer = fabric.setup(compiled(model, precision.compile), build_optimizer(model, run.training))

    def step() -> None:
        begin_pass(precision.compile)
        loss = F.cross_entropy(module(inputs), labels)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()

    return step, counter.get_total_flops() // batch


def of_a_run(method: str, network: str, batch: int, precision: Precision, n: int) -> Callable[[], object]:
    trainer = Trainer(settings(method, network, batch, precision), images(n), Path(tempfile.mkdtemp()))
    trainer.model.train()

    def step() -> None:
        trainer.one_step()
        trainer.step += 1

    return step


def peak_flops(dtype: torch.dtype, device: torch.device) -> float:
    """Operations a second of a large matrix product, the best of some."""
    side = 8192 if device.type == "cuda" else 2048
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(5):
        wait(device)
        start = time.perf_counter()
        for _ in range(3):
            one @ other
        wait(device)
        best = max(best, 3 * 2 * side**3 / (time.perf_counter() - start))
    return best


def main() -> None:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet18" if on_gpu else "resnet20")
    parser.add_argument("--batch", type=int, default=512 if on_gpu else 128)
    parser.add_argument("--dtype", choices=list(FORMATS), default="bf16")
    parser.add_argument("--modes", nargs="*", default=["no", "default"] + ["reduce-overhead"] * on_gpu)
    parser.add_argument("--periods", type=int, default=5 if on_gpu else 1, help="of 100 steps, in each case and round")
    parser.add_argument("--rounds", type=int, default=5 if on_gpu else 3)
    given = parser.parse_args()
    if not on_gpu:
        torch.set_num_threads(1)
    device = torch.device("cuda" if on_gpu else "cpu")
    n = 50_000 if on_gpu else 8192
    cases: dict[str, Callable[[], float]] = {}
    first_s: dict[str, float] = {}
    flops = 0

    def add(name: str, step: Callable[[], object]) -> None:
        start = time.perf_counter()
        step()
        wait(device)
        first_s[name] = round(time.perf_counter() - start, 2)
        speed(step, given.batch, device, 3)
        cases[name] = lambda: speed(step, given.batch, device, INTERVAL * given.periods)

    for mode in given.modes:
        precision = Precision.model_validate({"dtype": given.dtype, "channels_last": True, "compile": mode})
        step, flops = bare(given.network, given.batch, precision)
        add(f"bare, {precision.words}", step)
        for method in ("dense", "rigl"):
            add(f"{method} run, {precision.words}", of_a_run(method, given.network, given.batch, precision, n))
    speeds = rounds(cases, given.rounds)
    peak = peak_flops(FORMATS[given.dtype], device)
    images_per_s = {name: round(median(values), 1) for name, values in speeds.items()}

    def ratio(name: str) -> float:
        own = name.split(", ")[1]
        return round(median([a / b for a, b in zip(speeds[name], speeds[f"bare, {own}"], strict=True)]), 3)

    save(
        "step",
        __doc__.splitlines()[0],
        {
            "network": given.network,
            "batch": given.batch,
            "device": torch.cuda.get_device_name() if on_gpu else "processor, one thread",
            "images_per_s": images_per_s,
            "ratio_to_bare": {name: ratio(name) for name in cases if not name.startswith("bare")},
            "first_step_s": first_s,
            "forward_flops": flops,
            "peak_flops_measured": float(f"{peak:.4g}"),
            "utilisation": {name: round(value * 3 * flops / peak, 4) for name, value in images_per_s.items()},
            "on_accelerator": "measured" if on_gpu else "not measured: none was at hand",
        },
    )


if __name__ == "__main__":
    main()

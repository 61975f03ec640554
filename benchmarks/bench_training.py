"""How fast is the training loop on a CPU, against the best conventional loop on the same cores?

ResNet-20, batch 128, crop and flip, CIFAR-sized images. Ours: a one-thread process a core, summed, as a study runs
them. Conventional: one process with a DataLoader, per-image transforms and fp32, all cores, with 0, 1 and 2 workers;
the best of them counts. All cases take turns in one run; the figure is the median over rounds of images/s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
import torch
from _measure import median, rounds, save
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from regrow import data, models
from regrow.data.batches import Batches
from regrow.training.loop import make_fabric
from regrow.training.settings import Precision

BATCH, IMAGES = 128, 4096
OURS = {
    "ours": ("bf16", True),
    "ours without channels_last": ("bf16", False),
    "ours without bf16": ("fp32", True),
    "ours without either": ("fp32", False),
}


def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, IMAGES)


class PerImage(Dataset):
    """The usual data set: one picture at a time, padded, cropped, flipped, made a tensor, normalised."""

    def __init__(self) -> None:
        self.images, self.labels = images()
        spec = data.spec("cifar10")
        self.mean, self.std = torch.tensor(spec.mean)[:, None, None], torch.tensor(spec.std)[:, None, None]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        from PIL import Image, ImageOps

        picture = ImageOps.expand(Image.fromarray(self.images[i]), 4)
        left, top = (int(v) for v in torch.randint(0, 9, (2,)))
        picture = picture.crop((left, top, left + 32, top + 32))
        if torch.rand(()) < 0.5:
            picture = ImageOps.mirror(picture)
        x = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).contiguous().float().div(255)
        return x.sub(self.mean).div(self.std), int(self.labels[i])


def timed(step, seconds: float) -> float:
    """Images per second after three steps of warm-up."""
    for _ in range(3):
        step()
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or n < 3:
        step()
        n += 1
    return n * BATCH / (time.perf_counter() - start)


def ours(dtype: str, channels_last: bool, seconds: float) -> float:
    torch.set_num_threads(1)
    fabric = make_fabric(Precision.model_validate({"dtype": dtype, "channels_last": channels_last}))
    torch.manual_seed(0)
    network = models.build("resnet20", 10)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    model, optimizer = fabric.setup(network, optimizer)
    pixels, labels = images()
    batches = Batches(pixels, labels, BATCH, data.spec("cifar10"), flip=True, crop=4, channels_last=channels_last)
    count = 0

    def step() -> None:
        nonlocal count
        x, y = batches.batch(count)
        count += 1
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()

    return timed(step, seconds)


def conventional(workers: int, seconds: float) -> float:
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    model = models.build("resnet20", 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    loader = DataLoader(
        PerImage(), BATCH, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    batches = iter(loader)

    def step() -> None:
        nonlocal batches
        try:
            x, y = next(batches)
        except StopIteration:
            batches = iter(loader)
            x, y = next(batches)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return timed(step, seconds)


def in_processes(arguments: list[str], n: int, threads: int) -> float:
    """Sum of what n processes side by side measured."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, *arguments]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(n)]
    return sum(float(json.loads(process.communicate()[0])) for process in running)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="")
    parser.add_argument("--seconds", type=float, default=8.0, help="of timing for each case and round")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.case:
        kind, value = given.case.split(":")
        speed = conventional(int(value), given.seconds) if kind == "conventional" else ours(*OURS[value], given.seconds)
        print(json.dumps(speed))
        return
    cores = os.cpu_count() or 1
    seconds = ["--seconds", str(given.seconds)]
    cases = {
        name: (lambda name=name: in_processes(["--case", f"ours:{name}", *seconds], cores, 1)) for name in OURS
    } | {
        f"conventional, {w} workers": (lambda w=w: in_processes(["--case", f"conventional:{w}", *seconds], 1, cores))
        for w in (0, 1, 2)
    }
    speeds = rounds(cases, given.rounds)
    images_per_s = {name: round(median(values), 1) for name, values in speeds.items()}
    best = max((name for name in cases if name.startswith("conventional")), key=images_per_s.__getitem__)
    save(
        "training",
        __doc__.splitlines()[0],
        {
            "images_per_s": images_per_s,
            "all_rounds": {name: [round(v, 1) for v in values] for name, values in speeds.items()},
            "best_conventional": best,
            "ratio_to_best_conventional": {name: round(images_per_s[name] / images_per_s[best], 3) for name in OURS},
            "processes": cores,
        },
    )


if __name__ == "__main__":
    main()

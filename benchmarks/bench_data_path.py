"""What share of a training step do shuffling, cropping, flipping and normalising cost?

Time of ``Batches.batch`` (crop 4, flip) over the time of the whole step with it, one thread, for the arithmetic that a
study would choose here (its faster steps make the share larger) and for fp32. Bars: 4 % for ResNet-20, 8 % for
ResNet-8 of width 16.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from _measure import median, rounds, save
from torch.nn import functional as F

from regrow import data
from regrow.data.batches import Batches
from regrow.training.loop import make_fabric
from regrow.training.network import build_network, build_optimizer
from regrow.training.probe import choose_precision
from regrow.training.settings import ModelSettings, Precision, TrainingSettings

BARS = {"resnet20": 0.04, "resnet8": 0.08}


def case(model: ModelSettings, training: TrainingSettings, precision: Precision) -> tuple[dict[str, float], Batches]:
    spec = data.spec("cifar10")
    rng = np.random.default_rng(0)
    batches = Batches(
        rng.integers(0, 256, (8000, 32, 32, 3), dtype=np.uint8),
        rng.integers(0, 10, 8000),
        training.batch,
        spec,
        flip=True,
        crop=4,
        channels_last=precision.channels_last,
    )
    fabric = make_fabric(precision)
    network = build_network(model, 10, 32, seed=0, precision=precision)
    wrapped, optimizer = fabric.setup(network, build_optimizer(network, training))
    count = 0

    def input_s() -> float:
        nonlocal count
        start = time.perf_counter()
        for _ in range(20):
            batches.batch(count)
            count += 1
        return (time.perf_counter() - start) / 20

    def step_s() -> float:
        nonlocal count
        start = time.perf_counter()
        for _ in range(5):
            x, y = batches.batch(count)
            count += 1
            loss = F.cross_entropy(wrapped(x), y)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
        return (time.perf_counter() - start) / 5

    step_s(), input_s()
    values = rounds({"input": input_s, "step": step_s}, 7)
    return {name: median(v) for name, v in values.items()}, batches


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for name, bar in BARS.items():
        for batch in (32, 64, 128):
            model = ModelSettings(name=name, width=16)
            training = TrainingSettings(steps=1, batch=batch)
            chosen, _ = choose_precision(model, training, n_classes=10, image_size=32)
            for precision in dict.fromkeys([chosen, Precision()]):
                seconds, _ = case(model, training, precision)
                rows.append(
                    {
                        "model": name,
                        "batch": batch,
                        "precision": precision.dtype + (" channels_last" if precision.channels_last else ""),
                        "input_ms": round(1000 * seconds["input"], 3),
                        "step_ms": round(1000 * seconds["step"], 2),
                        "share": round(seconds["input"] / seconds["step"], 4),
                        "bar": bar,
                        "met": seconds["input"] / seconds["step"] < bar,
                    }
                )
    save("data_path", __doc__.splitlines()[0], {"rows": rows})


if __name__ == "__main__":
    main()

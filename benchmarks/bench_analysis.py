"""How long do the analyses of one trained network take?

ResNet-18 of width 64 at 32 pixels in this machine's fastest arithmetic, all threads, made-up images and weights: the
time depends on neither. Each part once, after one batch to warm up. A pass is one image through the network. Bar: 180 s
for all parts on two cores with bf16 in hardware.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import save, show
from torch import Tensor, nn

from regrow import analysis
from regrow.data.spec import Images, Labels
from regrow.evaluation.evaluate import predictor
from regrow.training.network import build_network
from regrow.training.probe import choose_precision, name_of
from regrow.training.settings import ModelSettings, TrainingSettings

BAR_S, SIDE, N_CLASSES = 180.0, 32, 10
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


@dataclass
class Subject:
    """What is analysed.

    Attributes:
        model: the network.
        images: uint8 (N, 32, 32, 3).
        labels: int64 (N,).
        answer: the network's fast form.
        passes: images that ``predict`` was given.
    """

    model: nn.Module
    images: Images
    labels: Labels
    answer: Callable[[Tensor], Tensor]
    passes: int = 0

    def predict(self, x: Tensor) -> Tensor:
        self.passes += len(x)
        return self.answer(x)


def radius_curves(subject: Subject) -> int:
    """Ten registered radii under both conventions, 1,000 images; how many images were used."""
    n = 1000
    x = torch.from_numpy(subject.images[:n]).movedim(-1, 1).float().div(255)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    analysis.radius_curves(subject.predict, (x - mean) / std, subject.labels[:n])
    return n


def heat_map(subject: Subject) -> int:
    """All 514 distinct frequencies on 64 images."""
    found = analysis.heat_map(subject.predict, subject.images, subject.labels, mean=MEAN, std=STD)
    analysis.heat_map_summary(found)
    return int(found["n"])


#: Further analyses of a network go here: a name, and a function of the subject that returns its number of images.
PARTS: list[tuple[str, Callable[[Subject], int]]] = [
    ("radius curves", radius_curves),
    ("heat map", heat_map),
]


def make_subject(width: int) -> tuple[Subject, str]:
    """The network with made-up images, and its arithmetic in words."""
    model = ModelSettings(name="resnet18", width=width)
    precision, _ = choose_precision(model, TrainingSettings(steps=1, batch=128), n_classes=N_CLASSES, image_size=SIDE)
    network = build_network(model, N_CLASSES, SIDE, seed=0, precision=precision)
    predict = predictor(network, bf16=precision.dtype == "bf16", device=torch.device("cpu"))
    order = torch.channels_last if precision.channels_last else torch.contiguous_format
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1000, SIDE, SIDE, 3), dtype=np.uint8)
    labels = rng.integers(0, N_CLASSES, 1000)
    subject = Subject(network, images, labels, lambda x: predict(x.contiguous(memory_format=order)))
    subject.answer(torch.zeros(512, 3, SIDE, SIDE))
    return subject, name_of(precision)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64, help="of ResNet-18")
    parser.add_argument("--only", nargs="*", choices=[name for name, _ in PARTS], help="these parts alone")
    parser.add_argument("--out", type=Path, help="JSON to write; default: benchmarks/results")
    chosen = parser.parse_args()
    subject, arithmetic = make_subject(chosen.width)
    rows: list[dict[str, Any]] = []
    for name, part in PARTS:
        if chosen.only and name not in chosen.only:
            continue
        subject.passes, start = 0, time.perf_counter()
        n = part(subject)
        seconds = time.perf_counter() - start
        rows.append({"part": name, "images": n, "forward_passes": subject.passes, "seconds": round(seconds, 2)})
    total = sum(row["seconds"] for row in rows)
    for row in rows:
        row["share"] = round(row["seconds"] / total, 4)
    show([["part", "images", "forward passes", "seconds", "share"]] + [[str(v) for v in row.values()] for row in rows])
    content = {
        "network": f"ResNet-18 of width {chosen.width}, {arithmetic}",
        "threads": torch.get_num_threads(),
        "rows": rows,
        "total_s": round(total, 2),
        "bar_s": BAR_S,
        "met": total <= BAR_S,
    }
    save("analysis", __doc__.splitlines()[0], content, chosen.out)


if __name__ == "__main__":
    main()

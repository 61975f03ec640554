"""How long do the analyses of one trained network take?

ResNet-18 of width 64 at 32 pixels, masks at sparsity 0.5, in this machine's fastest arithmetic and with all threads,
made-up images and weights: the time depends on neither. Every analysis that a study makes of a run, after
one batch to warm up. Bar: 180 s for all on two cores with bf16 in hardware, 300 s without.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import save, show

from regrow import analysis, data
from regrow.evaluation.evaluate import predictor
from regrow.study.analyses import Subject, analyses
from regrow.study.cells import CellSet
from regrow.study.environment import describe_environment
from regrow.study.recipe import AnalysisSettings
from regrow.training.checkpoint import Weights
from regrow.training.network import build_network
from regrow.training.probe import choose_precision
from regrow.training.settings import (
    DataSettings,
    MethodSettings,
    ModelSettings,
    RunSettings,
    SeedSettings,
    TrainingSettings,
)

BAR_S = {True: 180.0, False: 300.0}
IMAGES = 1000


def make_subject(width: int, folder: Path) -> tuple[Subject, str]:
    """The network with made-up images, and its arithmetic in words."""
    spec = data.nominal_spec("cifar10")
    side, classes = spec.image_size, len(spec.classes)
    model, training = ModelSettings(name="resnet18", width=width), TrainingSettings(steps=1, batch=128)
    precision, _ = choose_precision(model, training, n_classes=classes, image_size=side)
    network = build_network(model, classes, side, seed=0, precision=precision)
    sparse = {name: value for name, value in network.state_dict().items() if value.ndim == 4}
    masks = {name: analysis.largest(value, value.numel() // 2) for name, value in sparse.items()}
    with torch.no_grad():
        for name, mask in masks.items():
            network.get_parameter(name).mul_(mask)
    rng = np.random.default_rng(0)
    np.save(folder / "cifar10.clean.0.npy", rng.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8))
    np.save(folder / "labels.npy", rng.integers(0, classes, IMAGES))
    last = precision.channels_last
    fast = predictor(network, bf16=precision.dtype == "bf16", device=torch.device("cpu"), channels_last=last)
    fast(torch.zeros(512, 3, side, side))
    settings = RunSettings(
        data=DataSettings(name="cifar10"),
        model=model,
        method=MethodSettings(name="rigl"),
        sparsity=0.5,
        seeds=SeedSettings(init=0, mask=0, data=0, growth=0),
        training=training,
        precision=precision,
    )
    cells = CellSet(folder, "cifar10", {("clean", 0): ""}, [], spec)
    weights = Weights(dict(network.state_dict()), masks, {})
    return Subject(
        network, fast, weights, settings, AnalysisSettings(), cells, 250, torch.device("cpu")
    ), precision.words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64, help="of ResNet-18")
    parser.add_argument("--only", nargs="*", help="these analyses alone")
    parser.add_argument("--out", type=Path, help="JSON to write; default: benchmarks/results")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        subject, arithmetic = make_subject(chosen.width, Path(folder))
        for one in analyses():
            if chosen.only and one.name not in chosen.only:
                continue
            start = time.perf_counter()
            found = one.make(subject)
            seconds = time.perf_counter() - start
            rows.append({"analysis": one.name, "applies": found is not None, "seconds": round(seconds, 2)})
    total = sum(row["seconds"] for row in rows)
    for row in rows:
        row["share"] = round(row["seconds"] / total, 4)
    show([list(rows[0]), *([str(v) for v in row.values()] for row in rows)])
    bar = BAR_S[bool(describe_environment()["bf16_hardware"])]
    content = {
        "network": f"ResNet-18 of width {chosen.width}, {arithmetic}",
        "threads": torch.get_num_threads(),
        "images": {"radius_curves": IMAGES, "heat_map": "64 at each of 514 frequencies"},
        "rows": rows,
        "total_s": round(total, 2),
        "bar_s": bar,
        "met": total <= bar,
    }
    save("analysis", __doc__.splitlines()[0], content, chosen.out)


if __name__ == "__main__":
    main()

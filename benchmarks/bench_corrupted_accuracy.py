"""Does a network's corrupted accuracy depend on how its test images were corrupted?

A ResNet-20 is trained on CIFAR-10, then its mean accuracy over the fifteen common types and five severities is taken on
    exact      images written beforehand in exact mode
    fast       the same in fast mode, as this machine computes it
    device     the batched torch forms that fast mode takes on an accelerator, with the same random numbers
    live       corrupted as they are evaluated, in exact mode
    live fast  the same in fast mode
    other      exact mode with other random numbers
Bars: the first five within 0.1 points of each other; ``other`` within three standard errors of the paired difference
(over test images) from ``exact``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import save, show

from regrow import corruptions, data
from regrow.corruptions import fast
from regrow.corruptions.draws import CounterStream
from regrow.corruptions.frost import find_textures
from regrow.evaluation.evaluate import evaluate_cell, predictor
from regrow.evaluation.live import live
from regrow.training.loop import Trainer
from regrow.training.network import build_network
from regrow.training.probe import choose_precision
from regrow.training.settings import RunSettings

POINTS, ERRORS = 0.1, 3.0
CASES = ("exact", "fast", "device", "live", "live fast", "other")


def by_device_form(images: np.ndarray, name: str, severity: int) -> np.ndarray:
    """The accelerator's forms on the processor, block by block, on the draws of seed 0."""
    form, record = fast.find(name, "cuda"), corruptions.get(name)
    if form is None:
        return corruptions.corrupt_set(images, name, severity)
    side = images.shape[1]
    params = record.settings[corruptions.scale_for(side)][severity - 1]
    if record.prepare is not None:
        params, _ = record.prepare(params, None, side)
    parts = []
    for start in range(0, len(images), 250):
        part = np.ascontiguousarray(images[start : start + 250])
        stream = CounterStream(0, name, severity, range(start, start + len(part)))
        draws = record.draw(stream, part.shape[1:], params) if record.draw else None
        parts.append(fast.on_array(form, part, draws, params))
    return np.concatenate(parts)


def train(settings: dict[str, Any], images: data.ImageSet, folder: Path) -> tuple[Any, Any]:
    model = {"name": "resnet20", "width": 16}
    base = {"data": {"name": "cifar10"}, "model": model, "method": {"name": "dense"}, "sparsity": 0.0}
    precision = {"dtype": "fp32", "channels_last": True}
    seeds = dict.fromkeys(("init", "mask", "data", "growth"), 0)
    run = RunSettings.model_validate({**base, "training": settings, "precision": precision, "seeds": seeds})
    precision_found, _ = choose_precision(run.model, run.training, n_classes=10, image_size=32)
    run = run.model_copy(update={"precision": precision_found})
    Trainer(run, images, folder).train()
    return run, folder / "model.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000, help="test images")
    parser.add_argument("--steps", type=int, default=3000, help="training steps of 64 images")
    parser.add_argument("--out", type=Path, help="JSON to write; default: benchmarks/results")
    chosen = parser.parse_args()
    torch.set_num_threads(2)
    test = data.load("cifar10", "test", n=chosen.images)
    settings = {"steps": chosen.steps, "batch": 64, "lr": 0.1, "augment": {"flip": True, "crop": 4}}
    with tempfile.TemporaryDirectory() as folder:
        run, weights = train(settings, data.load("cifar10", "train"), Path(folder))
        from regrow.training.checkpoint import load_weights

        network = build_network(run.model, 10, 32, seed=0, precision=run.precision)
        network.load_state_dict(load_weights(weights).tensors)
    device, last = torch.device("cpu"), run.precision.channels_last
    predict = predictor(network, bf16=run.precision.dtype == "bf16", device=device)

    def answers(images: np.ndarray, change: Any = None) -> np.ndarray:
        record = evaluate_cell(
            predict, images, test.labels, test.spec, batch=500, device=device, channels_last=last, change=change
        )
        return record.correct

    clean = float(answers(test.images).mean())
    correct = {case: [] for case in CASES}
    cells = []
    for name in corruptions.common_names():
        for severity in range(1, 6):
            stored = {
                mode: corruptions.corrupt_set(test.images, name, severity, mode=mode) for mode in ("exact", "fast")
            }
            made = by_device_form(test.images, name, severity)
            other = corruptions.corrupt_set(test.images, name, severity, seed=1)
            row = {
                "exact": answers(stored["exact"]),
                "fast": answers(stored["fast"]),
                "device": answers(made),
                "live": answers(test.images, live(name, severity)),
                "live fast": answers(test.images, live(name, severity, mode="fast")),
                "other": answers(other),
            }
            for case, right in row.items():
                correct[case].append(right)
            cells.append(
                {
                    "cell": f"{name}.{severity}",
                    **{case: round(float(right.mean()), 6) for case, right in row.items()},
                    "device_bytes_that_differ": float((made != stored["exact"]).mean().round(7)),
                }
            )
            print(cells[-1], flush=True)
    means = {case: 100 * np.stack(rows).mean(axis=0) for case, rows in correct.items()}  # by image
    base = means["exact"]
    rows = []
    for case in CASES:
        difference = means[case] - base
        error = float(difference.std(ddof=1) / len(difference) ** 0.5)
        away = float(difference.mean())
        met = abs(away) <= (ERRORS * error if case == "other" else POINTS)
        rows.append(
            {
                "case": case,
                "accuracy": round(float(means[case].mean()), 4),
                "difference_points": round(away, 4),
                "standard_error": round(error, 4),
                "bar": f"within {ERRORS:g} standard errors" if case == "other" else f"within {POINTS:g} points",
                "met": bool(met),
            }
        )
    show(
        [["case", "accuracy", "difference", "standard error", "bar"]] + [[str(v) for v in row.values()] for row in rows]
    )
    content = {
        "network": f"ResNet-20, {chosen.steps} steps of 64 images",
        "clean_accuracy": round(100 * clean, 4),
        "test_images": len(test.labels),
        "frost": find_textures().note or "published photographs",
        "rows": rows,
        "cells": cells,
    }
    save("corrupted_accuracy", __doc__.splitlines()[0], content, chosen.out)


if __name__ == "__main__":
    main()

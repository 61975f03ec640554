"""How much dearer is evaluating a stored cell than the bare forward passes?

2,000 images, batches of 250, one thread: ``evaluate_cell`` with its record written to the disk, over the forward passes
on tensors that are ready. Bar: 1.15.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _measure import median, rounds, save

from regrow import data
from regrow.data.batches import eval_batches
from regrow.evaluation.evaluate import evaluate_cell, predictor
from regrow.evaluation.records import save_record
from regrow.training.network import build_network
from regrow.training.probe import choose_precision
from regrow.training.settings import ModelSettings, TrainingSettings

BAR, N, BATCH = 1.15, 2000, 250


def main() -> None:
    torch.set_num_threads(1)
    spec, device = data.spec("cifar10"), torch.device("cpu")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, N)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.npy"
        np.save(path, rng.integers(0, 256, (N, 32, 32, 3), dtype=np.uint8))
        for name in ("resnet20", "resnet8"):
            model = ModelSettings(name=name, width=16)
            precision, _ = choose_precision(model, TrainingSettings(steps=1, batch=128), n_classes=10, image_size=32)
            last = precision.channels_last
            network = build_network(model, 10, 32, seed=0, precision=precision)
            predict = predictor(network, bf16=precision.dtype == "bf16", device=device)
            ready = list(eval_batches(np.load(path), spec, batch=BATCH, channels_last=last))

            def bare(ready=ready, predict=predict) -> float:
                start = time.perf_counter()
                for x in ready:
                    predict(x)
                return time.perf_counter() - start

            def whole(predict=predict, last=last) -> float:
                start = time.perf_counter()
                images = np.load(path, mmap_mode="r")
                record = evaluate_cell(predict, images, labels, spec, batch=BATCH, device=device, channels_last=last)
                save_record(Path(folder) / "r.npz", record, {"weights": "", "cell": ""})
                return time.perf_counter() - start

            bare(), whole()
            values = rounds({"bare": bare, "whole": whole}, 7)
            ratio = median([w / b for w, b in zip(values["whole"], values["bare"], strict=True)])
            rows.append(
                {
                    "model": name,
                    "precision": precision.dtype + (" channels_last" if last else ""),
                    "bare_s": round(median(values["bare"]), 4),
                    "whole_s": round(median(values["whole"]), 4),
                    "ratio": round(ratio, 4),
                    "bar": BAR,
                    "met": ratio <= BAR,
                }
            )
    save("evaluation", __doc__.splitlines()[0], {"rows": rows})


if __name__ == "__main__":
    main()

"""How fast are the corruptions in exact mode, with the compiled loops and with array code?

One thread, all severities, own random numbers made on the way: images a second at 32 and at 224 px by type, the
two forms in turn. Then the whole CIFAR-10-C set (19 types, 950,000 images) written to the disk on all cores.

The published programs' rates are not measured here yet, so no ratio to them is given.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from _measure import median, save, show

from regrow import corruptions, data
from regrow.corruptions import kernel, writer
from regrow.errors import DataError

COUNTS = {32: 400, 224: 4}


def seconds(images: np.ndarray, name: str, compiled: bool) -> float:
    """Processor seconds an image, mean over the severities."""
    with contextlib.nullcontext() if compiled else kernel.disabled():
        start = time.process_time()
        for severity in range(1, 6):
            corruptions.corrupt_set(images, name, severity)
        return (time.process_time() - start) / (5 * len(images))


def by_type(side: int, names: list[str], n_rounds: int) -> list[dict[str, object]]:
    stream = np.random.RandomState(0)
    coarse = stream.randint(0, 256, (COUNTS[side], side // 8, side // 8, 3)).repeat(8, 1).repeat(8, 2)
    images = np.clip(coarse + stream.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)
    rows = []
    for name in names:
        times: dict[bool, list[float]] = {True: [], False: []}
        seconds(images[:1], name, True), seconds(images[:1], name, False)
        for _ in range(n_rounds):
            for compiled, found in times.items():
                found.append(seconds(images, name, compiled))
        quick, plain = median(times[True]), median(times[False])
        rows.append(
            {
                "type": name,
                "compiled_per_s": round(1 / quick, 1),
                "array_per_s": round(1 / plain, 1),
                "ratio": round(median([b / a for a, b in zip(times[True], times[False], strict=True)]), 2),
            }
        )
    return rows


def whole_set(mode: str) -> float:
    try:
        test = data.load("cifar10", "test", download=False)
        images, labels = test.images, test.labels
    except DataError:
        images = np.random.RandomState(0).randint(0, 256, (10_000, 32, 32, 3)).astype(np.uint8)
        labels = np.arange(10_000) % 10
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
        start = time.perf_counter()
        writer.write_cifar_style(images, labels, Path(folder), ["all"], source="bench", mode=mode)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON to write; default: benchmarks/results")
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    content: dict[str, object] = {"kernel": kernel.status().detail if kernel.status().active else None}
    content["kernel"] = "compiled" if kernel.status().active else kernel.status().detail
    for side, benchmark in ((32, "c"), (224, "c"), (32, "c-bar"), (224, "c-bar")):
        scale = {32: "cifar", 224: "imagenet"}[side]
        names = [n for n in corruptions.names(benchmark) if scale in corruptions.get(n).settings]
        rows = by_type(side, names, chosen.rounds)
        show([["type", "compiled", "array code", "ratio"]] + [[str(v) for v in row.values()] for row in rows])
        sums = {key: sum(1000 / float(str(row[key])) for row in rows) for key in ("compiled_per_s", "array_per_s")}
        content[f"{benchmark}_{side}"] = {
            "rows": rows,
            "one_image_through_all_ms": {key.removesuffix("_per_s"): round(ms, 3) for key, ms in sums.items()},
        }
    content["cifar10_c_to_disk_s"] = {mode: round(whole_set(mode), 1) for mode in ("exact", "fast")}
    save("corruptions", __doc__.splitlines()[0], content, chosen.out)


if __name__ == "__main__":
    main()

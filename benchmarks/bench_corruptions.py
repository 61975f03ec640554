"""How much faster are the corruptions than the published programs?

One core, five severities, own random numbers made on the way: images a second by type, by the published programs
restated (``reference.py``, one image at a time) and by regrow: exact in array code, exact with the compiled loops,
fast. Within a round the forms take turns at every severity, the reference with a few images, regrow with a batch;
seconds of the processor are counted and scaled to one image, and a ratio is the median of the rounds' ratios.
``published_per_s`` are rates of the published programs themselves, from another, loaded machine.

Then the whole CIFAR-10-C set (19 types, 950,000 images) is written to the disk on all cores, and on a GPU a ResNet-50
is fed with images that a second stream corrupts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import reference
import torch
from _measure import median, save, show

from regrow import corruptions, data
from regrow.corruptions import kernel, writer
from regrow.errors import DataError

OURS = ("array", "compiled", "fast")
#: Images a severity and round, of the reference and of ours.
N_IMAGES = {("c", 32): (10, 400), ("c-bar", 32): (2, 200), ("c", 224): (1, 8), ("c-bar", 224): (1, 4)}


def _rates(text: str) -> dict[str, float]:
    words = text.split()
    return {name: float(rate) for name, rate in zip(words[::2], words[1::2], strict=True)}


#: Images/s of the published programs, one thread of another machine (+-30 %).
PUBLISHED = {
    ("c", 32): _rates(
        "gaussian_noise 17600 shot_noise 6910 impulse_noise 9080 speckle_noise 17400 defocus_blur 8890 glass_blur 158 "
        "motion_blur 1110 zoom_blur 424 snow 870 frost 14500 fog 2790 brightness 2360 contrast 25700 "
        "elastic_transform 2640 pixelate 44200 jpeg_compression 7890 gaussian_blur 14400 spatter 6030 saturate 3030"
    ),
    ("c", 224): _rates(
        "gaussian_noise 421 shot_noise 142 impulse_noise 222 speckle_noise 404 defocus_blur 510 glass_blur 2.1 "
        "motion_blur 17 zoom_blur 13 snow 33 frost 1830 fog 592 brightness 88 contrast 553 elastic_transform 41 "
        "pixelate 3000 jpeg_compression 3290 gaussian_blur 359 spatter 270 saturate 88"
    ),
    ("c-bar", 32): _rates(
        "sparkles 6 pinch_and_twirl 32 ripple 37 circular_motion_blur 53 inverse_sparkles 60 brownish_noise 71 "
        "blue_noise_sample 155 checkerboard_cutout 329 lines 1030 transverse_chromatic_abberation 1150"
    ),
    ("c-bar", 224): _rates(
        "caustic_refraction .13 sparkles .13 plasma_noise .75 perlin_noise .90 inverse_sparkles 1.3 brownish_noise 3.0 "
        "checkerboard_cutout 5.4 cocentric_sine_waves 6.1 blue_noise_sample 9.0 single_frequency_greyscale 29"
    ),
}


def pictures(side: int, n: int) -> np.ndarray:
    stream = np.random.RandomState(0)
    coarse = stream.randint(0, 256, (n, side // 8, side // 8, 3)).repeat(8, 1).repeat(8, 2)
    return np.clip(coarse + stream.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)


def _reference(images: np.ndarray, name: str, severity: int, rng: np.random.RandomState) -> None:
    params = reference.setting(name, severity, images.shape[1])
    for image in images:
        reference.FORMS[name](image, params, rng)


def _ours(form: str, images: np.ndarray, name: str, severity: int) -> None:
    with kernel.disabled() if form == "array" else contextlib.nullcontext():
        corruptions.corrupt_set(images, name, severity, mode="fast" if form == "fast" else "exact")


def one_round(name: str, batches: tuple[np.ndarray, np.ndarray], forms: Sequence[str], seed: int) -> dict[str, float]:
    """Seconds an image by form, mean over the severities, the forms in turn at each."""
    rng, total = np.random.RandomState(seed), dict.fromkeys(["reference", *forms], 0.0)
    for severity in range(1, 6):
        for form in total:
            images = batches[form != "reference"]
            start = time.process_time()
            if form == "reference":
                _reference(images, name, severity, rng)
            else:
                _ours(form, images, name, severity)
            total[form] += (time.process_time() - start) / (5 * len(images))
    return total


def by_type(benchmark: str, side: int, n_rounds: int) -> dict[str, Any]:
    scale, published = corruptions.scale_for(side), PUBLISHED[benchmark, side]
    names = [name for name in corruptions.names(benchmark) if scale in corruptions.get(name).settings]
    forms = [form for form in OURS if form != "compiled" or kernel.status().active]
    n_slow, n_ours = N_IMAGES[benchmark, side]
    images = pictures(side, n_ours)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for name in names:  # tables, photographs and buffers are made once, outside the count
        for severity in range(1, 6):
            reference.setting(name, severity, side)
            for form in forms:
                _ours(form, images, name, severity)
    for k in range(n_rounds):
        slow = images[[(n_slow * k + i) % n_ours for i in range(n_slow)]]
        for name in names:
            found[name].append(one_round(name, (slow, images), forms, seed=k))
        print(f"  {benchmark} at {side} px: round {k + 1}/{n_rounds}", file=sys.stderr, flush=True)
    rows = [{"type": name, "published_per_s": published[name], **_row(found[name], forms)} for name in names]
    sums = [
        {form: sum(found[name][k][form] for name in names) for form in ["reference", *forms]} for k in range(n_rounds)
    ]
    whole = _row(sums, forms)
    total = {
        "published_ms": round(sum(1000 / rate for rate in published.values()), 3),
        **{key.replace("_per_s", "_ms"): _round(1000 / v) if "per_s" in key else v for key, v in whole.items()},
    }
    table = [["type", "published", "reference", *forms, *(f"x {form}" for form in forms)]]
    for row in rows:
        table.append([str(value) for value in row.values()])
    table.append(["one image through all, ms", *(str(value) for value in total.values())])
    print(f"{benchmark}, {side} px: images/s, one core")
    show(table)
    return {"rounds": n_rounds, "images": {"reference": n_slow, "ours": n_ours}, "rows": rows, "total": total}


def _row(found: list[dict[str, float]], forms: Sequence[str]) -> dict[str, float]:
    """Rates, then ratios to the reference."""
    rates = {f"{form}_per_s": _round(1 / median([one[form] for one in found])) for form in ("reference", *forms)}
    return rates | {f"{form}_ratio": _round(median([one["reference"] / one[form] for one in found])) for form in forms}


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def whole_sets(share: float) -> dict[str, Any]:
    """Seconds to write the CIFAR-10-C set (a share of its images) on all cores, by mode."""
    try:
        test = data.load("cifar10", "test", download=False)
        images, labels, source = test.images, test.labels, "CIFAR-10"
    except DataError:
        images = np.random.RandomState(0).randint(0, 256, (10_000, 32, 32, 3)).astype(np.uint8)
        labels, source = np.arange(10_000) % 10, "random images"
    n, seconds = int(share * len(images)), {}
    for mode in ("exact", "fast"):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as folder:
            start = time.perf_counter()
            writer.write_cifar_style(images[:n], labels[:n], Path(folder), ["all"], source="bench", mode=mode)
            seconds[mode] = _round(time.perf_counter() - start)
    print(f"{95 * n:,} images of CIFAR-10-C to the disk, {os.cpu_count()} cores: {seconds} s\n")
    return {"of": source, "images_written": 95 * n, "cores": os.cpu_count(), "seconds": seconds}


def on_gpu(batch: int = 256, n_batches: int = 12) -> dict[str, Any]:
    """Rate of a ResNet-50's forward passes while the next batch is corrupted, as a share of the bare rate."""
    if not torch.cuda.is_available():
        return {"rows": None, "reason": "no CUDA device on this machine"}
    try:
        from torchvision.models import resnet50
    except (ImportError, RuntimeError) as error:  # the latter when its operators are of another torch
        return {"rows": None, "reason": f"no ResNet-50 to feed: torchvision cannot be used here ({error})"}
    images = torch.from_numpy(pictures(224, batch)).permute(0, 3, 1, 2).contiguous().cuda()
    model = resnet50().cuda().to(torch.bfloat16, memory_format=torch.channels_last).eval()

    def forward(x: torch.Tensor) -> None:
        ready = x.to(torch.bfloat16, memory_format=torch.channels_last)
        model(ready.div_(255).sub_(0.45).div_(0.225))

    rows = []
    for name in corruptions.common_names():
        shares = []
        for severity in range(1, 6):
            made = _maker(images, name, severity)
            stream_rate(lambda _: images, forward, 2), stream_rate(made, forward, 2)
            bare = stream_rate(lambda _: images, forward, n_batches)
            shares.append(stream_rate(made, forward, n_batches) / bare)
        rows.append({"type": name, "share": _round(float(np.mean(shares))), "by_severity": [_round(s) for s in shares]})
    show([["type", "share of the bare forward rate"]] + [[str(row["type"]), str(row["share"])] for row in rows])
    worst = min(rows, key=lambda row: row["share"])
    return {
        "device": torch.cuda.get_device_name(),
        "network": f"ResNet-50, bf16, channels last, not compiled, batch {batch} of 224 px",
        "bare_images_per_s": _round(batch * stream_rate(lambda _: images, forward, n_batches)),
        "rows": rows,
        "mean_share": _round(float(np.mean([row["share"] for row in rows]))),
        "worst": {"type": worst["type"], "share": worst["share"]},
    }


def _maker(images: torch.Tensor, name: str, severity: int) -> Callable[[int], torch.Tensor]:
    """Batch number k, corrupted with noise of its own, as in an evaluation."""
    n = len(images)
    return lambda k: corruptions.corrupt(images, name, severity, index=range(k * n, (k + 1) * n))


@torch.inference_mode()
def stream_rate(made: Callable[[int], torch.Tensor], forward: Callable[[torch.Tensor], None], n: int) -> float:
    """Batches a second: ``forward`` of one batch on the main stream while a second stream makes the next."""
    main, side = torch.cuda.current_stream(), torch.cuda.Stream()
    torch.cuda.synchronize()
    start = time.perf_counter()
    with torch.cuda.stream(side):
        following = made(0)
    for k in range(n):
        main.wait_stream(side)
        batch = following
        batch.record_stream(main)
        forward(batch)  # queued first, so that the device has work while the host prepares the next batch
        if k + 1 < n:
            with torch.cuda.stream(side):
                following = made(k + 1)
    torch.cuda.synchronize()
    return n / (time.perf_counter() - start)


def bars(content: dict[str, Any]) -> list[dict[str, Any]]:
    """What was asked for, and whether it is met; ``None`` where it was not measured."""
    found: list[dict[str, Any]] = []

    def add(what: str, measured: float | None, at_least: float | None = None, at_most: float | None = None) -> None:
        row: dict[str, Any] = {"what": what, "bar": f">= {at_least}" if at_least else f"<= {at_most}"}
        met = None if measured is None else measured >= at_least if at_least else measured <= (at_most or 0)
        found.append(row | {"measured": measured, "met": met})

    disk = content["cifar10_c_to_disk"]
    part = 950_000 / disk["images_written"]
    scaled = "" if part == 1 else ", scaled up from a part"
    for mode, limit in (("exact", 90), ("fast", 50)):
        add(f"CIFAR-10-C to the disk, {mode}, s{scaled}", _round(part * disk["seconds"][mode]), at_most=limit)
    total, rows = content["c_224"]["total"], {row["type"]: row for row in content["c_224"]["rows"]}
    for form, bar in (("array", 7), ("compiled", 10), ("fast", 10)):
        add(f"all 19 at 224 px, {form}, x", total.get(f"{form}_ratio"), bar)
    for name, form, bar in (
        *(("glass_blur", "array", 40), ("glass_blur", "compiled", 100), ("motion_blur", "array", 10)),
        *(("zoom_blur", "array", 4), ("zoom_blur", "compiled", 20)),
    ):
        add(f"{name} at 224 px, {form}, x", rows[name].get(f"{form}_ratio"), bar)
    add("C-bar at 224 px, array, x", content["c-bar_224"]["total"]["array_ratio"], 100)
    add("C-bar at 32 px, array, x", content["c-bar_32"]["total"]["array_ratio"], 30)
    add("ResNet-50 on a GPU, share of the bare rate", content["gpu"].get("mean_share"), 0.75)
    words = {True: "met", False: "MISSED", None: "not measured"}
    show([["bar", "", "measured", ""]] + [[r["what"], r["bar"], str(r["measured"]), words[r["met"]]] for r in found])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round, and a tenth of the set; needs --out")
    parser.add_argument("--out", type=Path, help="JSON to write; default: benchmarks/results")
    chosen = parser.parse_args()
    if chosen.quick and chosen.out is None:
        parser.error("a quick run is not for benchmarks/results: give --out FILE.")
    if os.environ.get("OMP_NUM_THREADS") != "1":  # read when numpy is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"OMP_NUM_THREADS": "1"})
    torch.set_num_threads(1)
    n_rounds, share = (1, 0.1) if chosen.quick else (chosen.rounds, 1.0)
    content: dict[str, Any] = {
        "quick": chosen.quick,
        "kernel": "compiled" if kernel.status().active else kernel.status().detail,
        "frost": corruptions.provenance("frost", 224).get("frost", "the published photographs"),
        "published": "the published programs on another, loaded machine, one thread, +-30 %",
    }
    for benchmark, side in N_IMAGES:
        once = (benchmark, side) == ("c-bar", 224)  # minutes of the reference, whose cost hardly varies
        content[f"{benchmark}_{side}"] = by_type(benchmark, side, 1 if once else n_rounds)
    minutes = content["c_32"]["total"]["reference_ms"] * 50_000 / 60_000
    content["cifar10_c_to_disk"] = whole_sets(share) | {"reference_minutes_one_thread": _round(minutes)}
    content["gpu"] = on_gpu()
    content["bars"] = bars(content)
    save("corruptions", __doc__.splitlines()[0], content, chosen.out)


if __name__ == "__main__":
    main()

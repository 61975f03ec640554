"""How much of the speed of bare decoding does the training loader keep, and what does it spend on an example itself?

Images (random resized crops at 224 px) and clips (32 frames spread over the video at 224 px; windows of 8 frames at
64 px), each with mirroring. The bare loop reads, decodes, cuts and resizes, in as many processes as the loader has
workers; the loader also draws, batches, sends to the training process and normalises there. All cases take turns; the
figure is the median over rounds. Bar: the loader keeps 80 % with no worker, one, and one for each of two cores.
Rates mean little where other work shares the cores; the ratio of processor times does not depend on that.
Real pictures and videos of REGROW_DATA are used where they are there, else generated ones.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import save
from PIL import Image

from regrow import clips, data
from regrow.study.plan import expand
from regrow.study.recipe import parse
from regrow.training.input_speed import measure
from regrow.training.settings import Precision

BAR = 0.8
CASES: dict[str, dict[str, Any]] = {
    "images, random resized crop, 224 px": {
        "kind": "images",
        "model": "resnet18",
        "batch": 32,
        "options": {},
        "augment": {"resized_crop": [0.08, 1.0]},
    },
    "clips, 32 frames uniform, 224 px": {
        "kind": "clips",
        "model": "resnet3d18",
        "batch": 6,
        "options": {"frames": 32, "sampling": "uniform", "size": 224},
        "augment": {},
    },
    "clips, windows of 8 frames, 64 px": {
        "kind": "clips",
        "model": "resnet3d18",
        "batch": 6,
        "options": {"frames": 8, "sampling": "window", "size": 64},
        "augment": {},
    },
}


def pictures(folder: Path) -> tuple[dict[str, Any], str]:
    """A data set of pictures as a recipe names it, and what it is."""
    root = Path(os.environ.get("REGROW_DATA", ""))
    if (root / "imagenet-samples" / "val").is_dir():
        options = {"path": str(root / "imagenet-samples"), "train_is_test": True}
        return {"name": "imagenet", "options": options}, "100 images of ImageNet"
    rng = np.random.default_rng(0)
    for k in range(100):
        place = folder / "pictures" / f"class{k % 10}"
        place.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        picture = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)).astype(int)
        noisy = np.clip(picture + rng.integers(-12, 13, picture.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(place / f"{k}.jpg", quality=90)
    options = {"path": str(folder / "pictures"), "train_is_test": True}
    return {"name": "image_folder", "options": options}, "100 generated JPEGs of 500 x 375 px"


def videos(folder: Path) -> tuple[dict[str, Any], str]:
    """A data set of clips likewise."""
    root = Path(os.environ.get("REGROW_DATA", ""))
    paths, what = [root / "ucf101" / "UCF-101", root / "video" / "kinetics"], "3 videos of UCF101 and 3 of Kinetics"
    if not all(path.is_dir() for path in paths):
        paths, what = [folder / "videos"], "6 generated videos of 320 x 240 px, H.264"
        paths[0].mkdir()
        rng = np.random.default_rng(0)
        for k in range(6):
            still = np.asarray(Image.fromarray(rng.integers(0, 256, (30, 80, 3), dtype=np.uint8)).resize((640, 240)))
            frames = np.stack([still[:, t : t + 320] for t in range(200)])
            coded = clips.encode(clips.frames_of(frames), Fraction(25), "libx264", clips.DEFAULT_CRF)
            (paths[0] / f"{k}.mp4").write_bytes(coded)
    options = {"paths": [str(path) for path in paths], "class_by": "file", "train_is_test": True}
    return {"name": "video_folder", "options": options}, what


def case(chosen: dict[str, Any], source: tuple[dict[str, Any], str], seconds: float, rounds: int) -> dict[str, Any]:
    found, what = source
    found = {**found, "options": {**found["options"], **chosen["options"]}}
    values = {
        "name": "bench",
        "data": found,
        "model": {"name": chosen["model"]},
        "methods": ["dense"],
        "training": {"steps": 1, "batch": chosen["batch"], "augment": chosen["augment"]},
    }
    settings = expand(parse(values, "bench"), Precision())[0].settings
    examples = data.load(found["name"], "train", options=found["options"])
    speed = measure(examples, settings, workers=(0, 1, 2), seconds=seconds, rounds=rounds)
    shares, spent = {w: speed.share_of_decode(w) for w in speed.loader}, speed.processor_us
    by_processor = {w: spent[f"decode {max(1, w)}"] / spent[f"loader {w}"] for w in speed.loader}
    for w, share in shares.items():
        print(
            f"  {w} workers: {share:.1%} of bare decoding, by processor time {by_processor[w]:.1%}; "
            f"{speed.overhead_us(w):.0f} us of a processor an example",
            flush=True,
        )
    return {
        "source": what,
        "network": chosen["model"],
        **speed.as_json(),
        "share_by_processor_time_by_workers": {str(w): round(share, 3) for w, share in by_processor.items()},
        "met": min(shares.values()) >= BAR,
        "met_by_processor_time": min(by_processor.values()) >= BAR,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write here instead of benchmarks/results")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        sources = {"images": pictures(Path(temporary)), "clips": videos(Path(temporary))}
        rows = {}
        for name, chosen in CASES.items():
            print(name, flush=True)
            rows[name] = case(chosen, sources[chosen["kind"]], given.seconds, given.rounds)
    content = {
        "load_average": {"before": round(load, 2), "after": round(os.getloadavg()[0], 2)},
        "bar": f"the training loader reaches at least {BAR:.0%} of bare decoding in as many processes",
        "met": all(row["met"] for row in rows.values()),
        "met_by_processor_time": all(row["met_by_processor_time"] for row in rows.values()),
        "cases": rows,
    }
    save("input", " ".join(__doc__.split("\n\n")[0].split()), content, given.out)


if __name__ == "__main__":
    main()

"""One optimiser step with one topology update of every paper recipe, at full size and batch.

Each recipe in a process of its own, so that peak memory is its own. Writes benchmarks/results/paper_steps.json.
DeiT-base
at a batch of 1,024 takes some 20 minutes on two cores. S5 and S6 test the networks of S4 and train nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from _measure import save, show

RECIPES = ("s1", "s2", "s3", "s4", "s8", "s9", "s7")  # the longest last
MICRO = {"s1": 128, "s2": 128, "s3": 64, "s4": 16, "s7": 16, "s8": 1, "s9": 2}
QUESTION = "Does one optimiser step with a topology update of every paper recipe fit into 20 GiB at full size?"
NOTE = "load of the machine when it began: other work beside it makes the seconds longer, not the memory"
GIB = 2**30
BAR_GIB = 20.0


def samples_of(name: str, root: Path | None) -> list[str]:
    """Real samples that fill the batch, where they are here."""
    if root is None or name in ("s1", "s2", "s3"):
        return []
    folder = root / ("imagenet-samples/val" if name in ("s4", "s7") else "ucf101/UCF-101")
    return ["--samples", str(folder)] if folder.is_dir() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, help="micro-batches of each; default: the whole batch")
    parser.add_argument("--only", nargs="*", default=RECIPES)
    parser.add_argument("--out", type=Path, help="another file for the result")
    args = parser.parse_args()
    given = os.environ.get("REGROW_DATA")
    rows: list[dict[str, Any]] = []
    load = os.getloadavg()[0]
    for name in args.only:
        command = [sys.executable, "-c", "from regrow.cli import main; main()", "rehearse", f"paper/{name}", "--json"]
        command += ["--micro-batch", str(MICRO[name]), *samples_of(name, Path(given) if given else None)]
        command += ["--parts", str(args.parts)] if args.parts else []
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "2"}
        )
        row = {"recipe": f"paper/{name}", **json.loads(done.stdout)}
        row["samples"] = row["samples"].replace(f"{given}/", "") if given else row["samples"]
        row["peak_gib"] = round(row.pop("peak_bytes") / GIB, 2)
        row["met"] = row["peak_gib"] <= BAR_GIB and row["exact"] and row["updates"] == 1
        rows.append(row)
        save("paper_steps", QUESTION, {"bar_gib": BAR_GIB, "load_before": load, "note": NOTE, "rows": rows}, args.out)
    head = ("recipe", "batch", "micro-batch", "seconds", "peak GiB", "masks")
    show(
        [
            head,
            *(
                (
                    r["recipe"],
                    str(r["done"]),
                    str(r["micro_batch"]),
                    f"{r['seconds']:.1f}",
                    str(r["peak_gib"]),
                    "exact" if r["exact"] else "wrong",
                )
                for r in rows
            ),
        ]
    )


if __name__ == "__main__":
    main()

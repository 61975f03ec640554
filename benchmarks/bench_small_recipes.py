"""Wall time of the nine scenarios in small, from the command to the page.

Each as a user runs it: `regrow study small/sK`, one after the other. Writes benchmarks/results/small_recipes.json. Real
data where REGROW_DATA has them, else generated pictures and clips (`regrow data generate`), which the result says.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _measure import save, show

from regrow.study.load import load_study

BAR_MINUTES = 40.0
SECTIONS = re.compile(r"<section[^>]*\bid=\"([a-z-]+)\"")


def run(name: str, out: Path) -> dict[str, Any]:
    """One recipe: its wall time, and what its page holds."""
    command = [sys.executable, "-c", "import sys; from regrow.cli import main; sys.exit(main())"]
    start = time.monotonic()
    done = subprocess.run([*command, "study", name, "--out", str(out)], capture_output=True, text=True)
    seconds = time.monotonic() - start
    if done.returncode:
        sys.exit(f"{name} failed: {done.stderr.strip()[-500:]}")
    view = load_study(out)
    results = [run.result for run in view.runs if run.result]
    return {
        "recipe": name,
        "seconds": round(seconds, 1),
        "runs": f"{sum(run.state == 'done' for run in view.runs)} of {len(view.runs)}",
        "cells": len(view.corruptions) * len(view.severities) + 1,
        "images": max(score.n for run in view.runs for score in run.scores.values()),
        "updates": max(result["updates"] for result in results),
        "train_accuracy": [round(result["train_accuracy"], 4) for result in results],
        "sections": len(set(SECTIONS.findall((out / "report.html").read_text()))),
        "caveats": [note for note in view.notes if "generated" in note or "same" in note],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder for the studies; default: a temporary one")
    parser.add_argument("--out", type=Path, help="another file for the result")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        rows = []
        for k in range(1, 10):
            rows.append(run(f"small/s{k}", folder / f"small-s{k}"))
            print(rows[-1], flush=True)
    minutes = sum(row["seconds"] for row in rows) / 60
    content = {"bar_minutes": BAR_MINUTES, "minutes": round(minutes, 1), "met": minutes <= BAR_MINUTES}
    question = "How long do the nine scenarios in small take, from the command to the page?"
    save("small_recipes", question, {**content, "load_before": load, "rows": rows}, args.out)
    keys = ("recipe", "seconds", "runs", "cells", "images", "updates")
    show([keys, *(tuple(str(row[key]) for key in keys) for row in rows)])


if __name__ == "__main__":
    main()

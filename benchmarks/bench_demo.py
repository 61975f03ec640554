"""How long is it from a fresh clone to the report of `make demo`?

Clones this repository's HEAD into an empty folder and runs `make demo`, install included, and then the same recipe
pinned to fp32 into another folder. Bar: 6 minutes each on 2 cores, with the install counted in both.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

import yaml
from _measure import save

ROOT, BAR_S = Path(__file__).parents[1], 360.0


def timed(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary) / "regrow"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=clone, check=True, capture_output=True, text=True)
        install_s = timed(["make", ".venv/.base"], clone)
        demo_s = timed(["make", "demo"], clone)
        recipe = yaml.safe_load((clone / "src/regrow/recipes/quick/cues.yaml").read_text())
        recipe["training"]["precision"] = "fp32"
        recipe["name"] = "demo-fp32"
        (clone / "fp32.yaml").write_text(yaml.safe_dump(recipe))
        fp32_s = timed([".venv/bin/regrow", "study", "fp32.yaml"], clone)
        chosen = {
            name: yaml.safe_load((clone / "runs" / name / "study.yaml").read_text())["precision"]
            for name in ("demo", "demo-fp32")
        }
    totals = {"total_s": install_s + demo_s, "fp32_total_s": install_s + fp32_s}
    save(
        "demo",
        __doc__.splitlines()[0],
        {
            "commit": commit.stdout.strip(),
            "install_s": round(install_s, 1),
            "demo_s": round(demo_s, 1),
            "fp32_demo_s": round(fp32_s, 1),
            **{name: round(value, 1) for name, value in totals.items()},
            "precision": chosen,
            "bar_s": BAR_S,
            "met": all(value < BAR_S for value in totals.values()),
        },
    )


if __name__ == "__main__":
    main()

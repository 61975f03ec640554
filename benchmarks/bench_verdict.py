"""Does the judge keep its word? Simulated studies of known truth, written as stores, judged as `regrow verdict` does.

For each setting 2,000 studies: coverage of the paired and of the crossed interval, false support in families without
any effect, power, refutation and equivalence. Writes benchmarks/results/verdict.json.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _measure import save

from regrow.statistics import power
from regrow.study.load import load_study
from regrow.verdict import ClaimVerdict, judge
from regrow.verdict.simulated import SimulatedStudy, recipe_of

DENSE_SD = 0.4


Fill = Callable[[SimulatedStudy, np.random.Generator], None]
#: Deviations of seeds, of images, and of an arm's images, on the scale of the latent variable.
SPREADS = {"seeds vary": (0.1, 1.0, 0.0), "images vary": (0.01, 1.0, 0.8), "both vary": (0.04, 1.0, 0.5)}


def studies(n: int, arms: int, seeds: int, fill: Fill, key: int, **claim: Any) -> list[ClaimVerdict]:
    """The verdicts on ``n`` studies."""
    rng = np.random.default_rng([20261126, key])
    found = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").exists() else None) as folder:
        study = SimulatedStudy(Path(folder) / "study", recipe_of([f"a{k}" for k in range(arms)], seeds, claim))
        for _ in range(n):
            fill(study, rng)
            found.append(judge(load_study(study.folder)).claims[0])
    return found


def gains(effects: list[float], sd: float, skewed: bool = False) -> Fill:
    """Accuracies with these true gains over dense and this deviation of the paired difference."""

    def fill(study: SimulatedStudy, rng: np.random.Generator) -> None:
        n = len(study.seeds)
        dense = 60 + DENSE_SD * rng.standard_normal(n)
        points = {"dense": dense}
        for k, effect in enumerate(effects):
            noise = rng.exponential(size=n) - 1 if skewed else rng.standard_normal(n)
            points[f"a{k}"] = dense + effect + sd * noise
        study.fill(points)

    return fill


def answers(images: int, seed_sd: float, image_sd: float, mixed_sd: float) -> Fill:
    """Answers to single images without any difference between the arms; seeds, images and an arm's images vary."""

    def fill(study: SimulatedStudy, rng: np.random.Generator) -> None:
        n = len(study.seeds)
        image = image_sd * rng.standard_normal(images)
        right = {}
        for label in study.labels:
            latent = 0.3 + image + mixed_sd * rng.standard_normal(images) + seed_sd * rng.standard_normal((n, 1))
            right[label] = latent + rng.standard_normal((n, images)) > 0
        study.fill_answers(right)

    return fill


def share(found: list[ClaimVerdict], value: str) -> float:
    """Share of studies whose first arm has a value."""
    return float(np.mean([claim.arms[0].value == value for claim in found]))


def covers(found: list[ClaimVerdict], truth: float, crossed: bool = False) -> float:
    """Share of intervals that hold the truth; without one (equal differences in all seeds) it counts as not held."""
    comparisons = [claim.arms[0].comparisons[0] for claim in found]
    intervals = [one.crossed if crossed else one for one in comparisons]
    ends = [
        (one.low, one.high) for one in intervals if one is not None and one.low is not None and one.high is not None
    ]
    return sum(low <= truth <= high for low, high in ends) / len(found)


class Table:
    """Rows of what was seen beside its bar."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, what: str, seen: float, bar: str, met: bool) -> None:
        self.rows.append({"what": what, "seen": round(seen, 4), "bar": bar, "met": met})
        print(f"{what:<78} {seen:.4f}  {bar}  {'' if met else 'MISSED'}", flush=True)


def intervals(table: Table, n: int) -> None:
    for seeds in (3, 5, 10):
        for skewed in (False, True):
            seen = covers(studies(n, 1, seeds, gains([0.4], 0.5, skewed), 100 + seeds + 50 * skewed), 0.4)
            kind = "exponential" if skewed else "normal"
            bar = "stated" if skewed else "0.93 to 0.97"
            what = f"paired interval, {kind} effects, {seeds} seeds: coverage"
            table.add(what, seen, bar, skewed or 0.93 <= seen <= 0.97)
    for seeds in (3, 5, 10):
        for k, (name, spread) in enumerate(SPREADS.items()):
            found = studies(n, 1, seeds, answers(2000, *spread), 200 + 10 * seeds + k)
            seen = covers(found, 0.0, crossed=True)
            table.add(
                f"crossed interval, {seeds} seeds x 2,000 images, {name}: coverage", seen, ">= 0.93", seen >= 0.93
            )
            table.add("  the paired interval there, which knows these images alone", covers(found, 0.0), "stated", True)


def errors(table: Table, n: int) -> None:
    for family in (1, 6, 15):
        found = studies(n, family, 5, gains([0.0] * family, 0.5), 400 + family)
        seen = float(np.mean([any(arm.value == "supported" for arm in claim.arms) for claim in found]))
        most = 0.025 + monte_carlo(0.025, n)
        table.add(f"no effect in a family of {family}: any supported", seen, f"<= {most:.4f}", seen <= most)


def effects(table: Table, n: int) -> None:
    for family, least in ((1, 0.99), (6, 0.90)):
        found = studies(n, family, 5, gains([1.0] + [0.0] * (family - 1), 0.3), 500 + family)
        seen = share(found, "supported")
        table.add(f"gain of 1 at 0.3, one of {family}: supported", seen, f">= {least}", seen >= least)
    for family in (1, 6):
        found = studies(n, family, 5, gains([1.0] + [0.0] * (family - 1), 0.8), 600 + family)
        truth, seen = power(1 / 0.8, 5, alpha=0.05 / family), share(found, "supported")
        within = monte_carlo(truth, n)
        name = f"gain of 1 at 0.8, one of {family}"
        table.add(f"{name}: supported", seen, f"{truth:.4f} +- {within:.4f}", abs(seen - truth) <= within)
        refuted = share(found, "refuted")
        table.add(f"{name}: refuted", refuted, "<= 0.01", refuted <= 0.01)
        others = 1 - seen - share(found, "inconclusive") - refuted
        table.add(
            f"{name}: neither supported, inconclusive nor refuted", abs(round(others, 9)), "0", abs(others) < 1e-9
        )
    seen = share(studies(n, 1, 5, gains([-1.0], 0.3), 700), "refuted")
    table.add("loss of 1 at 0.3: refuted", seen, ">= 0.95", seen >= 0.95)
    for seeds in (5, 10):
        seen = share(studies(n, 1, seeds, gains([0.0], 0.2), 800 + seeds, equivalence=0.5), "equivalent")
        table.add(f"true zero at 0.2, margin 0.5, {seeds} seeds: equivalent", seen, ">= 0.95", seen >= 0.95)


def monte_carlo(p: float, n: int) -> float:
    """Three Monte-Carlo errors of a share."""
    return 3 * math.sqrt(p * (1 - p) / n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--out", type=Path, help="another file for the result")
    args = parser.parse_args()
    table = Table()
    for part in (intervals, errors, effects):
        part(table, args.studies)
    question = "Does the judge keep its levels and its power on studies of which the truth is known?"
    save("verdict", question, {"studies": args.studies, "rows": table.rows}, args.out)


if __name__ == "__main__":
    main()

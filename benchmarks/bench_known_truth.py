"""Do four measures see by which frequencies a network goes, where that is known?

Networks are trained on ``cues`` without the high-frequency cue, without the low one, and with both, dense and with RigL
at sparsity 0.8, and tested on images that hold both: studies as a user runs them, whose analyses are then put side by
side (`regrow.analysis.reliance_report`). What a network trained with both goes by is not known, and no truth is claimed
of it. Writes benchmarks/results/known_truth.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _measure import save, show

from regrow import files
from regrow.analysis import reliance_report, unseen
from regrow.analysis.frequency_reliance import MEASURES
from regrow.study import recipe as recipes
from regrow.study.engines.engine import Event
from regrow.study.run import run_study

TRAINED = {"low": {"train_high": 0}, "high": {"train_low": 0}, "both": {}}
METHODS = ("dense", "rigl")


class Lines:
    """A console that tells of runs alone."""

    def say(self, text: str) -> None:
        """Nothing."""

    def stage(self, text: str, done: int, total: int) -> None:
        """Nothing."""

    def event(self, event: Event) -> None:
        if event.kind != "progress":
            print(f"  {event.run}: {event.kind} {event.reason}", flush=True)


def recipe(cue: str, seeds: int, steps: int) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": f"known-truth-{cue}",
        "data": {"name": "cues", "train_images": 1600, "test_images": 400, "options": TRAINED[cue]},
        "model": {"name": "resnet8", "width": 8},
        "methods": list(METHODS),
        "sparsity": [0.8],
        "seeds": list(range(seeds)),
        "sparse": {"updates": 24},
        "training": {
            "steps": steps,
            "batch": 16,
            "lr": 0.1,
            "warmup": 0.25,
            "weight_decay": 5.0e-4,
            "precision": "fp32",
            "augment": {"flip": False, "crop": 0},
        },
        "evaluation": {"corruptions": ["gaussian_noise"], "severities": [3]},
        "analysis": {"heat_map": {"images": 32}, "sharpness": {"images": 0}, "aliasing": {"images": 0}},
        "claims": [],
    }


def measured(study: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """Method -> seed -> outputs of the analyses of that run."""
    found: dict[str, dict[int, dict[str, Any]]] = {method: {} for method in METHODS}
    for run in sorted((study / "runs").iterdir()):
        settings = files.read_json(run / "run.json")["settings"]
        outputs = {name: files.read_json(run / "analysis" / f"{name}.json") for name, _ in MEASURES.values()}
        found[settings["method"]["name"]][settings["seeds"]["init"]] = outputs
    return found


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def splits(runs: Mapping[int, Mapping[str, Any]]) -> dict[str, list[float]]:
    """Accuracy with both cues and with each alone, one value a seed."""
    return {
        "both": [one["radius_curves"]["clean_accuracy"] for one in runs.values()],
        **{name: [one["reliance"][name] for one in runs.values()] for name in ("low_only", "high_only")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder for the studies; default: a temporary one")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    args = parser.parse_args()
    arms: dict[str, dict[int, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for cue in TRAINED:
            folder = (args.keep or Path(temporary)) / cue
            run_study(recipes.parse(recipe(cue, args.seeds, args.steps), cue), folder, Lines(), jobs=1)
            arms |= {f"{method}, trained on {cue}": runs for method, runs in measured(folder).items()}
    report = reliance_report(arms)
    truth = {name: cue for name in arms if (cue := name.split()[-1]) != "both"}
    lines = [["networks", "measure", "low", "high", "balance", "interval", "statement", "truth"]]
    for name, found in report["arms"].items():
        for measure, row in found["measures"].items():
            low, high = row["interval"] or (float("nan"), float("nan"))
            numbers = [f"{row[key]:.2f}" for key in ("low", "high", "balance")]
            lines.append(
                [name, measure, *numbers, f"{low:.2f} to {high:.2f}", row["statement"], truth.get(name, "not known")]
            )
    show(lines)
    save(
        "known_truth",
        __doc__.splitlines()[0],
        {
            "seeds": args.seeds,
            "recipes": {cue: recipe(cue, args.seeds, args.steps) for cue in TRAINED},
            "accuracy": rounded({name: splits(runs) for name, runs in arms.items()}),
            "report": rounded(report),
            "unseen": unseen(report, truth),
        },
    )


if __name__ == "__main__":
    main()

"""Studies made of random numbers of which the truth is known, to check the judge by.

They are written as published summaries (:mod:`regrow.study.summaries`) and read and judged like any other study.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from regrow.study.claims import register
from regrow.study.recipe import parse
from regrow.study.summaries import run_summary, study_summary
from regrow.study.view import CLEAN, Cell, CellScore, RunView, StudyView
from regrow.training.settings import Precision

Values = npt.NDArray[np.float64]
#: Cells that a simulated study is tested on.
CELLS: tuple[Cell, ...] = (("gaussian_noise", 3),)
#: Images a cell, where answers to single images are not simulated: accuracies keep their digits.
MANY = 1_000_000


def recipe_of(
    arms: Sequence[str], seeds: int, claim: Mapping[str, Any], controls: Sequence[str] = ()
) -> dict[str, Any]:
    """A recipe with dense training and dynamic sparse arms of these labels, judged by one claim.

    Args:
        arms: labels of the arms that are judged.
        seeds: number of seeds.
        claim: what differs from the plain claim "more accurate than dense under gaussian_noise at severity 3".
        controls: labels of static arms.
    """
    metric = {"kind": "accuracy", "of": ["gaussian_noise"], "severities": [3]}
    return {
        "name": "simulated",
        "tier": "T1",
        "data": {"name": "cues"},
        "model": {"name": "resnet8"},
        "methods": [
            "dense",
            *({"name": "set", "label": label} for label in arms),
            *({"name": "static", "label": label} for label in controls),
        ],
        "sparsity": [0.5],
        "seeds": list(range(seeds)),
        "training": {"steps": 1},
        "evaluation": {"corruptions": ["gaussian_noise"], "severities": [3]},
        "claims": [{"id": "gain", "title": "Gain over dense", "metrics": [metric], **claim}],
    }


class SimulatedStudy:
    """A folder of summaries whose runs are filled with numbers again and again.

    Args:
        folder: where to; must be empty.
        values: the recipe, as `recipe_of` gives it.
    """

    def __init__(self, folder: Path, values: Mapping[str, Any]) -> None:
        self.folder = folder
        recipe = parse(values, "simulated")
        self.labels = [method.arm for method in recipe.methods]
        self.seeds = list(recipe.seeds)
        content = {
            "schema": 1,
            "recipe": recipe.resolved(),
            "recipe_digest": recipe.digest,
            "precision": Precision().model_dump(),
            "probe": {"reason": "simulated"},
            "planned_at": "simulated",
            "environment": {},
            "registration": register(recipe, ["gaussian_noise"], [3]),
            "runs": [self._name(label, seed) for seed in self.seeds for label in self.labels],
        }
        view = StudyView(
            folder=folder,
            name=recipe.name,
            title="simulated",
            tier=recipe.tier,
            recipe={},
            precision={},
            environment={},
            data={"name": "cues", "image_size": 32},
            runs=(),
            corruptions=["gaussian_noise"],
            severities=[3],
            families={"gaussian_noise": "noise"},
            common=["gaussian_noise"],
        )
        (folder / "runs").mkdir(parents=True)
        (folder / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        (folder / "study.json").write_text(json.dumps(study_summary(view)))

    @staticmethod
    def _name(label: str, seed: int) -> str:
        return f"{label}-s{0 if label == 'dense' else 0.5:g}-seed{seed}"

    def fill(self, points: Mapping[str, Values]) -> None:
        """Write one accuracy a run.

        Args:
            points: label -> accuracy in points of each seed, shape (seeds,).
        """
        for label in self.labels:
            for seed in self.seeds:
                self._write(label, seed, CellScore(float(points[label][seed]) / 100, MANY))

    def fill_answers(self, right: Mapping[str, npt.NDArray[np.bool_]]) -> None:
        """Write the answers to single images.

        Args:
            right: label -> correct answers, bool (seeds, images).
        """
        for label in self.labels:
            for seed in self.seeds:
                answers = right[label][seed]
                score = CellScore(float(answers.mean()), answers.size)
                self._write(label, seed, score, {CELLS[0]: np.packbits(answers)})

    def _write(
        self, label: str, seed: int, score: CellScore, correct: Mapping[Cell, npt.NDArray[np.uint8]] | None = None
    ) -> None:
        run = RunView(
            name=self._name(label, seed),
            method=label,
            sparsity=0.0 if label == "dense" else 0.5,
            seed=seed,
            axes={},
            state="done",
            result={"updates": 48},
            scores={CELLS[0]: score, CLEAN: score},
            correct=correct or {},
        )
        (self.folder / "runs" / f"{run.name}.json").write_text(json.dumps(run_summary(run)))

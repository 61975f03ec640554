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
from regrow.study.kinds import ImageKind
from regrow.study.plan import PlannedRun, expand
from regrow.study.recipe import parse
from regrow.study.summaries import run_summary, study_summary
from regrow.study.view import CLEAN, Cell, CellScore, RunView, StudyView
from regrow.training.settings import Precision

Values = npt.NDArray[np.float64]
#: Images a cell, where answers to single images are not simulated: accuracies keep their digits.
MANY = 1_000_000


def recipe_of(
    arms: Sequence[str], seeds: int, claim: Mapping[str, Any], controls: Sequence[str] = (), **more: Any
) -> dict[str, Any]:
    """A recipe with dense training and dynamic sparse arms of these labels, judged by one claim.

    Args:
        arms: labels of the arms that are judged.
        seeds: number of seeds.
        claim: what differs from the plain claim "more accurate than dense under gaussian_noise at severity 3".
        controls: labels of static arms.
        more: further keys of the recipe, or others in place of those here.
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
        **more,
    }


class SimulatedStudy:
    """A folder of summaries whose runs are filled with numbers again and again.

    Attributes:
        folder: where it lies.
        labels: its arms.
        seeds: its seeds.
        runs: its runs, as planned.
        cells: what each is tested on, the clean images first.

    Args:
        folder: where to; must be empty.
        values: the recipe, of images, as `recipe_of` gives it.
    """

    def __init__(self, folder: Path, values: Mapping[str, Any]) -> None:
        recipe, kind = parse(values, "simulated"), ImageKind()
        names, severities = kind.names(recipe.evaluation), list(recipe.evaluation.severities)
        common, common_words = kind.mean_over(recipe.evaluation, names)
        self.folder = folder
        self.labels = [method.arm for method in recipe.methods]
        self.seeds = list(recipe.seeds)
        self.runs = expand(recipe, Precision())
        self.cells: list[Cell] = [CLEAN, *((name, severity) for name in names for severity in severities)]
        registration = register(recipe, *kind.registered(recipe.evaluation))
        self._digest = registration["digest"]
        content = {
            "schema": 1,
            "recipe": recipe.resolved(),
            "recipe_digest": recipe.digest,
            "precision": Precision().model_dump(),
            "probe": {"reason": "simulated"},
            "planned_at": "simulated",
            "environment": {},
            "registration": registration,
            "runs": [run.name for run in self.runs],
        }
        view = StudyView(
            folder=folder,
            name=recipe.name,
            title=recipe.title or "simulated",
            tier=recipe.tier,
            recipe={},
            precision={},
            environment={},
            data={"name": recipe.data.name, "image_size": 32},
            runs=(),
            corruptions=names,
            severities=severities,
            families=kind.families(recipe.evaluation),
            common=common,
            common_words=common_words,
        )
        (folder / "runs").mkdir(parents=True)
        (folder / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        (folder / "study.json").write_text(json.dumps(study_summary(view)))

    def fill(self, points: Mapping[str, Values]) -> None:
        """Write one accuracy a run, the same in all cells.

        Args:
            points: label -> accuracy in points of each seed, shape (seeds,).
        """
        for run in self.runs:
            self.write(run, dict.fromkeys(self.cells, float(points[run.label][self._place(run)])))

    def fill_answers(self, right: Mapping[str, npt.NDArray[np.bool_]]) -> None:
        """Write the answers to single images, the same in all cells.

        Args:
            right: label -> correct answers, bool (seeds, images).
        """
        for run in self.runs:
            self.write_answers(run, dict.fromkeys(self.cells, right[run.label][self._place(run)]))

    def _place(self, run: PlannedRun) -> int:
        return self.seeds.index(run.settings.seeds.init)

    def write(self, run: PlannedRun, points: Mapping[Cell, float], **more: Any) -> None:
        """Write a run by its accuracies.

        Args:
            run: which.
            points: accuracy of each cell in points.
            more: further fields of `RunView`, or others in place of those of a finished run with 48 updates.
        """
        self._write(run, scores={cell: CellScore(value / 100, MANY) for cell, value in points.items()}, **more)

    def write_answers(self, run: PlannedRun, right: Mapping[Cell, npt.NDArray[np.bool_]], **more: Any) -> None:
        """Write a run by its answers to single images, bool (images,) for each cell; ``more`` as in `write`."""
        scores = {cell: CellScore(float(answers.mean()), answers.size) for cell, answers in right.items()}
        self._write(run, scores=scores, correct={cell: np.packbits(answers) for cell, answers in right.items()}, **more)

    def _write(self, run: PlannedRun, **fields: Any) -> None:
        values = {"state": "done", "result": {"updates": 48}, "registration": self._digest, **fields}
        view = RunView(
            name=run.name,
            method=run.label,
            sparsity=run.settings.sparsity,
            seed=run.settings.seeds.init,
            axes=run.axes,
            **values,
        )
        path = self.folder / "runs" / f"{run.name}.json"
        path.unlink(missing_ok=True)  # some file systems flush a file to the disk where it is written over
        path.write_text(json.dumps(run_summary(view)))

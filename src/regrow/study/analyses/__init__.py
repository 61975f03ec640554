"""Analyses of one trained network: each file is one, found by listing; its output is ``analysis/NAME.json`` of the run.

An analysis joins the pure functions of :mod:`regrow.analysis` to a run: which images, how many, with which settings. To
add one, add a file that sets ``ANALYSIS``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from regrow.data.spec import DataSpec
from regrow.evaluation.evaluate import Predict
from regrow.study.cells import CellSet
from regrow.study.recipe import AnalysisSettings
from regrow.training.checkpoint import Weights
from regrow.training.settings import RunSettings

#: Images of up to this side are small enough for costly analyses, unless a recipe says otherwise: a heat map at 64
#: pixels is 131,000 passes, hours of a large network on a processor.
SMALL_SIDE = 32


@dataclass(frozen=True)
class Subject:
    """A trained network with what an analysis may look at.

    Attributes:
        model: the network, in float32, in evaluation mode.
        predict: its fast form, from normalised images to logits.
        weights: its weights and masks.
        settings: of the run.
        chosen: the recipe's settings of analyses.
        cells: the test images.
        batch: images a batch.
        device: where the network is.
    """

    model: nn.Module
    predict: Predict
    weights: Weights
    settings: RunSettings
    chosen: AnalysisSettings
    cells: CellSet
    batch: int
    device: torch.device
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def spec(self) -> DataSpec:
        """Facts of the test images."""
        return self.cells.spec

    @property
    def is_small(self) -> bool:
        """Whether costly analyses are made by default."""
        return self.spec.is_images and self.spec.image_size <= SMALL_SIDE

    def n_images(self, wanted: int | None, usual: int) -> int:
        """How many test images to take: as the recipe says, else ``usual`` of small ones and none of others."""
        n = wanted if wanted is not None else usual if self.is_small else 0
        return min(n, len(self.labels()))

    def pixels(self, n: int) -> npt.NDArray[np.uint8]:
        """The first n clean test images, uint8."""
        return self.cells.images("clean", 0, n)

    def labels(self, n: int | None = None) -> npt.NDArray[np.int64]:
        """Labels of the first n test images."""
        return self.cells.labels()[:n]

    def normalised(self, n: int) -> Tensor:
        """The first n clean test images as the network takes them, on its device; no clips."""
        return self.as_taken(self.pixels(n))

    def as_taken(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Any images (n, H, W, 3) as the network takes them, on its device; no clips."""
        from regrow.data.batches import eval_batches

        return torch.cat(list(eval_batches(pixels, self.spec, batch=self.batch, device=self.device)))

    def initial(self) -> dict[str, Tensor]:
        """The network's weights before training, dense."""
        from regrow.training.network import build_network

        spec, settings = self.spec, self.settings
        fresh = build_network(
            settings.model, len(spec.classes), spec.image_size, seed=settings.seeds.init, precision=settings.precision
        )
        return fresh.state_dict()


@dataclass(frozen=True)
class Analysis:
    """One analysis.

    Attributes:
        name: names its file.
        version: rises when its output changes its form or meaning; older outputs are then made anew.
        make: from a subject to JSON values; None where it does not apply, which leaves no file.
    """

    name: str
    version: int
    make: Callable[[Subject], dict[str, Any] | None]


@lru_cache(maxsize=1)
def analyses() -> tuple[Analysis, ...]:
    """All analyses, by name."""
    return tuple(sorted(_found(), key=lambda one: one.name))


def _found() -> Iterator[Analysis]:
    for module in pkgutil.iter_modules(__path__):
        yield importlib.import_module(f"{__name__}.{module.name}").ANALYSIS


def versions() -> dict[str, int]:
    """Name -> version of every analysis."""
    return {one.name: one.version for one in analyses()}

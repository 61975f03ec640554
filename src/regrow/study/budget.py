"""What a study costs before it is run: operations, and hours on an accelerator of a known speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regrow.study.plan import PlannedRun

#: Operations a second that training keeps up on one H100: ResNet-50 at 224 pixels in bf16, 3,000 images a second of
#: 3 x 8.2 GFLOPs. Networks of depthwise convolutions and small images reach less, transformers more.
H100_FLOPS = 75e12


def budget(
    runs: Sequence[PlannedRun],
    details: Mapping[str, Mapping[str, Any]],
    *,
    n_cells: int,
    n_test: int,
    trains: bool = True,
) -> dict[str, float]:
    """Operations of all training and all tests of a study; masks save nothing of them on ordinary hardware.

    Args:
        runs: the runs.
        details: run -> what :func:`regrow.study.plan.describe` gave.
        n_cells: cells that each network is tested on, the clean one included.
        n_test: images or videos of a cell; of a video, its clips.
        trains: whether the networks are trained by this study.

    Returns:
        ``training_flops``, ``evaluation_flops``, and ``h100_hours`` at ``H100_FLOPS``.
    """
    training = trains * sum(
        3.0
        * details[run.name]["flops"]["forward_dense"]
        * details[run.name]["steps"]
        * run.settings.training.batch
        * details[run.name].get("passes", 1)
        for run in runs
    )
    evaluation = sum(float(details[run.name]["flops"]["forward_dense"]) for run in runs) * n_cells * n_test
    return {
        "training_flops": training,
        "evaluation_flops": evaluation,
        "h100_hours": (training + evaluation) / H100_FLOPS / 3600,
    }

"""Does SET keep its sparsity at every step? The measurements behind the page beside it.

``python docs/tutorials/sparsity_at_every_step.py`` prints the density after every step and update, and writes JSON,
figure and page anew; ``--draw`` makes figure and page from the JSON that is there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import altair as alt
import torch
import tutorial_pages as pages
from torch.nn import functional as F
from tutorial_networks import described, images, inputs, words

from regrow import SET, attach, models
from regrow.data.spec import ImageSet
from regrow.sparsity import Every
from regrow.study.environment import describe_environment

HERE = Path(__file__).parent
#: Everything that was chosen.
SETTINGS: dict[str, Any] = {
    "sparsity": 0.5,
    "model": "resnet8",
    "width": 16,
    "train_images": 2000,
    "test_images": 500,
    "steps": 120,
    "update_every": 10,
    "batch": 32,
    "lr": 0.05,
}


def watch(train: ImageSet, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Train with SET and count after every step."""
    torch.manual_seed(0)
    x, labels = inputs(train)
    model = models.build(settings["model"], train.spec.n_classes, width=settings["width"])
    optimizer = torch.optim.SGD(model.parameters(), settings["lr"], momentum=0.9, weight_decay=5e-4)
    method = SET(settings["sparsity"], timing=Every(settings["update_every"]))
    sparsifier = attach(model, optimizer, method, total_steps=settings["steps"])
    masks, rows = sparsifier.masks, []
    for step in range(1, settings["steps"] + 1):
        some = torch.randint(len(x), (settings["batch"],))
        optimizer.zero_grad()
        F.cross_entropy(model(x[some]), labels[some]).backward()
        optimizer.step()

        before, masks = masks, sparsifier.masks
        row = {
            "step": step,
            "update": sparsifier.update_count,
            "weights": sum(mask.numel() for mask in masks.values()),
            "active": sum(int(mask.sum()) for mask in masks.values()),
            "astray": sum(int(model.get_parameter(name)[~mask].count_nonzero()) for name, mask in masks.items()),
            "moved": sum(int((mask & ~before[name]).sum()) for name, mask in masks.items()),
            "ever": sparsifier.itop_rate,
        }
        update = f"  update {row['update']}: {row['moved']} weights moved" if row["update"] * row["moved"] else ""
        print(f"step {step:3}  density {row['active'] / row['weights']:.6f}{update}")
        rows.append(row)
    return rows


def measure(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the page says, as JSON values."""
    parts = images(settings)
    about = {"settings": dict(settings), "data": described(parts), "environment": describe_environment()}
    return {**about, "steps": pages.rounded(watch(parts.train, settings))}


def shown(found: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the page."""
    steps, updates = found["steps"], [row for row in found["steps"] if row["moved"]]
    around = {row["step"] + offset for row in updates[:3] for offset in (-1, 0, 1)} | {1, len(steps)}
    head = ["step", "weights moved", "active weights", "density", "inactive, but not 0", "ever active"]
    rows = [
        [
            str(row["step"]),
            f"{row['moved']:,}" if row["moved"] else "",
            f"{row['active']:,}",
            f"{row['active'] / row['weights']:.6f}",
            str(row["astray"]),
            f"{row['ever']:.3f}",
        ]
        for row in steps
        if row["step"] in around
    ]
    counts = sorted({row["active"] for row in steps})
    return {
        "text:data": f"Trained on {words(found['data'])}.",
        "code:watch": pages.source(watch),
        "table:steps": pages.table(head, rows),
        "text:outcome": (
            f"After each of the {len(steps)} steps, {len(updates)} of them with an update, the number of active "
            f"weights was {' or '.join(f'{n:,}' for n in counts)} of {steps[0]['weights']:,}, and "
            f"{sum(row['astray'] for row in steps):,} inactive weights were other than zero. "
            f"By the end {steps[-1]['ever']:.1%} of all weights had been active at some time."
        ),
    }


def figure(found: Mapping[str, Any]) -> Any:
    """Density after every step, above the weights that each step moved."""
    rows = [
        {"step": row["step"], "moved": row["moved"], "share": share, "of": of}
        for row in found["steps"]
        for of, share in (("active now", row["active"] / row["weights"]), ("ever active", row["ever"]))
    ]
    base = alt.Chart(alt.Data(values=rows))
    # both stand on one axis, so that a rise lies above the update that made it
    scale = alt.Scale(domain=[0, len(found["steps"])], nice=False)
    shares = base.mark_line(strokeWidth=2).encode(
        x=alt.X("step:Q", title=None, scale=scale, axis=alt.Axis(labels=False)),
        y=alt.Y("share:Q", title="share of weights", scale=alt.Scale(domain=[0, 1])),
        color=alt.Color(
            "of:N",
            title=None,
            scale=alt.Scale(range=["#1f77c4", "#d1600f"]),
            legend=alt.Legend(orient="top", **pages.SOLID),
        ),
    )
    moved = base.mark_rule(strokeWidth=3, color="#555").encode(  # bars would widen the axis
        x=alt.X("step:Q", title="step", scale=scale),
        y=alt.Y("moved:Q", title="weights moved", axis=alt.Axis(tickCount=3)),
        y2=alt.Y2Datum(0),
    )
    return alt.vconcat(shares.properties(width=520, height=140), moved.properties(width=520, height=100), spacing=10)


FIGURES = {"": figure}


def main(arguments: Sequence[str] | None = None, settings: Mapping[str, Any] = SETTINGS, folder: Path = HERE) -> None:
    """Measure, unless told to draw alone; write figure and page."""
    pages.make(arguments, __doc__, "sparsity-at-every-step", folder, lambda: measure(settings), shown, FIGURES)


if __name__ == "__main__":
    main()

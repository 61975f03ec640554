"""CIFAR-10-C at severities 1 to 5, sparse against dense: the measurements behind the page beside it.

``python docs/tutorials/accuracy_by_severity.py`` trains the networks, corrupts the test images and writes JSON, figure
and page anew; ``--draw`` makes figure and page from the JSON that is there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import altair as alt
import torch
import tutorial_pages as pages
from clean_accuracy import SETTINGS as CLEAN_SETTINGS
from clean_accuracy import arms, by_arm, difference, spread
from tutorial_networks import Parts, accuracy, described, images, inputs, train, words

from regrow.corruptions import common_names, corrupt_set, families, provenance
from regrow.data.batches import normalise
from regrow.study.environment import describe_environment

HERE = Path(__file__).parent
SEVERITIES = (1, 2, 3, 4, 5)
#: Everything that was chosen.
SETTINGS: dict[str, Any] = {**CLEAN_SETTINGS, "arms": ["dense", "static", "set"], "corruptions": common_names()}


def by_severity(parts: Parts, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Train, then test on every corruption and severity: a network never sees a corrupted image before."""
    networks = {
        (name, seed): train(arms(settings["sparsity"])[name], seed, parts.train, settings)[0]
        for name in settings["arms"]
        for seed in range(settings["seeds"])
    }
    x, labels = inputs(parts.test)
    runs = [
        {"arm": name, "seed": seed, "cells": {"clean.0": accuracy(model, x, labels)}}
        for (name, seed), model in networks.items()
    ]
    for corruption in settings["corruptions"]:
        for severity in SEVERITIES:
            corrupted = corrupt_set(parts.test.images, corruption, severity)
            x = normalise(torch.from_numpy(corrupted), parts.test.spec)
            for run, model in zip(runs, networks.values(), strict=True):
                run["cells"][f"{corruption}.{severity}"] = accuracy(model, x, labels)
        print(f"{corruption} done", flush=True)
    return runs


def measure(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the page says, as JSON values."""
    parts = images(settings)
    about = {"settings": dict(settings), "data": described(parts), "environment": describe_environment()}
    side = parts.test.spec.image_size
    said = {name: note for name in settings["corruptions"] if (note := provenance(name, side))}
    return {**about, "notes": said, "runs": pages.rounded(by_severity(parts, settings))}


def mean_at(run: Mapping[str, Any], names: Sequence[str], severities: Sequence[int] = SEVERITIES) -> float:
    """Mean accuracy over corruptions and severities; severity 0 is the clean images."""
    return fmean(
        run["cells"][f"{name}.{severity}" if severity else "clean.0"] for name in names for severity in severities
    )


def rows_of(
    runs: Mapping[str, list[Mapping[str, Any]]],
    label: str,
    names: Sequence[str],
    severities: Sequence[int] = SEVERITIES,
) -> list[str]:
    """One row: accuracy of every arm, and what each is above dense."""
    values = {name: [mean_at(run, names, severities) for run in own] for name, own in runs.items()}
    gains = [difference(own, values["dense"]) for name, own in values.items() if name != "dense"]
    return [label, *(spread(own) for own in values.values()), *gains]


def shown(found: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the page."""
    runs, names, settings = by_arm(found["runs"]), found["settings"]["corruptions"], found["settings"]
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(families()[name], []).append(name)
    head = [*(f"{name}, %" for name in runs), *(f"{name}, less dense" for name in runs if name != "dense")]
    by_level = [rows_of(runs, "clean", names, [0]), *(rows_of(runs, str(s), names, [s]) for s in SEVERITIES)]
    by_family = [rows_of(runs, family, members) for family, members in groups.items()]
    kinds = "one corruption" if len(names) == 1 else f"{len(names)} corruptions"
    notes = [f"{name}: {'; '.join(note.values())}" for name, note in found["notes"].items()]
    return {
        "text:data": (
            f"{settings['seeds']} seeds; {words(found['data'])}; {kinds} of ImageNet-C at five severities, made here "
            f"byte for byte as the published files are where nothing is random. {'. '.join(notes)}"
        ).strip(),
        "code:by_severity": pages.source(by_severity),
        "table:severities": pages.table(["severity", *head], by_level),
        "table:families": pages.table(["family, all severities", *head], by_family),
    }


def figure(found: Mapping[str, Any]) -> Any:
    """Accuracy against severity; thin lines are single seeds."""
    names = found["settings"]["corruptions"]
    rows = [
        {"arm": run["arm"], "seed": run["seed"], "severity": s, "accuracy": 100 * mean_at(run, names, [s])}
        for run in found["runs"]
        for s in (0, *SEVERITIES)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("severity:O", title="severity (0: clean)", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("mean(accuracy):Q", title="accuracy, %", scale=alt.Scale(zero=False)),
        color=alt.Color("arm:N", title=None, sort=list(by_arm(found["runs"])), legend=alt.Legend(**pages.SOLID)),
    )
    thin = base.mark_line(opacity=0.35, strokeWidth=1).encode(detail="seed:N")
    return (thin + base.mark_line(strokeWidth=2.5)).properties(width=480, height=260)


FIGURES = {"": figure}


def main(arguments: Sequence[str] | None = None, settings: Mapping[str, Any] = SETTINGS, folder: Path = HERE) -> None:
    """Measure, unless told to draw alone; write figure and page."""
    pages.make(arguments, __doc__, "accuracy-by-severity", folder, lambda: measure(settings), shown, FIGURES)


if __name__ == "__main__":
    main()

"""Clean accuracy, sparse against dense: the measurements behind the page beside it.

``python docs/tutorials/clean_accuracy.py`` trains every arm with every seed and writes JSON, figure and page anew;
``--draw`` makes figure and page from the JSON that is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import altair as alt
import tutorial_pages as pages
from tutorial_networks import Parts, accuracy, described, images, inputs, train, words

from regrow import SET, Dense, Method, RigL, Static
from regrow.statistics import paired
from regrow.study.environment import describe_environment

HERE = Path(__file__).parent
#: Everything that was chosen. The networks of the page on severities are the same.
SETTINGS: dict[str, Any] = {
    "sparsity": 0.5,
    "seeds": 3,
    "model": "resnet8",
    "width": 8,
    "train_images": 1000,
    "test_images": 200,
    "epochs": 5,
    "batch": 32,
    "lr": 0.05,
}


def arms(sparsity: float) -> dict[str, Method]:
    """Ways to train; static masks are the control that says what the rewiring adds to being sparse."""
    return {"dense": Dense(), "static": Static(sparsity), "set": SET(sparsity), "rigl": RigL(sparsity)}


def compare(parts: Parts, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Train every arm with every seed; runs of a seed share initial weights and the order of the images."""
    runs = []
    for name, method in arms(settings["sparsity"]).items():
        for seed in range(settings["seeds"]):
            model, sparsifier = train(method, seed, parts.train, settings)
            seen, unseen = (accuracy(model, *inputs(part)) for part in parts)
            runs.append({"arm": name, "seed": seed, "density": sparsifier.density, "train": seen, "test": unseen})
            print(f"{name:6} seed {seed}: density {sparsifier.density:.3f}, test accuracy {unseen:.3f}", flush=True)
    return runs


def measure(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the page says, as JSON values."""
    parts = images(settings)
    about = {"settings": dict(settings), "data": described(parts), "environment": describe_environment()}
    return {**about, "runs": pages.rounded(compare(parts, settings))}


def by_arm(runs: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Arm -> its runs, in the order of the seeds."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        found.setdefault(run["arm"], []).append(run)
    return found


def spread(shares: Sequence[float]) -> str:
    """Mean and standard deviation of shares, in per cent."""
    return f"{100 * fmean(shares):.1f}" + (f" ± {100 * stdev(shares):.1f}" if len(shares) > 1 else "")


def difference(sparse: Sequence[float], dense: Sequence[float]) -> str:
    """Mean difference within seeds, in points, with its 95 % interval where the seeds give one."""
    found = paired([100 * share for share in sparse], [100 * share for share in dense])
    if found.low is None or found.high is None:
        return f"{found.mean:+z.1f}" + (" in each seed" if found.sd == 0 else "")
    return f"{found.mean:+z.1f} [{found.low:+z.1f}, {found.high:+z.1f}]"


def shown(found: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the page."""
    runs = by_arm(found["runs"])
    dense = [run["test"] for run in runs["dense"]]
    rows = [
        [
            name,
            f"{own[0]['density']:.3f}",
            *(spread([run[part] for run in own]) for part in ("train", "test")),
            "" if name == "dense" else difference([run["test"] for run in own], dense),
        ]
        for name, own in runs.items()
    ]
    settings = found["settings"]
    return {
        "text:data": (
            f"{settings['seeds']} seeds; {words(found['data'])}; {settings['model']} of width {settings['width']}, "
            f"{settings['epochs']} epochs."
        ),
        "code:compare": pages.source(arms, compare),
        "code:train": pages.source(train),
        "table:accuracy": pages.table(
            ["", "density", "training images, %", "test images, %", "test, less dense, points"], rows
        ),
    }


def figure(found: Mapping[str, Any]) -> Any:
    """Test accuracy of every run; a line joins runs of one seed."""
    order = list(by_arm(found["runs"]))
    rows = [{**run, "accuracy": 100 * run["test"]} for run in found["runs"]]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("arm:N", sort=order, title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("accuracy:Q", title="clean test accuracy, %", scale=alt.Scale(zero=False)),
        color=alt.Color("seed:N", title="seed", legend=alt.Legend(**pages.SOLID)),
    )
    points = base.mark_point(filled=True, size=70, opacity=1)
    return (base.mark_line(opacity=0.4) + points).properties(width=420, height=220)


FIGURES = {"": figure}


def main(arguments: Sequence[str] | None = None, settings: Mapping[str, Any] = SETTINGS, folder: Path = HERE) -> None:
    """Measure, unless told to draw alone; write figure and page."""
    pages.make(arguments, __doc__, "clean-accuracy", folder, lambda: measure(settings), shown, FIGURES)


if __name__ == "__main__":
    main()

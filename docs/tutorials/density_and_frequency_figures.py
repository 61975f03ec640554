"""Figures and tables of density-and-frequency.md, from its JSON: pure functions, and one that writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import altair as alt
import tutorial_pages as pages
from tutorial_pages import SOLID, table

from regrow.statistics import mean_interval

Row = dict[str, Any]
Found = Mapping[str, Any]
CUES = {"low": "#1f77c4", "high": "#d1600f"}
ORDER = ["static", "set", "rigl"]
#: A cue counts as learnt where the final accuracy with it alone is this, three times that of chance.
LEARNT = 0.3
NOTHING = "–"
STEPS = alt.Axis(tickCount=3, labelFlush=True)
#: An error of the response that small leaves nothing for a ridge regression to explain.
EXACT = 1e-3
REACH = 0.9


def steps_to_reach(steps: Sequence[int], accuracy: Sequence[float]) -> int | None:
    """First measured step with 90 % of the final accuracy; None where the final accuracy is below `LEARNT`."""
    final = accuracy[-1]
    return next(s for s, a in zip(steps, accuracy, strict=True) if a >= REACH * final) if final >= LEARNT else None


def groups(runs: Iterable[Row]) -> dict[tuple[str, float], list[Row]]:
    """(method, density) -> runs of all seeds, densest first."""
    found: dict[tuple[str, float], list[Row]] = {}
    for run in runs:
        found.setdefault((run["method"], run["density"]), []).append(run)
    return dict(sorted(found.items(), key=lambda item: (-item[0][1], ["dense", *ORDER].index(item[0][0]))))


def spread(values: Sequence[float | None], form: str = ".2f") -> str:
    """Mean and standard deviation; of how many, where not of all."""
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING
    text = f"{fmean(known):{form}}" + (f" ± {stdev(known):{form}}" if len(known) > 1 else "")
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)})"


def interval(values: Sequence[float], form: str = "+.2f") -> str:
    """Mean with the 95 % t interval."""
    found = mean_interval(values)
    if found.low is None or found.high is None:
        return f"{found.mean:{form}}"
    return f"{found.mean:{form}} [{found.low:{form}}, {found.high:{form}}]"


def differences(runs: Sequence[Row], dense: Sequence[Row], value: Callable[[Row], float]) -> list[float]:
    """Value of each run less that of the dense run of its seed."""
    base = {run["seed"]: value(run) for run in dense}
    return [value(run) - base[run["seed"]] for run in runs]


def tables(found: Found) -> dict[str, str]:
    """The tables of the page."""
    return {
        "alone": alone_table(found),
        "together": together_table(found),
        "looks": looks_table(found),
        "linear": linear_table(found),
        "updates": updates_table(found),
    }


def named(method: str, density: float) -> list[str]:
    """The first two cells of a row."""
    return [f"{density:g}", method]


def alone_table(found: Found) -> str:
    """One cue in the training images: accuracy with it, and how soon."""
    rows = []
    for (method, density), runs in groups(found["alone"]).items():
        by_cue = {cue: [run for run in runs if cue in run["accuracy"]] for cue in CUES}
        steps = {cue: [steps_to_reach(r["steps"], r["accuracy"][cue]) for r in own] for cue, own in by_cue.items()}
        final = [spread([r["accuracy"][cue][-1] for r in own]) for cue, own in by_cue.items()]
        pairs = zip(steps["low"], steps["high"], strict=True)
        both = [high - low for low, high in pairs if low is not None and high is not None]
        rows.append(
            [
                *named(method, density),
                *final,
                *(spread(steps[c], ".0f") for c in CUES),
                interval(both, "+.0f") if both else NOTHING,
            ]
        )
    return table(
        ["density", "method", "low: final", "high: final", "low: steps", "high: steps", "high − low: steps"], rows
    )


def together_table(found: Found) -> str:
    """Both cues in the training images: accuracy with each alone, and what density does to the balance."""
    by = groups(found["runs"])

    def balance(run: Row) -> float:
        return float(run["accuracy"]["low"][-1] - run["accuracy"]["high"][-1])

    rows = []
    for (method, density), runs in by.items():
        final = [spread([run["accuracy"][cue][-1] for run in runs]) for cue in ("both", *CUES)]
        steps = [spread([steps_to_reach(run["steps"], run["accuracy"][cue]) for run in runs], ".0f") for cue in CUES]
        against = "" if method == "dense" else interval(differences(runs, by["dense", 1.0], balance))
        rows.append([*named(method, density), *final, *steps, against])
    head = ["density", "method", "both cues", "low alone", "high alone", "low: steps", "high: steps"]
    return table([*head, "low − high, less dense's"], rows)


def looks_table(found: Found) -> str:
    """The share of the input gradient above H/4 while training, and what radius curves lose in the end."""
    by = groups(found["runs"])
    steps = [look["step"] for look in found["runs"][0]["looks"]]
    rows = []
    for (method, density), runs in by.items():
        shares = [spread([run["looks"][i]["share"] for run in runs]) for i in range(len(steps))]
        change = interval([run["looks"][-1]["share"] - run["looks"][1]["share"] for run in runs])
        lost = [spread([-run["looks"][-1][f"{side}_removed"] for run in runs]) for side in ("low", "high")]
        rows.append([*named(method, density), *shares, change, *lost])
    head = [*(f"share, step {step}" for step in steps), f"{steps[-1]} less {steps[1]}"]
    return table(["density", "method", *head, "lost without low", "lost without high"], rows)


def linear_table(found: Found) -> str:
    """Linear networks in the end."""
    rows = []
    for (method, density), runs in groups(found["linear"]).items():
        errors = [spread([run["error"][band] for run in runs]) for band in CUES]
        penalties = [run["ridge"] for run in runs]
        ridge = [f"{min(penalties):.2g} to {max(penalties):.2g}", spread([run["explained"] for run in runs])]
        if all(run["error"]["high"] < EXACT for run in runs):
            ridge = [NOTHING, NOTHING]
        rows.append([*named(method, density), *errors, *ridge])
    return table(["density", "method", "error, low", "error, high", "nearest penalty", "explained by ridge"], rows)


def updates_table(found: Found) -> str:
    """What single updates do to the error of the response, at density 0.1."""
    rows = []
    for (method, density), runs in groups(found["linear"]).items():
        if method not in ("set", "rigl") or density not in (0.2, 0.1):
            continue
        for k in (1, 2, 4, 8):
            cells = []
            for band in CUES:
                either = [[run["updates"][k - 1][when][band] for run in runs] for when in ("before", "after")]
                cells += [spread(values) for values in either]
            rows.append([*named(method, density), str(k), *cells])
    head = ["low: before", "low: after", "high: before", "high: after"]
    return table(["density", "method", "update", *head], rows)


def figure_curves(found: Found) -> alt.Chart:
    """Accuracy with one cue alone against the step."""
    rows = [
        {"method": method, "density": density, "cue": cue, "seed": run["seed"], "step": step, "accuracy": 100 * value}
        for run in found["runs"]
        for method, density in panels(run)
        for cue in CUES
        for step, value in zip(run["steps"], run["accuracy"][cue], strict=True)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("step:Q", title="step", axis=STEPS),
        y=alt.Y("mean(accuracy):Q", title="accuracy, %", scale=alt.Scale(domain=[0, 100])),
        color=cue_colour("cue in the test images"),
    )
    chart = base.mark_line(opacity=0.3, strokeWidth=1).encode(detail="seed:N") + base.mark_line(strokeWidth=2.5)
    return facet(chart.properties(width=130, height=110))


def panels(run: Row) -> list[tuple[str, float]]:
    """In which rows a run stands: dense training in all of them."""
    return (
        [(m, 1.0) for m in ("static", "set", "rigl")] if run["method"] == "dense" else [(run["method"], run["density"])]
    )


def cue_colour(title: str) -> alt.Color:
    """Blue for low, orange for high."""
    scale = alt.Scale(domain=[*CUES], range=[*CUES.values()])
    return alt.Color("cue:N", title=title, scale=scale, legend=alt.Legend(orient="top", **SOLID))


def facet(chart: Any) -> Any:
    """A row of panels for each method, a column for each density."""
    return chart.facet(
        row=alt.Row("method:N", title=None, sort=ORDER),
        column=alt.Column("density:Q", title="density", sort="descending"),
        spacing=12,
    )


def figure_steps(found: Found) -> Any:
    """Steps to 90 % of the final accuracy by cue, one cue trained alone."""
    rows = []
    for run in found["alone"]:
        (cue,) = run["accuracy"]
        reached = steps_to_reach(run["steps"], run["accuracy"][cue])
        rows += [
            {"method": method, "density": f"{density:g}", "cue": cue, "seed": run["seed"], "steps": reached}
            for method, density in panels(run)
            if reached is not None
        ]
    order = [f"{density:g}" for density in sorted({run["density"] for run in found["alone"]}, reverse=True)]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("density:N", sort=order, title="density", axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("cue:N", sort=list(CUES)),
        color=cue_colour("the only cue"),
    )
    points = base.mark_point(opacity=0.7, size=25).encode(
        y=alt.Y("steps:Q", title="steps to 90 % of the final accuracy")
    )
    means = base.mark_tick(thickness=3, size=18).encode(y="mean(steps):Q")
    return (
        (points + means).properties(width=190, height=200).facet(column=alt.Column("method:N", title=None, sort=ORDER))
    )


def figure_gradient(found: Found) -> Any:
    """Share of the input gradient above H/4 while training, and its spectrum in the end."""
    shares = [
        {"method": method, "density": f"{density:g}", "seed": run["seed"], "step": look["step"], "value": look["share"]}
        for run in found["runs"]
        for method, density in panels(run)
        for look in run["looks"]
    ]
    spectra = [
        {"method": method, "density": f"{density:g}", "seed": run["seed"], "radius": r, "value": value}
        for run in found["runs"]
        for method, density in panels(run)
        for r, value in enumerate(run["looks"][-1]["spectrum"])
    ]
    return alt.vconcat(
        *(
            by_density(rows, x, x_title, title, found["settings"]["densities"])
            for rows, x, x_title, title in (
                (shares, "step", "step", "share of J at ρ > H/4"),
                (spectra, "radius", "radius, cycles per image", "share of J in the ring, end"),
            )
        )
    )


def by_density(rows: list[Row], x: str, x_title: str, y_title: str, densities: Sequence[float]) -> Any:
    """Means over seeds by density in a panel for each method; thin lines are seeds."""
    order = [f"{density:g}" for density in densities]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(f"{x}:Q", title=x_title, axis=alt.Axis(tickCount=5, labelFlush=True)),
        y=alt.Y("mean(value):Q", title=y_title, scale=alt.Scale(zero=False)),
        color=shade(order),
    )
    chart = base.mark_line(opacity=0.25, strokeWidth=1).encode(detail="seed:N") + base.mark_line(strokeWidth=2.5)
    return chart.properties(width=190, height=150).facet(column=alt.Column("method:N", title=None, sort=ORDER))


#: From dense to sparse.
SHADES = ["#1a1a1a", "#3b4cc0", "#2a9d8f", "#e9a03b", "#c1272d"]


def shade(order: Sequence[str]) -> alt.Color:
    """A colour for each density."""
    scale = alt.Scale(domain=list(order), range=SHADES[: len(order)])
    return alt.Color("density:N", sort=list(order), scale=scale, legend=alt.Legend(**SOLID))


def figure_radius(found: Found) -> Any:
    """Radius curves in the end, by density."""
    from regrow.analysis import registered_radii

    charts = []
    for side, radii, title in zip(("low", "high"), registered_radii(32), ("keeps ρ < r", "keeps ρ ≥ r"), strict=True):
        rows = [
            {"method": method, "density": f"{density:g}", "seed": run["seed"], "radius": r, "value": 100 * value}
            for run in found["runs"]
            for method, density in panels(run)
            for r, value in zip(radii, run["looks"][-1]["curve"][side], strict=True)
        ]
        charts.append(by_density(rows, "radius", f"r ({title})", "accuracy, %", found["settings"]["densities"]))
    return alt.vconcat(*charts)


def figure_linear(found: Found) -> Any:
    """Gain of linear networks by frequency in the end, with the gain of the nearest ridge regression."""
    rows = [
        {"density": f"{run['density']:g}", "seed": run["seed"], "method": method, "radius": r, "gain": value, "of": of}
        for run in found["linear"]
        for method, _ in panels(run)
        for of, key in (("network", "gain"), ("nearest ridge", "ridge_gain"))
        for r, value in enumerate(run[key])
    ]
    order = [f"{density:g}" for density in found["settings"]["densities"]]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("radius:Q", title="radius, cycles per image"),
            y=alt.Y("mean(gain):Q", title="gain (1 = the filter to learn)"),
            color=shade(order),
            strokeDash=alt.StrokeDash("of:N", title=None, sort=["network", "nearest ridge"]),
        )
    )
    return chart.properties(width=190, height=190).facet(column=alt.Column("method:N", title=None, sort=ORDER))


def figure_updates(found: Found) -> Any:
    """Error of the response in both bands around every update."""
    rows = [
        {
            "method": run["method"],
            "density": run["density"],
            "seed": run["seed"],
            "cue": band,
            "step": update["step"] + later,
            "error": update[when][band],
        }
        for run in found["linear"]
        if run["method"] != "dense"
        for update in run["updates"]
        for later, when in enumerate(("before", "after"))
        for band in CUES
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("step:Q", title="step", axis=STEPS),
        y=alt.Y("mean(error):Q", title="error of W"),
        color=cue_colour("frequencies"),
    )
    chart = base.mark_line(opacity=0.3, strokeWidth=1).encode(detail="seed:N") + base.mark_line(strokeWidth=2.5)
    return facet(chart.properties(width=150, height=110))


FIGURES: Mapping[str, Callable[[Found], Any]] = {
    "learning": figure_curves,
    "steps": figure_steps,
    "gradient": figure_gradient,
    "radius": figure_radius,
    "linear": figure_linear,
    "updates": figure_updates,
}


def parts(found: Found) -> dict[str, str]:
    """What is filled in on the page: its tables."""
    return {f"table:{name}": content for name, content in tables(found).items()}


def filled(page: str, found: Found) -> str:
    """The page with its tables."""
    return pages.filled(page, parts(found))

"""Put measured numbers into README.md and draw docs/severity.svg, from committed results; ``--check`` only compares."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "results" / "quick-cifar10"
BENCH = ROOT / "benchmarks" / "results"


def load(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def speed() -> str:
    lines = []
    training = load(BENCH / "training.json")
    if training:
        machine = training["environment"]
        ours, best = training["images_per_s"]["ours"], training["images_per_s"][training["best_conventional"]]
        ratios = training["ratio_to_best_conventional"]
        lines.append(
            f"- Training, ResNet-20, batch 128, {training['processes']} cores of {machine['processor']}: {ours:.0f} "
            f"images/s in {training['processes']} one-thread processes, "
            f"{ratios['ours']:.2f} x the best conventional loop "
            f"({training['best_conventional']}: {best:.0f}); without bf16 {ratios['ours without bf16']:.2f} x, without "
            f"channels-last {ratios['ours without channels_last']:.2f} x, without either "
            f"{ratios['ours without either']:.2f} x."
        )
    path = load(BENCH / "data_path.json")
    if path:
        for model in dict.fromkeys(row["model"] for row in path["rows"]):
            worst = max((r for r in path["rows"] if r["model"] == model), key=lambda r: r["share"])
            lines.append(
                f"- Input (shuffle, crop, flip, normalise), {model}: at most {worst['share']:.1%} of a step "
                f"(batch {worst['batch']}, {worst['precision']}); bar {worst['bar']:.0%}."
            )
    evaluation = load(BENCH / "evaluation.json")
    if evaluation:
        worst = max(evaluation["rows"], key=lambda r: r["ratio"])
        lines.append(f"- Evaluating a stored cell: {worst['ratio']:.2f} x the bare forward passes ({worst['model']}).")
    lines += sparsity()
    lines += scale()
    return "\n".join(lines)


def scale() -> list[str]:
    """Steps of a run beside a bare loop, and studies of many runs."""
    lines = []
    step = load(BENCH / "step.json")
    if step:
        lowest = min(step["ratio_to_bare"], key=step["ratio_to_bare"].get)
        lines.append(
            f"- A run's steps with input, metrics and sparsifier, {step['network']}, batch {step['batch']}, bf16, "
            f"{step['device']}: {step['ratio_to_bare'][lowest]:.2f} to {max(step['ratio_to_bare'].values()):.2f} x a "
            f"bare loop over one batch, compiled likewise; lowest: {lowest}."
        )
    study = load(BENCH / "study.json")
    if study:
        small, cores = study["processor"], study["environment"]["cores"]
        gain, rate = small["times_one_after_another"], small["runs_per_hour"]
        one, other = "local, 2 workers", "ray, 2 workers"
        lines.append(
            f"- Studies: {small['runs']} small runs side by side on {cores} cores {gain[one]['median']:.2f} x as fast "
            f"as one after another, {gain[other]['median']:.2f} x by Ray ({rate[one]:.0f} and {rate[other]:.0f} runs "
            "an hour)."
        )
    store = load(BENCH / "store.json")
    if store:
        lines.append(
            f"- A study of {store['runs']:,} runs: listed in {store['seconds']['list']:.2f} s (bar 2), its page "
            f"written in {store['seconds']['report']:.0f} s (bar 30)."
        )
    return lines


def sparsity() -> list[str]:
    lines = []
    measured = load(BENCH / "sparsity.json")
    if measured:
        machine, fp32 = measured["environment"]["processor"], measured["resnet18"]["fp32"]
        rows = [r for r in fp32["rows"] if "low_memory" not in r["arm"]]
        per_step = max(r["per_step"]["median"] for r in rows)
        update = max(r["update"]["median"] for r in rows)
        default = [r for r in measured["memory"] if not r["options"]]
        held = max(r["bytes_per_sparse_weight"] for r in default)
        lines.append(
            f"- Sparse training, ResNet-18, batch 64, fp32, one thread of {machine}: a step at most {per_step:.4f} x "
            f"dense (bar 1.01), a topology update at most {update:.2f} of a dense step (bar 0.25; SET, RigL, GraNet); "
            f"{held:.2f} bytes a weight for mask and history."
        )
    export = load(BENCH / "export.json")
    if export:
        file = export["compact file, rigl at 0.5"]
        gains = [row["gain"] for row in export["compaction, channel at 0.5"]["latency"]]
        lines.append(
            f"- Export, ResNet-18 at 0.5: compact file {file['ratio']:.3f} of the dense one (bar 0.55); with filters "
            f"removed by `channel` {min(gains):.1f} to {max(gains):.1f} x faster, one thread (aim 1.6)."
        )
    return lines


def demo() -> str:
    measured = load(BENCH / "demo.json")
    if not measured:
        return ""
    machine = measured["environment"]
    return (
        f"`make demo` took {measured['total_s'] / 60:.1f} minutes with its install on {machine['cores']} cores of "
        f"{machine['processor']} ({measured['fp32_total_s'] / 60:.1f} in fp32 alone)."
    )


def finding() -> str:
    """The verdict on the committed study: a line for each claim."""
    found = load(STUDY / "verdict.json")
    if not found:
        return ""
    tier = found["tier_words"]
    lines = [f"Measured on two processor cores ({tier}): {found['title']}."]
    lines.append("")
    lines += [
        f"- {claim['id']} {claim['title']}: **{claim['value']}**{f', {scope}' if (scope := claim['scope']) else ''}; "
        f"{claim['headline'] or claim['why_not']}."
        for claim in found["claims"]
    ]
    return "\n".join(lines)


def severity_chart() -> str:
    """The README's picture: mean accuracy over the common types at each severity; thin lines are seeds."""
    import altair as alt
    import vl_convert

    order = ["clean", "1", "2", "3", "4", "5"]
    colours = {"dense": "#5b5b66", "static": "#1f77c4", "set": "#d1600f", "rigl": "#0f8a5f"}
    seeds: list[dict[str, Any]] = []
    common = load(STUDY / "study.json")["common"]
    for file in sorted((STUDY / "runs").glob("*.json")):
        run = load(file)
        method = run["method"]
        if method not in colours:
            continue
        for severity in order:
            cells = [c for c in run["cells"] if c.endswith(f".{severity}") and c.rsplit(".", 1)[0] in common]
            cells = ["clean.0"] if severity == "clean" else cells
            accuracy = sum(run["cells"][c]["accuracy"] for c in cells) / len(cells)
            seeds.append({"method": method, "run": file.stem, "severity": severity, "accuracy": 100 * accuracy})
    base = alt.Chart(alt.Data(values=seeds)).encode(
        x=alt.X("severity:N", title="severity", sort=order, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("mean(accuracy):Q", title=f"accuracy, % (mean of {len(common)} types)", scale=alt.Scale(zero=False)),
        color=alt.Color(
            "method:N", title=None, sort=list(colours), scale=alt.Scale(domain=[*colours], range=[*colours.values()])
        ),
    )
    chart = base.mark_line(opacity=0.3, strokeWidth=1).encode(detail="run:N") + base.mark_line(point=True)
    return str(vl_convert.vegalite_to_svg(chart.properties(width=520, height=260).to_dict()))


def filled(text: str) -> str:
    for name, content in {"finding": finding(), "demo": demo(), "speed": speed()}.items():
        inline = name == "demo"
        body = content if inline else f"\n{content}\n" if content else "\n"
        pattern = rf"(<!-- numbers:{name} -->).*?(<!-- /numbers -->)"
        text = re.sub(pattern, lambda m, body=body: m[1] + body + m[2], text, flags=re.S)
    return text


def main() -> int:
    readme = ROOT / "README.md"
    text = filled(readme.read_text())
    if "--check" in sys.argv:
        if text != readme.read_text():
            print("README.md does not show the committed results. Next: python benchmarks/readme_numbers.py")
            return 1
        return 0
    readme.write_text(text)
    if (STUDY / "runs").exists():
        (ROOT / "docs" / "severity.svg").write_text(severity_chart())
    return 0


if __name__ == "__main__":
    sys.exit(main())

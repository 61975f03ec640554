"""Put measured numbers into README.md and draw docs/severity.svg, from committed results; ``--check`` only compares."""

from __future__ import annotations

import csv
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
    return "\n".join(lines)


def demo() -> str:
    measured = load(BENCH / "demo.json")
    if not measured:
        return ""
    machine = measured["environment"]
    return (
        f"`make demo` took {measured['total_s'] / 60:.1f} minutes with its install on {machine['cores']} cores of "
        f"{machine['processor']} ({measured['fp32_total_s'] / 60:.1f} in fp32 alone)."
    )


def rows() -> list[dict[str, str]]:
    path = STUDY / "tables" / "summary.csv"
    if not path.exists():
        return []
    with path.open() as file:
        return list(csv.DictReader(file))


def finding() -> str:
    path = STUDY / "finding.txt"
    if not path.exists():
        return ""
    tier, *lead = path.read_text().strip().splitlines()
    return f"Measured ({tier}): {' '.join(lead)}"


def severity_chart() -> str:
    """The README's picture: mean accuracy over the eight common types at each severity, mean and range over seeds."""
    import altair as alt
    import vl_convert

    points: dict[tuple[str, int], list[float]] = {}
    for file in sorted((STUDY / "runs").glob("*.json")):
        run = load(file)
        method = run["settings"]["method"]["label"] or run["settings"]["method"]["name"]
        for severity in range(1, 6):
            names = [c.rsplit(".", 1)[0] for c in run["cells"] if c.endswith(f".{severity}")]
            common = [n for n in names if n not in ("gaussian_blur", "saturate")]
            values = [run["cells"][f"{n}.{severity}"]["accuracy"] for n in common]
            points.setdefault((method, severity), []).append(sum(values) / len(values))
        points.setdefault((method, 0), []).append(run["cells"]["clean.0"]["accuracy"])
    values = [
        {"method": m, "severity": s, "accuracy": 100 * sum(v) / len(v), "low": 100 * min(v), "high": 100 * max(v)}
        for (m, s), v in sorted(points.items())
    ]
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("severity:O", title="severity (0 = clean images)", axis=alt.Axis(labelAngle=0)),
        color=alt.Color("method:N", title=None, scale=alt.Scale(range=["#444444", "#0072B2", "#D55E00", "#009E73"])),
    )
    line = base.mark_line(point=True).encode(
        y=alt.Y(
            "accuracy:Q", title="accuracy, % (mean of 8 types; bars: range over seeds)", scale=alt.Scale(zero=False)
        )
    )
    bars = base.mark_rule(opacity=0.6).encode(y="low:Q", y2="high:Q", xOffset="method:N")
    return str(vl_convert.vegalite_to_svg((bars + line).properties(width=520, height=260).to_dict()))


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
    if rows():
        (ROOT / "docs" / "severity.svg").write_text(severity_chart())
    return 0


if __name__ == "__main__":
    sys.exit(main())

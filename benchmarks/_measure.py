"""Shared by the benchmarks: side-by-side rounds, the machine's description, the JSON that is committed."""

from __future__ import annotations

import datetime as dt
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from regrow import files
from regrow.study.environment import describe_environment

RESULTS = Path(__file__).parent / "results"


def rounds(cases: Mapping[str, Callable[[], float]], n: int) -> dict[str, list[float]]:
    """Each case once a round, in turn, so that a change of the machine's pace meets all of them alike."""
    values: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(n):
        for name, case in cases.items():
            values[name].append(case())
            print(f"  round {number + 1}/{n}  {name}: {values[name][-1]:.4g}", file=sys.stderr, flush=True)
    return values


def median(values: list[float]) -> float:
    return statistics.median(values)


def show(lines: Sequence[Sequence[str]]) -> None:
    """Print aligned columns; a last cell that stands alone does not widen its column."""
    widths = [0] * max(map(len, lines))
    for line in lines:
        for i, cell in enumerate(line[:-1]):
            widths[i] = max(widths[i], len(cell))
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip())
    print()


def save(name: str, question: str, content: Mapping[str, Any], out: Path | None = None) -> None:
    """Write the result and print it; to ``out`` (then without printing it) instead of benchmarks/results."""
    result = {
        "question": question,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "environment": describe_environment(),
        **content,
    }
    if out is not None:
        files.write_json(out, result)
        print(f"written: {out}")
        return
    files.write_json(RESULTS / f"{name}.json", result)
    print(json.dumps(content, indent=1))
    print(f"written: benchmarks/results/{name}.json")

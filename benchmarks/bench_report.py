"""How large is the page of a study of 500 runs, and how long does a browser take to open it?

    PYTHONPATH=src python benchmarks/bench_report.py [--seeds 25] [--repeats 5]

Prints one JSON line: runs, bytes, seconds to make the page, seconds until the charts of its first screen are drawn
(median over the repeats, headless Chromium, each in a fresh profile), charts on the page.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from regrow.report import render


def _made(name: str) -> Any:
    """The makers of made-up studies that the tests of the report use."""
    path = Path(__file__).parents[1] / "tests" / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_up_studies", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def _opened(page: Path, repeats: int) -> list[float]:
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    seconds = []
    with sync_playwright() as playwright:
        for _ in range(repeats):
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            start = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-charts=drawn]", timeout=120_000)
            seconds.append(time.perf_counter() - start)
            browser.close()
    return seconds


def main() -> None:
    """Print the line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    view = _made("make_large_study")(given.seeds)
    verdict = _made("make_verdict")(("static", "set", "rigl", "mest", "granet"))
    start = time.perf_counter()
    html = render(view, verdict)
    made = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(html, encoding="utf-8")
        opened = _opened(page, given.repeats)
    line = {
        "runs": len(view.runs),
        "bytes": len(html.encode()),
        "make_s": round(made, 2),
        "open_s": round(statistics.median(opened), 2),
        "open_s_max": round(max(opened), 2),
        "charts": html.count("data-chart="),
        "cpu": platform.machine(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()

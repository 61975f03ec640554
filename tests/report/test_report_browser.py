"""The page in a real browser: wide and narrow, light and dark, offline."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regrow.report import CheckView, render, render_check
from regrow.study.view import CellScore, StudyView

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"], "resultTypes": ["violations"]}
PATIENCE = 240_000  # ms; a busy machine is slow, not wrong
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SETTINGS = [(width, scheme) for width in (1280, 375) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium of the system; skipped where there is none, but not in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no Chromium, so nobody looks at the page")
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(
    study: Callable[..., StudyView],
    small_examples: dict[tuple[str, int], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """A study with every chart, one with strange names, one without results, and a check."""
    long = {"training.weight_decay_of_all_layers": "0.000" + "1" * 30}
    none = {(m, s): "planned" for m in ("dense", "static", "set", "rigl") for s in range(2)}
    scores = {(c, s): CellScore(0.8 - 0.1 * s, 50) for c in ("gaussian_noise", "contrast") for s in (1, 3, 5)}
    check = CheckView(
        "timm:net",
        "timm",
        1_000_000,
        "photos",
        50,
        2,
        224,
        "imagenet",
        "",
        CellScore(0.9, 50),
        scores,
        {"gaussian_noise": "noise", "contrast": "digital"},
        ["gaussian_noise", "contrast"],
        small_examples,
    )
    texts = {
        "demo": render(study()),
        "several": render(
            study(n_seeds=3, sparsities=(0.3, 0.7), methods=("static", "set"), train=0.9, states={("set", 1): "failed"})
        ),
        "names": render(
            study(n_seeds=1, methods=("set",), axes=(long,), title="A_title_of_one_word_" * 6, notes=["/a/path" * 40])
        ),
        "nothing": render(study(states=none, examples=0)),
        "check": render_check(check),
    }
    folder = tmp_path_factory.mktemp("pages")
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def _open(browser: Any, path: Path, width: int, scheme: str, reports: list[str]) -> Any:
    context = browser.new_context(
        viewport={"width": width, "height": 812}, color_scheme=scheme, offline=True, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda m: reports.append(f"console {m.type}: {m.text}"))
    page.on("pageerror", lambda e: reports.append(f"error: {e}"))
    page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or reports.append(f"request: {r.url}"))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-charts=drawn]", timeout=PATIENCE)
    return page


@pytest.mark.parametrize("name", ["demo", "several", "names", "nothing", "check"])
def test_the_page_is_sound_wide_and_narrow_light_and_dark(browser: Any, pages: dict[str, Path], name: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    faults: list[str] = []
    for width, scheme in SETTINGS if name in ("demo", "check") else SETTINGS[::3]:
        reports: list[str] = []
        page = _open(browser, pages[name], width, scheme, reports)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            reports.append("wider than the screen")
        empty = page.evaluate(
            "[...document.querySelectorAll('[data-chart]')]"
            ".filter(e => e.clientHeight < 40 || !e.querySelector('svg path'))"
            ".map(e => e.dataset.chart)"
        )
        reports += [f"empty chart: {chart}" for chart in empty]
        page.evaluate("for (const d of document.querySelectorAll('main details')) d.open = true")
        # The slow part: the demo and the check in all four settings, the other shapes in the hardest one.
        hardest = (width, scheme) == SETTINGS[-1]
        violations = Axe().run(page, options=AXE).response["violations"] if hardest or name in ("demo", "check") else []
        reports += [f"axe: {v['id']}: {v['nodes'][0]['html'][:150]}" for v in violations]
        faults += [f"{width} {scheme}: {r}" for r in reports]
        page.context.close()
    assert faults == []


def test_charts_follow_the_readers_theme(browser: Any, pages: dict[str, Path]) -> None:
    reports: list[str] = []
    page = _open(browser, pages["demo"], 1280, "light", reports)
    mark = "document.querySelector('[data-chart=fig-mean] svg .mark-symbol path').getAttribute('fill')"
    light = page.evaluate(mark)
    page.evaluate("delete document.documentElement.dataset.charts")
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-charts=drawn]", timeout=PATIENCE)
    dark = page.evaluate(mark)
    assert light != dark
    assert (
        dark.lower()
        == page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--arm-0').trim()").lower()
    )
    assert reports == []
    page.context.close()


def test_legend_focus_tooltip_and_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    reports: list[str] = []
    page = _open(browser, pages["demo"], 1280, "light", reports)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#summary [data-arm='set 0.5']").click()
    assert page.locator("#severity [data-arm='set 0.5']").get_attribute("aria-pressed") == "true"
    page.wait_for_timeout(300)
    faint = page.evaluate(
        "[...document.querySelectorAll('[data-chart=fig-mean] .mark-symbol path')]"
        ".filter(p => +p.getAttribute('opacity') < 0.2).length"
    )
    assert faint == 6  # the two seeds of each of the three other arms
    page.locator("[data-chart=fig-mean] .mark-symbol path").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    page.locator("#examples [data-pick='1']").click()
    assert page.locator("[data-panel='1']").is_visible()
    assert not page.locator("[data-panel='0']").is_visible()
    with page.expect_download() as download:
        page.locator("[data-save=fig-mean]").click()
    assert download.value.suggested_filename == "fig-mean.svg"
    assert reports == []
    page.context.close()

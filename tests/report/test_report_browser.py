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
from regrow.verdict.model import Verdict

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
    verdict_maker: Callable[..., Verdict],
    with_analyses: Callable[..., StudyView],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """A study that was judged, a study with every chart, one with strange names, one without results, and a check."""
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
    registered = {"claims": [{"id": "C1", "material": 0.5, "equivalence": 0.5}]}
    texts = {
        "judged": render(
            with_analyses(study(n_seeds=5, tier="T0c", data="cifar10", registration=registered)), verdict_maker()
        ),
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


def _draw_all(page: Any) -> None:
    """Charts below the fold are drawn when they come near; for print, all of them."""
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_selector("html[data-charts=drawn]", timeout=PATIENCE)


@pytest.mark.parametrize(
    "name",
    ["nothing", *(pytest.param(n, marks=pytest.mark.system) for n in ("demo", "judged", "several", "names", "check"))],
)
def test_the_page_is_sound_wide_and_narrow_light_and_dark(browser: Any, pages: dict[str, Path], name: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    faults: list[str] = []
    for width, scheme in SETTINGS if name in ("judged", "check") else SETTINGS[::3]:
        reports: list[str] = []
        page = _open(browser, pages[name], width, scheme, reports)
        _draw_all(page)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            reports.append("wider than the screen")
        empty = page.evaluate(
            "[...document.querySelectorAll('[data-chart]')]"
            ".filter(e => e.clientHeight < 40 || !e.querySelector('svg path'))"
            ".map(e => e.dataset.chart)"
        )
        reports += [f"empty chart: {chart}" for chart in empty]
        page.evaluate("for (const d of document.querySelectorAll('main details')) d.open = true")
        # The slow part: the judged study and the check in all four settings, the other shapes in the hardest one.
        hardest = (width, scheme) == SETTINGS[-1]
        violations = (
            Axe().run(page, options=AXE).response["violations"] if hardest or name in ("judged", "check") else []
        )
        reports += [f"axe: {v['id']}: {v['nodes'][0]['html'][:150]}" for v in violations]
        faults += [f"{width} {scheme}: {r}" for r in reports]
        page.context.close()
    assert faults == []


def test_charts_follow_the_readers_theme(browser: Any, pages: dict[str, Path]) -> None:
    reports: list[str] = []
    page = _open(browser, pages["demo"], 1280, "light", reports)
    page.locator("#fig-mean").scroll_into_view_if_needed()
    page.wait_for_selector("[data-chart=fig-mean] svg", timeout=PATIENCE)
    page.wait_for_selector("html[data-charts=drawn]", timeout=PATIENCE)
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
    page.locator("#summary [data-focus='set 0.5']").click()
    assert page.locator("#severity [data-focus='set 0.5']").get_attribute("aria-pressed") == "true"
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
    assert reports == []
    page.context.close()


def test_charts_and_tables_are_saved_in_every_format(browser: Any, pages: dict[str, Path]) -> None:
    reports: list[str] = []
    page = _open(browser, pages["judged"], 1280, "dark", reports)
    begins = {"svg": b"<svg", "png": b"\x89PNG", "csv": b"arm,", "tex": b"% Summary by arm", "md": b"| Arm |"}
    for name, kinds in (("fig-mean", ("svg", "png", "csv")), ("table-summary-summary-by-arm", ("csv", "tex", "md"))):
        for kind in kinds:
            with page.expect_download() as download:
                page.locator(f"[data-of={name}][data-save={kind}]").click()
            assert download.value.suggested_filename == f"{name}.{kind}"
            content = Path(download.value.path()).read_bytes()
            assert content.startswith(begins[kind])
            if kind == "svg":  # with its title and legend, in the colours of paper whatever the reader's theme
                assert b"mean8 by arm" in content
                assert b"#ffffff" in content
    assert reports == []
    page.context.close()


@pytest.mark.system
def test_one_filter_for_the_whole_page_by_keyboard_and_in_the_address(browser: Any, pages: dict[str, Path]) -> None:
    reports: list[str] = []
    page = _open(browser, pages["judged"], 1280, "light", reports)
    page.locator(".filter-fold > summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # the first method: dense
    page.wait_for_selector("html[data-charts=drawn]", timeout=PATIENCE)
    assert "method=static,set,rigl" in page.url
    for label in ("noise", "weather"):
        page.locator(f"[data-filter=family] input[value={label}]").uncheck()
    assert "family=blur,digital" in page.url
    _draw_all(page)
    texts = page.evaluate(
        "[...document.querySelectorAll('[data-chart=fig-corruptions] svg text')].map(e => e.textContent)"
    )
    assert "defocus blur" in texts
    assert not {"gaussian noise", "brightness", "NOISE"} & set(texts)
    assert page.locator("#fig-severity-noise").is_hidden()
    assert page.locator("#summary tbody tr[data-arm=dense]").first.is_hidden()
    assert page.locator("#summary th[data-family=noise]").first.is_hidden()
    assert page.locator(".filtered").is_visible()
    points = "document.querySelectorAll('[data-chart=fig-mean] .mark-symbol path').length"
    assert page.evaluate(points) == 15  # five seeds of three arms
    address = page.url
    page.locator(".contents li a[href='#severity']").click()
    page.wait_for_function("location.hash.startsWith('#severity?')")
    again = _open(browser, pages["judged"], 1280, "light", reports)
    again.goto(address)
    again.reload()
    again.wait_for_selector("html[data-charts=drawn]", timeout=PATIENCE)
    _draw_all(again)
    assert again.evaluate(points) == 15
    again.locator(".filtered [data-reset]").click()
    again.wait_for_selector("html[data-charts=drawn]", timeout=PATIENCE)
    _draw_all(again)
    assert again.evaluate(points) == 20
    assert "?" not in again.url
    assert reports == []
    page.context.close()
    again.context.close()


def test_a_point_shows_its_images_and_escape_returns_to_where_one_was(browser: Any, pages: dict[str, Path]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    reports: list[str] = []
    page = _open(browser, pages["judged"], 1280, "light", reports)
    page.locator("#fig-corruptions").scroll_into_view_if_needed()
    page.wait_for_selector("[data-chart=fig-corruptions] svg", timeout=PATIENCE)
    point = page.locator("[data-chart=fig-corruptions] .mark-symbol path").first
    point.scroll_into_view_if_needed()
    point.click()
    page.wait_for_selector("dialog[open]")
    assert page.locator("dialog select").input_value() == "gaussian_noise"
    assert page.locator("dialog .cell-line").count() == 2  # two originals
    assert page.locator("dialog .cell-line").first.locator("img").count() == 6  # clean and five severities
    assert all(page.evaluate("[...document.querySelectorAll('dialog img')].map(i => i.naturalWidth > 0)"))
    assert Axe().run(page, options=AXE).response["violations"] == []
    page.keyboard.press("Escape")
    assert page.locator("dialog").is_hidden()
    assert page.evaluate("document.activeElement.dataset.cells") == "fig-corruptions"
    page.keyboard.press("Enter")  # the way in for those who do not point
    assert page.locator("dialog").is_visible()
    page.locator("dialog select").select_option("contrast")
    assert "contrast" in (page.locator("dialog img").nth(1).get_attribute("alt") or "")
    page.locator("dialog [data-close]").click()
    assert page.evaluate("document.activeElement.dataset.cells") == "fig-corruptions"
    assert reports == []
    page.context.close()


def test_what_is_far_below_is_drawn_when_it_comes_near(browser: Any, pages: dict[str, Path]) -> None:
    reports: list[str] = []
    page = _open(browser, pages["judged"], 1280, "light", reports)
    last = page.locator("[data-chart]").last
    assert last.locator("svg").count() == 0
    page.locator("#claim-c1").scroll_into_view_if_needed()
    page.locator("[data-chart=fig-claim-c1] svg").wait_for(timeout=PATIENCE)
    assert last.locator("svg").count() == 0
    last.scroll_into_view_if_needed()
    last.locator("svg").wait_for(timeout=PATIENCE)
    assert reports == []
    page.context.close()

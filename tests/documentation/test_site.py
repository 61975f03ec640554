"""The documentation site builds strictly, its links lead somewhere, and a browser shows it offline."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]  # the site is built once, for the first test that asks
NEEDED = ("zensical", "mkdocstrings_handlers", "nbconvert", "nbclient")
without_docs = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason="the group docs is not installed: make docs"
)
PATIENCE = 240_000  # ms; a busy machine is slow, not wrong
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    """Import of a script of docs/."""
    sys.path.insert(0, str(DOCS))
    yield importlib.import_module
    sys.path.remove(str(DOCS))


def nav() -> list[str]:
    """Pages of the navigation."""

    def pages(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for one in entry.values() if isinstance(entry, dict) else entry:
                yield from pages(one)

    return list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))


def test_the_navigation_holds_every_page_once() -> None:
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    pages |= {f"notebooks/{path.stem}.md" for path in (DOCS / "notebooks").glob("*.ipynb")}
    assert sorted(nav()) == sorted(pages | {"changelog.md", "reference/cli.md", "reference/recipe.md"})


def test_every_decision_is_listed() -> None:
    listed = (DOCS / "decisions" / "index.md").read_text()
    for path in (DOCS / "decisions").glob("0*.md"):
        assert f"]({path.name})" in listed, path.name


@pytest.fixture(scope="module")
def site(script: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it, but with notebooks that were not run and one severity in the gallery."""
    folder = tmp_path_factory.mktemp("site")
    script("make_site").make(folder / "build" / "docs", quick=True)
    shutil.copy(ROOT / "mkdocs.yml", folder)
    for name in ("src", "docs"):
        (folder / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@without_docs
def test_commands_of_a_notebook_draw_no_moving_bars(script: Any, tmp_path: Path) -> None:
    nbformat = importlib.import_module("nbformat")
    asked = "!python -c 'from rich.console import Console; print(\"moving:\", Console().is_terminal)'"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T"), nbformat.v4.new_code_cell(asked)])
    nbformat.write(book, tmp_path / "t.ipynb")
    script("make_site").write_notebook(tmp_path / "t.ipynb", tmp_path / "out", tmp_path / "work")
    assert "moving: False" in (tmp_path / "out" / "t.md").read_text()


@without_docs
def test_every_link_leads_somewhere_and_nothing_comes_from_outside(site: Path, script: Any) -> None:
    assert script("check_site").problems(site) == []
    assert script("check_site").named(site, [ROOT, Path.home(), site.parent]) == []


def test_the_check_of_links_sees_what_is_wrong(script: Any, tmp_path: Path) -> None:
    good = (
        '<a href="b.html#x">b</a><a href="https://e.org">out</a><img src="i.png"><link rel=next href="https://e.org">'
    )
    bad = '<a href="none.html"></a><a href="a.html#none"></a><a href="../../x"></a><script src="https://e.org/x.js"></script>'
    (tmp_path / "i.png").write_bytes(b"")
    (tmp_path / "a.html").write_text(good)
    (tmp_path / "b.html").write_text(f"<h1 id=x>b</h1>{bad}")
    assert script("check_site").problems(tmp_path) == [
        "b.html: none.html: no such file",
        "b.html: a.html#none: no such place on the page",
        "b.html: ../../x: leaves the site",
        "b.html: https://e.org/x.js: is loaded from outside",
    ]


def test_the_check_of_folders_sees_those_of_this_machine(script: Any, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<pre>loaded /home/me/data/x.npy</pre>")
    (tmp_path / "b.json").write_text('{"text": "/home/me"}')
    (tmp_path / "c.html").write_text("<pre>/home/menu /mnt/home/me</pre>")
    assert script("check_site").named(tmp_path, [Path("/home/me"), Path("/srv/here")]) == [
        "a.html: /home/me: a folder of this machine",
        "b.json: /home/me: a folder of this machine",
    ]


@without_docs
def test_the_gallery_shows_every_corruption(site: Path) -> None:
    from regrow import corruptions
    from regrow.corruptions import audio, text, video

    page = (site / "gallery.html").read_text()
    wanted = [*corruptions.names(None), *(f"clip-{name}" for name in video.names("kinetics"))]
    wanted += [f"sound-{name}" for name in audio.names()]
    assert [name for name in wanted if f'src="gallery/{name}.webp"' not in page] == []
    assert [name for name in text.names() if f'id="{name}-of-texts"' not in page] == []


@without_docs
def test_every_public_name_of_a_door_is_on_its_page(site: Path) -> None:
    for door in ("sparsity", "corruptions", "data", "models", "analysis", "statistics", "verdict", "report"):
        text = (site / "reference" / f"{door}.html").read_text()
        module: ModuleType = importlib.import_module(f"regrow.{door}")
        public = [
            name for name in module.__all__ if inspect.isclass(v := getattr(module, name)) or inspect.isfunction(v)
        ]
        assert len(public) > 4
        # a function that has the name of its file is found under both
        places = {name: (f'id="regrow.{door}.{name}"', f'id="regrow.{door}.{name}.{name}"') for name in public}
        missing = [name for name, ids in places.items() if not any(one in text for one in ids)]
        # griffe takes regrow.data.spec for the file of that name: the page says it in words
        assert missing == (["spec"] if door == "data" else []), door


#: Pages that differ in what is on them: tables, long code, wide figures, signatures, pictures, a notebook.
LOOKED_AT = (
    "index.html", "start.html", "sparse-training.html", "analysis.html", "tutorials/density-and-frequency.html",
    "tutorials/clean-accuracy.html", "gallery.html", "reference/sparsity.html", "reference/cli.html",
    "notebooks/quickstart.html", "changelog.html",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium of the system; skipped where there is none, but not in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI has no Chromium, so nobody looks at the site")
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


@pytest.mark.browser
@without_docs
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_pages_are_sound_wide_and_narrow_light_and_dark(browser: Any, site: Path, width: int, scheme: str) -> None:
    faults: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 812}, color_scheme=scheme, offline=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("console", lambda m: faults.append(f"{page.url}: console {m.type}: {m.text}"))
    page.on("pageerror", lambda e: faults.append(f"{page.url}: {e}"))
    page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or faults.append(f"asks for {r.url}"))
    for name in LOOKED_AT:
        page.goto((site / name).as_uri())
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            faults.append(f"{name} is wider than the screen")
        assert page.evaluate("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme]
    context.close()
    assert faults == []


@pytest.mark.browser
@without_docs
def test_search_finds_a_page_from_a_file(browser: Any, site: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 812}, offline=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    # the search hides in a closed shadow tree, where no test can look
    page.add_init_script(
        "const make = Element.prototype.attachShadow;"
        "Element.prototype.attachShadow = function () { return make.call(this, {mode: 'open'}); }"
    )
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("constant fan-in")
    page.locator("a:visible", has_text="A step is a part of a method").first.wait_for()
    context.close()

"""The page: one file, safe, the same bytes twice, and honest about what is not there."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regrow.report import render
from regrow.report.pictures import image_picture, map_picture, scale_colours, sorted_map, thinned
from regrow.study.view import StudyView

Study = Callable[..., StudyView]
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'{{7*7}}"


class _Outline(HTMLParser):
    """What a test asks of a page: tags with their attributes, ids, headings, text outside scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self._in: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._in.append(tag)
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style") and self._in:
            self._in.pop()

    def handle_data(self, data: str) -> None:
        if self._in:
            self.scripts[-1] += data
        else:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t == tag]


def specs_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="json-specs">(.*?)</script>', html, re.S)
    assert found
    specs: dict[str, Any] = json.loads(found[1])
    return specs


def _datasets(spec: dict[str, Any]) -> list[list[dict[str, Any]]]:
    return list(spec["datasets"].values())


@pytest.fixture(scope="module")
def shapes(study: Study) -> dict[str, StudyView]:
    """Studies of several shapes."""
    failed = {("set", 1): "failed", ("rigl", 0): "planned", ("rigl", 1): "running"}
    none = {(m, s): "planned" for m in ("dense", "static", "set", "rigl") for s in range(2)}
    return {
        "demo": study(),
        "three seeds": study(n_seeds=3, tier="T0c", data="cifar10", train=0.97),
        "failed runs": study(states=failed),
        "nothing done": study(states=none, examples=0, notes=()),
        "no kernels": study(kernels=False),
        "several sparsities": study(
            n_seeds=3, sparsities=(0.3, 0.5, 0.7), methods=("static", "set"), severities=(1, 3, 5)
        ),
        "axes": study(axes=({"model.width": 8}, {"model.width": 16}), methods=("set",)),
        "dense alone": study(methods=()),
    }


@pytest.fixture(scope="module")
def pages(shapes: dict[str, StudyView]) -> dict[str, str]:
    """Their pages."""
    return {name: render(view) for name, view in shapes.items()}


SHAPES = [
    "demo",
    "three seeds",
    "failed runs",
    "nothing done",
    "no kernels",
    "several sparsities",
    "axes",
    "dense alone",
]


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_has_every_section(pages: dict[str, str], name: str) -> None:
    outline = _Outline(pages[name])
    ids = [a["id"] for _, a in outline.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    sections = [a["id"] for a in outline.all("section")]
    assert sections == [
        "summary", "sparsity", "corruptions", "severity", "examples", "costs", "published",
        "corruption-spectra", "frequencies", "single-frequencies", "loss-gradient", "kernels", "aliasing",
        "agreement", "cues", "attribution", "placement", "masks", "film", "topology", "sharpness", "training",
        "notes", "runs", "settings", "environment", "reproduce",
    ]  # fmt: skip
    for a in outline.all("a"):
        assert str(a["href"]).removeprefix("#") in ids


@pytest.mark.parametrize("name", SHAPES)
def test_headings_are_in_order_and_tables_have_scopes(pages: dict[str, str], name: str) -> None:
    outline = _Outline(pages[name])
    levels = [int(t[1]) for t, _ in outline.tags if re.fullmatch("h[1-6]", t)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert all(a.get("scope") in ("row", "col") for a in outline.all("th"))
    assert all(a.get("alt") for a in outline.all("img"))


@pytest.mark.parametrize("name", SHAPES)
def test_nothing_outside_the_page_is_named_or_allowed(pages: dict[str, str], name: str) -> None:
    outline = _Outline(pages[name])
    for tag, attributes in outline.tags:
        for key in ("src", "href", "srcset", "action", "poster", "data"):
            assert str(attributes.get(key, "#")).startswith(("#", "data:")), (tag, attributes)
    policy = next(str(a["content"]) for a in outline.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    assert "script-src 'sha256-" in policy
    executable = [
        s for s, a in zip(_scripts(pages[name]), _script_attributes(pages[name]), strict=True) if "json" not in a
    ]
    for script in executable:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def _scripts(html: str) -> list[str]:
    return re.findall(r"<script[^>]*>(.*?)</script>", html, re.S)


def _script_attributes(html: str) -> list[str]:
    return re.findall(r"<script([^>]*)>.*?</script>", html, re.S)


def test_the_same_view_gives_the_same_bytes(study: Study, pages: dict[str, str]) -> None:
    assert render(study()) == pages["demo"]


def test_the_size_stays_bearable(pages: dict[str, str]) -> None:
    assert all(len(page) < 3_000_000 for page in pages.values())


def test_two_seeds_have_dots_and_no_interval(pages: dict[str, str]) -> None:
    spec = specs_of(pages["demo"])["fig-difference"]
    assert "intervals" not in [layer.get("name") for layer in spec["layer"]]
    rows = [row for data in _datasets(spec) for row in data if "seed" in row]
    assert len(rows) == 6
    assert not any("low" in row or "high" in row for data in _datasets(spec) for row in data)
    assert "No interval: it needs three paired seeds and there are 2." in pages["demo"]


def test_three_seeds_have_an_interval(pages: dict[str, str]) -> None:
    specs = specs_of(pages["several sparsities"])
    for figure in ("fig-difference", "fig-sparsity"):
        assert "intervals" in [layer.get("name") for layer in specs[figure]["layer"]]


def test_the_head_has_the_tier_and_the_labels(pages: dict[str, str]) -> None:
    assert "tier T0: shows the path, judges nothing" in pages["demo"]
    assert ">underfit<" not in pages["demo"]
    assert "tier T0c: shows spreads, does not judge the paper" in pages["three seeds"]
    assert ">underfit<" in pages["three seeds"]


def test_a_section_without_numbers_says_why(pages: dict[str, str]) -> None:
    assert "No run has finished yet" in pages["nothing done"]
    assert "has stored its kernel counts" in pages["no kernels"]
    assert "One sparsity only was run (0.5)" in pages["demo"]
    assert "One sparsity only" not in pages["several sparsities"]
    assert "is measured on the data set cues alone" in pages["three seeds"]
    assert "Every arm is dense" in pages["dense alone"]
    assert "the process was killed by signal 9" in pages["failed runs"]
    assert "8 planned, 5 done, 1 running, 1 failed" in pages["failed runs"]


def test_no_page_speaks_of_a_mean_over_fifteen(pages: dict[str, str]) -> None:
    for page in pages.values():
        text = " ".join(_Outline(page).text)
        assert "mean15" not in text
        assert "mean over 15" not in text
        assert "mean8" in text


def test_names_cannot_become_markup_or_code(study: Study, run_maker: Callable[..., Any]) -> None:
    view = study(title=EVIL, notes=[EVIL], axes=({f"data.{EVIL}": EVIL},))
    runs = [replace(r, method=r.method if r.method == "dense" else EVIL, reason=EVIL) for r in view.runs]
    view = replace(
        view,
        runs=runs,
        recipe={EVIL: {EVIL: EVIL}},
        environment={EVIL: EVIL},
        name=EVIL,
        data={**view.data, "name": EVIL},
    )
    html = render(view)
    outline = _Outline(html)
    assert len(outline.all("script")) == 5  # three of data, Vega, the page's own
    block = html.partition('id="json-specs">')[2].partition("</script>")[0]
    assert not set("<>&") & set(block)
    assert not [a for a in outline.all("img") if a.get("onerror") or a.get("src") == "x"]
    assert "49" not in next(str(t) for t in outline.text if "alert(2)" in t)
    assert EVIL in " ".join(outline.text)
    assert EVIL in json.dumps(specs_of(html), ensure_ascii=False).replace('\\"', '"')


def test_broken_numbers_do_not_break_the_page(study: Study) -> None:
    view = study()
    runs = [
        replace(
            r, metrics=[{**m, "loss": float("nan")} for m in r.metrics], result={**(r.result or {}), "itop_rate": None}
        )
        for r in view.runs
    ]
    html = render(replace(view, runs=runs))
    assert "NaN" not in json.dumps(specs_of(html))


def test_no_chart_is_without_caption_and_numbers(pages: dict[str, str]) -> None:
    for page in pages.values():
        charts = re.findall(r'<figure class="chart".*?</figure>', page, re.S)
        for chart in charts:
            assert re.search(r'<figcaption class="caption">[^<]{12,}', chart)
            assert "<table>" in chart
            assert 'role="img" aria-label="' in chart
        assert len(charts) == len(specs_of(page))


def test_every_chart_is_valid_vega_lite(pages: dict[str, str]) -> None:
    import altair as alt

    for id_, spec in specs_of(pages["several sparsities"]).items():
        alt.Chart.from_dict(spec) if "layer" not in spec else alt.LayerChart.from_dict(spec)
        assert spec["width"] == "container", id_
        tokens = set(re.findall(r'"\$([a-z0-9-]+)"', json.dumps(spec)))
        for token in tokens:
            assert pages["several sparsities"].count(f"--{token}:") == 2, token  # light and dark


def test_an_unknown_axis_value_or_many_arms_still_make_a_page(study: Study) -> None:
    html = render(study(n_seeds=1, sparsities=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), methods=("set", "rigl"), examples=1))
    assert "The first 9 of 12 arms are drawn" in html


def _pixels(src: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2]))).convert("RGB"))


def test_a_map_has_one_pixel_a_kernel_in_the_fixed_scale() -> None:
    counts = np.array([[0, 9, 4], [1, 9, 0]])
    picture = map_picture(counts, 9, "map")
    colours = scale_colours(9)
    assert (picture.width, picture.height) == (3, 2)
    assert [[tuple(p) for p in row] for row in _pixels(picture.src).tolist()] == [
        [colours[c] for c in row] for row in counts
    ]
    assert len(set(colours)) == 10


def test_large_maps_are_thinned_and_sorted_maps_keep_their_counts() -> None:
    counts = np.random.default_rng(0).integers(0, 10, (512, 300))
    assert thinned(counts).shape == (192, 192)
    ordered = sorted_map(counts)
    assert sorted(ordered.ravel()) == sorted(counts.ravel())
    assert (np.diff(ordered.sum(axis=1)) <= 0).all()
    assert (np.diff(ordered.sum(axis=0)) <= 0).all()


def test_small_images_keep_every_byte_and_large_ones_are_reduced() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert (_pixels(image_picture(pixels, "x").src) == pixels).all()
    large = image_picture(np.zeros((224, 200, 3), np.uint8), "x")
    assert (large.height, large.width) == (96, 86)
    assert large.src.startswith("data:image/jpeg")

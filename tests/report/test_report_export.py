"""Charts as files: every one, in every format, with its own legend and no token of the page left in it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from regrow.report import export_charts
from regrow.report.export import standalone
from regrow.report.page import sections_of, themes
from regrow.study.view import StudyView
from regrow.verdict.model import Verdict

Study = Callable[..., StudyView]


@pytest.mark.system
def test_every_chart_of_a_study_comes_out_in_every_format(
    study: Study, verdict_maker: Callable[..., Verdict], tmp_path: Path
) -> None:
    view, verdict = study(n_seeds=3, sparsities=(0.3, 0.7), methods=("set",)), verdict_maker(("set",))
    figures = [f for section in sections_of(view, verdict) for f in section.figures]
    written = export_charts(view, tmp_path, verdict)
    assert sorted(p.name for p in written) == sorted(
        f"{f.id}.{kind}" for f in figures for kind in ("svg", "png", "csv")
    )
    for figure in figures:
        drawing = ET.fromstring((tmp_path / f"{figure.id}.svg").read_text())
        texts = [e.text or "" for e in drawing.iter("{http://www.w3.org/2000/svg}text")]
        assert figure.title in texts
        assert float(drawing.attrib["width"].removesuffix("px")) >= 720
        with Image.open(tmp_path / f"{figure.id}.png") as picture:
            assert picture.width == pytest.approx(2 * float(drawing.attrib["width"].removesuffix("px")), abs=2)
            assert len(picture.convert("RGB").getcolors(1 << 22) or ()) > 2
        rows = list(csv.reader(io.StringIO((tmp_path / f"{figure.id}.csv").read_text())))
        assert len(rows) == 1 + len(figure.table.rows if figure.table else ())


@pytest.mark.system
def test_a_chart_alone_names_its_arms_and_uses_the_colours_of_the_paper(study: Study, tmp_path: Path) -> None:
    view = study(n_seeds=3)
    export_charts(view, tmp_path)
    drawing = (tmp_path / "fig-frequencies-low.svg").read_text()
    assert all(f">{arm}<" in drawing for arm in ("dense", "static 0.5", "set 0.5", "rigl 0.5"))
    assert themes()["light"]["arm-1"] in drawing
    for section in sections_of(view):
        for figure in section.figures:
            for theme in ("light", "dark"):
                assert not re.search(r'"\$[a-z]', json.dumps(standalone(figure, theme)))  # type: ignore[arg-type]


def test_both_themes_name_the_same_colours() -> None:
    light, dark = themes()["light"], themes()["dark"]
    assert light.keys() == dark.keys()
    assert light["paper"] != dark["paper"]


def test_no_chart_library_is_loaded_before_a_chart_is_made() -> None:
    rooms = "regrow.report, regrow.training, regrow.evaluation, regrow.analysis, regrow.study, regrow.verdict"
    code = f"import sys, {rooms}; print([m for m in ('altair', 'vl_convert', 'jinja2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_like_a_token_stays_a_name(study: Study, tmp_path: Path) -> None:
    from dataclasses import replace

    view = study(n_seeds=1, methods=("set",))
    view = replace(view, runs=[replace(r, method=r.method if r.method == "dense" else "$ink") for r in view.runs])
    export_charts(view, tmp_path)
    assert ">$ink 0.5<" in (tmp_path / "fig-mean.svg").read_text()

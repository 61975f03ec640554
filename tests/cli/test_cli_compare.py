"""``regrow compare`` and ``regrow report --export``: files that a user asked for, or one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regrow.cli import run
from regrow.verdict.simulated import SimulatedStudy, recipe_of


@pytest.fixture
def studies(tmp_path: Path) -> tuple[Path, Path]:
    """Two studies of the same arms as summaries."""
    rng = np.random.default_rng(0)
    folders = []
    for name in ("one", "two"):
        made = SimulatedStudy(tmp_path / name, recipe_of(["a"], 3, {}))
        made.fill({label: 60 + rng.normal(size=3) for label in made.labels})
        folders.append(made.folder)
    return folders[0], folders[1]


def test_two_studies_make_one_page(studies, tmp_path, capsys) -> None:
    page = tmp_path / "pages" / "both.html"
    assert run(["compare", *map(str, studies), "--out", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "regrow compare" in text


def test_a_folder_without_a_study_is_one_line(studies, tmp_path, capsys) -> None:
    assert run(["compare", str(studies[0]), str(tmp_path / "nowhere"), "--out", str(tmp_path / "x.html")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "nowhere holds no study" in error
    assert not (tmp_path / "x.html").exists()


def test_every_chart_of_a_page_is_exported(studies, tmp_path, capsys) -> None:
    out = tmp_path / "charts"
    assert run(["report", str(studies[0]), "--export", str(out)]) == 0
    names = {path.name for path in out.iterdir()}
    stems = {name.rpartition(".")[0] for name in names}
    assert stems
    assert all({f"{stem}.svg", f"{stem}.png"} <= names for stem in stems)
    assert f"Charts: {len(names)} files" in capsys.readouterr().out

"""The notebooks lie without outputs and run from the first cell to the last."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
#: What a notebook must have printed or shown in the end, besides that no cell failed.
SAYS = {
    "quickstart": ["density 0.5", "gaussian_noise", "image/png"],
    "sparsity": ["rigl", "bytes held between steps", "True"],
    "corruptions": ["snow", "(4000, 32, 32, 3)"],
    "check": ["report.html", "gaussian_blur"],
    "study": ["done", "C1: not testable"],
}


def test_there_is_a_quick_start_and_a_notebook_for_each_door() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(SAYS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_lies_without_what_it_printed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        assert set(cell) <= {"cell_type", "id", "metadata", "source", "outputs", "execution_count"}
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], cell["id"]
            assert cell["execution_count"] is None
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert text == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


#: Notebooks of a minute and more; `make docs`, which CI calls, runs them as well.
LONG = ("study",)


@pytest.mark.system
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in LONG else []) for p in NOTEBOOKS]
)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env={**os.environ, "PATH": search, "PYTHONWARNINGS": "error::UserWarning:regrow"})
    shown = "\n".join(_shown(output) for cell in notebook["cells"] for output in cell.get("outputs", ()))
    for words in SAYS[path.stem]:
        assert words in shown


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    return (
        output.get("text", "") + " ".join(data) + str(data.get("text/plain", "")) + str(data.get("text/markdown", ""))
    )

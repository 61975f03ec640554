"""What README and docs show is true: code runs, commands parse, recipes load, numbers are those of results."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from regrow.cli.app import app
from regrow.study import recipe as recipes

ROOT = Path(__file__).parents[1]
NAMED = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "results/README.md")
PAGES = [*(ROOT / name for name in NAMED), *sorted((ROOT / "docs").rglob("*.md"))]


def scripts() -> list[tuple[str, str]]:
    """The Python of each page in one script, each block in a namespace of its own: one start for all of them."""
    found: dict[str, str] = {}
    for name, code in blocks("python"):
        page = name.rpartition("-")[0]
        found[page] = found.get(page, "") + f"exec({code!r}, {{'__name__': '__main__'}})\n"
    return list(found.items())


def blocks(kind: str) -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for number, text in enumerate(re.findall(rf"```{kind}\n(.*?)```", page.read_text(), re.S)):
            found.append((f"{page.name}-{number}", text))
    return found


def commands() -> list[str]:
    lines = [line for page in PAGES for line in page.read_text().splitlines()]
    return sorted({line.strip().split("  #")[0] for line in lines if line.startswith("    regrow ")})


#: The first pages that a user reads are run by `make test`, the others beside it.
FIRST = ("README.md", "start.md")


@pytest.mark.parametrize(
    "code",
    [pytest.param(text, id=name, marks=[] if name in FIRST else [pytest.mark.system]) for name, text in scripts()],
)
def test_python_runs(code: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command: str) -> None:
    group, words = typer.main.get_command(app), shlex.split(command)[1:]
    while hasattr(group, "commands"):
        name, *words = words
        group = group.commands[name]
    assert group.make_context(name, words).params is not None


def test_there_are_commands_and_code_to_check() -> None:
    assert len(commands()) > 5
    assert len(blocks("python")) > 3


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in blocks("yaml")])
def test_recipes_load(text: str) -> None:
    values = yaml.safe_load(text)
    if "methods" in values:
        recipes.parse(values, "docs")
    else:
        assert set(values) <= set(recipes.Recipe.model_fields)


#: Pages of the reference that `make docs` makes from the code.
WRITTEN_WITH_THE_SITE = ("recipe.md", "cli.md")


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target and target not in WRITTEN_WITH_THE_SITE:
                assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_numbers_in_the_readme_are_those_of_the_results() -> None:
    script = ROOT / "benchmarks" / "readme_numbers.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_machine_of_ours_is_named() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    for name in tracked.stdout.split():
        path = ROOT / name
        if path.suffix in {".npz", ".npy", ".png"} or not path.is_file():
            continue
        text = path.read_text(errors="ignore")
        assert not re.search(r"(?<![\w.])/(?:root|work)/", text) or name == "tests/test_docs.py", name


def test_the_table_of_methods_has_them_all() -> None:
    from regrow.sparsity import methods

    page = (ROOT / "docs" / "sparse-training.md").read_text()
    rows = "\n".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    assert [name for name in methods.names() if name != "dense" and f"`{name}`" not in rows] == []


def test_the_tables_of_data_have_all_sets_of_files_and_their_options() -> None:
    from regrow import data

    page = (ROOT / "docs" / "data.md").read_text()
    for name in ("imagenet", "image_folder", "huggingface", "ucf101", "video_folder"):
        assert f"| `{name}` |" in page
        for option in data.default_options(name):
            assert f"`{option}`" in page, f"{name}: {option}"

"""What is built: the same bytes anywhere, all that is needed and nothing else, and it runs outside the checkout."""

from __future__ import annotations

import email
import json
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import regrow
from regrow import extras
from regrow.study import recipe as recipes

pytest.importorskip("hatchling", reason="hatchling is not installed (dependency group dev)")

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
#: Of every kind of file that is no Python and without which something does not work.
NEEDED = (
    "py.typed",
    "recipes/schema.json",
    "recipes/quick/cues.yaml",
    "recipes/paper/s1.yaml",
    "report/templates/page.html.j2",
    "report/assets/page.css",
    "report/assets/charts.js",
    "corruptions/defocus_kernels.npz",
    "corruptions/kernel/kernel.c",
    "literature/tables/imagenet_c.yaml",
    "study/claims/paper.yaml",
)


def tracked() -> list[str]:
    """Files of the checkout, new ones that are not ignored among them."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def build(source: Path, out: Path) -> dict[str, Path]:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return {"wheel": next(out.glob("*.whl")), "sdist": next(out.glob("*.tar.gz"))}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def unpacked(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as an installer lays it down."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(built["wheel"]) as wheel:
        wheel.extractall(folder)
    return folder


def test_the_bytes_are_those_of_another_place_and_time(built: dict[str, Path], tmp_path: Path) -> None:
    copy, day = tmp_path / "elsewhere", time.time() - 86400
    for name in tracked():
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        os.utime(target, (day, day))
    again = build(copy, tmp_path / "again")
    for kind, path in built.items():
        assert again[kind].name == path.name
        assert again[kind].read_bytes() == path.read_bytes(), kind
    with tarfile.open(built["sdist"]) as sdist:
        sdist.extractall(tmp_path / "source", filter="data")
    from_source = build(next((tmp_path / "source").iterdir()), tmp_path / "third")
    assert from_source["wheel"].read_bytes() == built["wheel"].read_bytes()


def test_the_wheel_holds_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    wanted = {name.removeprefix("src/") for name in tracked() if name.startswith("src/regrow/")}
    assert set(names) == wanted
    assert {f"regrow/{name}" for name in NEEDED} <= wanted


def test_the_sdist_holds_what_builds_and_explains_it(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    package = {name for name in tracked() if name.startswith("src/regrow/")}
    meta = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "constraints.txt", "PKG-INFO"}
    assert names - {".gitignore"} == package | meta


def test_the_metadata_are_those_of_the_project(unpacked: Path) -> None:
    info = next(unpacked.glob("*.dist-info"))
    meta = email.message_from_string((info / "METADATA").read_text())
    assert (meta["Name"], meta["Version"], meta["Requires-Python"]) == ("regrow", regrow.__version__, ">=3.11")
    assert meta["License-Expression"] == PROJECT["license"]
    assert [(info / "licenses" / name).read_text() for name in meta.get_all("License-File")] == [
        (ROOT / "LICENSE").read_text()
    ]
    assert meta["Description-Content-Type"] == "text/markdown"
    assert meta.get_payload().strip() == (ROOT / "README.md").read_text().strip()
    assert set(meta.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])
    plain = {one for one in meta.get_all("Requires-Dist") if "extra ==" not in one}
    assert plain == set(PROJECT["dependencies"])
    assert "regrow = regrow.cli:main" in (info / "entry_points.txt").read_text()


def test_the_wheel_runs_without_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    code = """
import json, regrow
from importlib import resources
from regrow.cli import run
print(regrow.__file__)
json.loads(resources.files("regrow.recipes").joinpath("schema.json").read_text())
assert run(["--version"]) == 0
for kind in ("methods", "recipes", "literature", "corruptions"):
    assert run(["list", kind, "--json"]) == 0
from regrow import report
"""
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(unpacked))
    assert f"regrow {regrow.__version__}" in done.stdout
    assert all(name in done.stdout for name in recipes.names())


@pytest.mark.slow
@pytest.mark.timeout(1700)
def test_a_fresh_environment_with_the_wheel_alone_runs_the_demo(built: dict[str, Path], tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    commands = tmp_path / "env" / "bin"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def call(*command: object) -> str:
        words = [str(word) for word in command]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call(commands / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", built["wheel"])
    assert call(commands / "python", "-m", "pip", "check").startswith("No broken requirements")
    assert call(commands / "regrow", "--version").split() == ["regrow", regrow.__version__]
    assert {row["name"] for row in json.loads(call(commands / "regrow", "list", "recipes", "--json"))} == set(
        recipes.names()
    )
    call(commands / "regrow", "demo", "--out", "demo")
    assert (tmp_path / "demo" / "report.html").stat().st_size > 500_000


def test_a_package_has_one_floor_wherever_it_is_named() -> None:
    named = [*PROJECT["dependencies"], *(one for group in PROJECT["optional-dependencies"].values() for one in group)]
    floors = dict(one.split(">=") for one in named if ">=" in one)
    for group, requirements in SETTINGS["dependency-groups"].items():
        for name, _, floor in (one.partition(">=") for one in requirements):
            assert floor == floors.get(name, floor), (group, name)


def test_every_extra_is_known_to_those_who_tell_that_it_is_missing() -> None:
    assert set(extras.EXTRA.values()) == set(extras.BRINGS) == set(PROJECT["optional-dependencies"]) - {"all"}


def test_the_lowest_versions_are_those_of_all_extras_beside_pinned_tools() -> None:
    script = runpy.run_path(str(ROOT / ".ci" / "lowest.py"))
    told = """
[project]
name = "mine"
dependencies = ["torch>=2.6", "numpy>=2.0"]
optional-dependencies = {video = ["av>=17"], all = ["mine[video]"]}
"""
    assert list(script["lowest"](told)) == ["torch==2.6", "numpy==2.0", "av==17"]
    with pytest.raises(SystemExit, match="'numpy' is not of the form NAME>=VERSION"):
        list(script["lowest"](told.replace("numpy>=2.0", "numpy")))
    assert list(script["tools"]("packaging==26.3\npytest==9.2.0\npytest-cov==7.1.0\n")) == ["pytest==9.2.0"]


def test_an_audit_says_what_it_could_not_ask() -> None:
    summary = runpy.run_path(str(ROOT / ".ci" / "audit.py"))["summary"]
    fault = {"id": "CVE-1", "fix_versions": ["1.1", "2.0"]}
    bad = {"name": "a", "version": "1.0", "vulns": [fault, {**fault, "id": "CVE-2", "fix_versions": []}]}
    good, unknown = {"name": "b", "version": "1.0", "vulns": []}, {"name": "c", "skip_reason": "not found"}
    assert summary({"dependencies": [good]}) == ["audit: 0 known faults in 1 packages"]
    assert summary({"dependencies": [bad, good, unknown]}) == [
        "a 1.0: CVE-1, mended in 1.1, 2.0",
        "a 1.0: CVE-2, mended in no release",
        "audit: 2 known faults in 2 packages; 1 more are not in the database",
    ]
    assert summary({"dependencies": [unknown]}) == ["audit: not done, the database of faults could not be reached"]
